"""The command line: one thin module for each command, loaded when it is called for."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from metaprior.errors import MetapriorError, UnknownNameError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "acquire": "acquire a prior from many related tasks",
    "adapt": "adapt a prior to a few labelled examples and predict others",
    "screen": "choose what to measure next of a library, and take the labels back",
    "evaluate": "score a prior on fixed test tasks",
    "stream": "let a prior learn within streams, and show how it does from step to step",
    "ensemble": "make one prior of several, which averages what they predict",
    "compare": "acquire several priors and the controls, and set them side by side",
    "generate": "make a mesh, a picture or a film of what a prompt says",
    "interpolate": "write a film of what lies between two prompts",
    "view": "look at a field from every side, in a page",
    "fit": "fit a radiance field to one scene",
    "render": "write a picture, a film or a mesh of a field",
    "list": "list priors, nets, task sources, or the zoo",
    "data": "list, download or find the real data sets",
}

_USAGE = """usage: metaprior COMMAND ...

Acquire a prior from many related tasks, once; adapt it to a novel task, from a handful of examples, in seconds.

{commands}

'metaprior COMMAND --help' tells more of one. An example that needs no data:
  metaprior compare --tasks glyphs --priors maml,protonet,ridge --budget 15 --out runs/compare
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 2 for a wrong input, 130 after Ctrl-C.

    Args:
        argv: the words after the program's name; None for those that it was started with.

    Example:
        >>> main(["--version"])
        0.1.0
        0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_USAGE.format(commands="\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())))
        return 0
    if words[0] == "--version":
        from metaprior.checkpoint import versions

        print(versions()["metaprior"])
        return 0
    name = words[0]
    try:
        if name not in COMMANDS:
            raise UnknownNameError("command", name, COMMANDS)
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            importlib.import_module(f"metaprior.cli.{name}_command").run(words[1:])
    except (MetapriorError, OSError) as error:
        print(f"metaprior: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("metaprior: interrupted", file=sys.stderr)
        return 130
    return 0


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    print(f"metaprior: {message}", file=sys.stderr)
