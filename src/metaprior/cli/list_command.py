"""`metaprior list`: what there is to choose from."""

import inspect
from collections.abc import Sequence

from metaprior.checkpoint import zoo
from metaprior.cli.arguments import Parser
from metaprior.errors import UnknownNameError
from metaprior.registry import nets, priors, sources

__all__ = ["run"]

_REGISTRIES = {"priors": priors, "nets": nets, "tasks": sources}


def run(words: Sequence[str]) -> None:
    """Print names and what each stands for."""
    parser = Parser("list", "List what there is to choose from.")
    parser.options.add_argument("what", nargs="?", default="all", help="priors, nets, tasks, zoo, or all")
    what = parser.parse(words).what
    if what not in (*_REGISTRIES, "zoo", "all"):
        raise UnknownNameError("list", what, (*_REGISTRIES, "zoo", "all"))
    sections = {name: _entries(name) for name in (*_REGISTRIES, "zoo") if what in (name, "all")}
    for name, entries in sections.items():
        if what == "all":
            print(f"{name}:")
        width = max((len(entry) for entry in entries), default=0)
        for entry, text in entries.items():
            print(f"{'  ' if what == 'all' else ''}{entry:{width}}  {text}")


def _entries(name: str) -> dict[str, str]:
    if name == "zoo":
        return {f"zoo:{entry}": str(card.get("score", "not scored")) for entry, card in zoo().items()}
    return {entry: _summary(*_REGISTRIES[name].resolve(entry)) for entry in _REGISTRIES[name]}


def _summary(cls: type, implied: dict[str, object]) -> str:
    settings = ", ".join(f"{key}={value!r}" for key, value in implied.items())
    summary = (inspect.getdoc(cls) or "").splitlines()[0]
    return f"{cls.__name__} with {settings}. {summary}" if settings else summary
