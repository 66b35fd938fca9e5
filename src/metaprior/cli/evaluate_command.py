"""`metaprior evaluate`: the score of a prior on fixed test tasks."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metaprior.checkpoint import load
from metaprior.cli.arguments import Parser
from metaprior.cli.choices import TASKS, add_settings, changed, own_tasks, to_device
from metaprior.cli.display import console, table
from metaprior.errors import MetapriorError, check_positive
from metaprior.evaluate import check_fit, evaluate
from metaprior.files import check_writable, write_text
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.protocol import assay_protocol
from metaprior.prior import Prior
from metaprior.registry import sources
from metaprior.tasks.source import TaskSource

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Score a prior on the test tasks of the source that it was acquired on, or of another."""
    parser = Parser("evaluate", "Score a prior on fixed test tasks.", (TASKS,))
    options = parser.options
    options.add_argument("run", help="a run folder, a checkpoint file, or zoo:NAME")
    options.add_argument("--episodes", type=int, default=1000, help="how many test tasks")
    options.add_argument(
        "--sizes",
        type=list[int] | int | None,
        default=None,
        help="of assays: score each with so many labels, or with each of several numbers, as FS-Mol does",
    )
    options.add_argument("--draws", type=int, default=10, help="with --sizes: supports of each size of each assay")
    options.add_argument("--seed", type=int, default=0, help="of the test tasks")
    options.add_argument("--split", default="test", choices=("train", "valid", "test"), help="which tasks")
    add_settings(options)
    options.add_argument("--out", type=str | None, default=None, help="a JSON file for the result")
    options.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, mps")
    parsed = parser.parse(words, own_tasks(words))
    if parsed.out is not None:
        check_writable(parsed.out)
    prior = changed(to_device(load(parsed.run), parsed.device), parsed)
    source = parser.build(parsed, "tasks")
    if source is None:
        raise MetapriorError(f"--tasks: {parsed.run} does not say its tasks; expected one of {', '.join(sources)}")
    if not parser.named(words, "tasks.featuriser"):
        source = source.as_acquired(prior.recorded_inputs or {})
    # Features are those of the prior; with --sizes, numbers of labels are those that are asked.
    apart = {"featuriser"} | ({"shots", "queries"} if parsed.sizes is not None else set())
    given = {key: value for key, value in parser.given(parsed, "tasks").items() if value is not None}
    of = f"{parser.names['tasks']}: {', '.join(f'{key} {value}' for key, value in given.items() if key not in apart)}"
    if parsed.sizes is not None:
        _by_size(prior, source, of, parsed)
        return
    result = evaluate(prior, source, parsed.episodes, parsed.seed, parsed.split)
    row = {"source": of} | result.row()
    table(
        ("", ""),
        [
            (key.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
            for key, value in row.items()
        ],
        title=f"{parsed.run} on {parsed.split} tasks",
    )
    console.print(f"[bold]{result}[/bold]  (95 % interval over {len(result.scores)} tasks)")
    if isinstance(source, AssaySource):
        console.print('--sizes "[16,64]" scores each assay with so many labels, as the protocol of FS-Mol does.')
    if parsed.out is not None:
        write_text(Path(parsed.out), json.dumps({"run": parsed.run, "seed": parsed.seed, **row}, indent=2) + "\n")


def _by_size(prior: Prior, source: TaskSource, of: str, parsed: Any) -> None:
    """Score a prior on assays with supports of each size, and show and write what it scored."""
    if not isinstance(source, AssaySource):
        raise MetapriorError(
            f"--sizes: is of assays; {type(source).__name__} has other tasks, so give --episodes instead"
        )
    check_positive(draws=parsed.draws)
    check_fit(prior, source)
    sizes = [parsed.sizes] if isinstance(parsed.sizes, int) else parsed.sizes
    if not sizes or min(sizes) < 0:
        raise MetapriorError(f"--sizes: expected numbers of labels, such as 16 or [16,64], got {parsed.sizes}")
    with console.status("reading and featurising ...") as status:

        def show(size: int, name: str, scores: Mapping[str, float]) -> None:
            status.update(f"{size} labels: {name}")

        found = assay_protocol(prior, source, sizes, parsed.draws, seed=parsed.seed, split=parsed.split, report=show)
    metrics = [key for key in found.rows[0] if f"{key}_interval" in found.rows[0]]
    table(
        ("labels", "tasks", *(key.replace("_", " ") for key in metrics)),
        [
            (
                str(row["support"]),
                str(row["tasks"]),
                *(_cell(row[key], row[f"{key}_interval"]) for key in metrics),
            )
            for row in found.rows
        ],
        title=f"{parsed.run} on {parsed.split} tasks of {of}",
    )
    several = f"{parsed.draws} supports" if parsed.draws > 1 else "one support"
    console.print(f"Mean and 95 % interval over tasks, each the mean of {several}; draws {found.hash}")
    if parsed.out is not None:
        result = {"run": parsed.run, "source": of, "split": parsed.split, "seed": parsed.seed, "draws": parsed.draws}
        result |= {"draws_hash": found.hash, "rows": found.rows, "tasks": found.tasks}
        write_text(Path(parsed.out), json.dumps(result, indent=2) + "\n")


def _cell(mean: float, interval: float) -> str:
    """Return a score with its interval, which there is none of for a single task."""
    return "" if math.isnan(mean) else f"{mean:.3f}" + ("" if math.isnan(interval) else f" ± {interval:.3f}")
