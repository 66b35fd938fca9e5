"""`metaprior adapt`: predictions for a novel task, from a few labelled examples."""

import sys
from collections.abc import Sequence

from metaprior.checkpoint import load
from metaprior.cli.arguments import Parser
from metaprior.cli.choices import SETTINGS, add_settings, changed, check_device
from metaprior.cli.display import console

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Adapt a prior to a user's support set and write predictions for the queries, or print them."""
    from metaprior.adapt import adapt

    parser = Parser("adapt", "Adapt a prior to labelled examples and predict others.")
    parser.options.add_argument("run", help="a run folder, a checkpoint file, or zoo:NAME")
    parser.options.add_argument(
        "--support", type=str | None, default=None, help="labelled examples; none for a prior that is told by --about"
    )
    parser.options.add_function_arguments(adapt, skip={"prior", "support", "inputs", "net"}, fail_untyped=False)
    add_settings(parser.options)
    parsed = parser.parse(words)
    apart = {"config", "threads", "run", *SETTINGS}
    options = {key: parsed[key] for key in vars(parsed) if key not in apart}
    if parsed.device is not None:
        check_device(parsed.device)
    given = any(parsed[name] is not None for name in SETTINGS)
    predictions = adapt(changed(load(parsed.run), parsed) if given else parsed.run, **options)
    for read in predictions.understood:
        print(f"metaprior: support: read {read}", file=sys.stderr)
    if parsed.out is None:
        print(predictions.to_csv(), end="")
    else:
        console.print(f"{parsed.out}: {len(predictions)} predictions, in the order of the queries")
