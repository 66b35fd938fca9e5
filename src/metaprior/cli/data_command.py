"""`metaprior data`: where the real data sets are."""

from collections.abc import Sequence

from metaprior import data
from metaprior.cli.arguments import Parser
from metaprior.errors import MetapriorError, UnknownNameError

__all__ = ["run"]

_ACTIONS = ("list", "get", "path")


def run(words: Sequence[str]) -> None:
    """List the data sets, download one, or print where its files are."""
    parser = Parser("data", "Real data sets: list them, get one, or print the paths of one.")
    parser.options.add_argument("action", help="list, get or path")
    parser.options.add_argument("name", nargs="?", default=None, help="of a data set, for get and path")
    parsed = parser.parse(words)
    if parsed.action not in _ACTIONS:
        raise UnknownNameError("action", parsed.action, _ACTIONS)
    if parsed.action == "list":
        print(*data.listing(), sep="\n")
        return
    if parsed.name is None:
        raise MetapriorError(f"data {parsed.action}: expected the name of a data set: {', '.join(data.DATASETS)}")
    for path in data.get(parsed.name) if parsed.action == "get" else data.paths(parsed.name):
        print(path)
