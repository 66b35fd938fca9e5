"""`metaprior list`: what there is to choose from."""

from collections.abc import Sequence

from metaprior.cli.arguments import Parser
from metaprior.listing import listing

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Print names and what each stands for."""
    parser = Parser("list", "List what there is to choose from.")
    parser.options.add_argument("what", nargs="?", default="all", help="priors, nets, tasks, zoo, or all")
    what = parser.parse(words).what
    for name, entries in listing(what).items():
        if what == "all":
            print(f"{name}:")
        width = max((len(entry) for entry in entries), default=0)
        for entry, text in entries.items():
            print(f"{'  ' if what == 'all' else ''}{entry:{width}}  {text}")
