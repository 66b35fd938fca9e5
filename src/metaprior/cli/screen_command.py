"""`metaprior screen`: what to measure next, round by round."""

from collections.abc import Sequence

from metaprior.cli.arguments import Parser
from metaprior.cli.display import console, table

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Simulate a closed loop on a table, or write the next batch to measure."""
    from metaprior.molecules.screen import Batch, screen

    parser = Parser("screen", "Choose what to measure next of a library, and take the labels back.")
    parser.options.add_argument("run", help="a run folder, a checkpoint file, or zoo:NAME")
    parser.options.add_function_arguments(screen, skip={"prior", "report"}, fail_untyped=False)
    parsed = parser.parse(words)
    options = {key: parsed[key] for key in vars(parsed) if key not in {"config", "threads", "run"}}
    found = screen(parsed.run, **options, report=console.print)
    if isinstance(found, Batch):
        by = f"chosen by {found.measured} measurements" if found.measured else "chosen before any measurement"
        console.print(f"{found.file}: {found.size} to measure next, {by}")
        console.print(f"Next: fill in its column '{parsed.target}', and give the same command again")
        return
    curves = found.curves()
    counts = next(iter(curves.values()))[0]
    rows = [(name, *(f"{value:.1f}" for value in hits.mean(0))) for name, (_, hits) in curves.items()]
    table(("measured", *map(str, counts)), rows, title=f"hits found, of {found.hits} among {found.library}")
    console.print(f"{parsed.out}: screen.csv, screen.png, picks.csv, result.json")
