"""`metaprior adapt`: predictions for a novel task, from a few labelled examples."""

from collections.abc import Sequence

from metaprior.cli.arguments import Parser
from metaprior.cli.display import console

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Adapt a prior to a user's support set and write predictions for the queries."""
    from metaprior.adapt import adapt

    parser = Parser("adapt", "Adapt a prior to labelled examples and predict others.")
    parser.options.add_argument("run", help="a run folder, a checkpoint file, or zoo:NAME")
    parser.options.add_function_arguments(adapt, skip={"prior"}, fail_untyped=False)
    parsed = parser.parse(words)
    options = {key: parsed[key] for key in vars(parsed) if key not in {"config", "threads", "run"}}
    result = adapt(parsed.run, **options)
    console.print(result.summary())
    if parsed.out is not None:
        console.print(f"{parsed.out}: one row for each query, in the order given")
