"""`metaprior evaluate`: the score of a prior on fixed test tasks."""

import json
from collections.abc import Sequence
from pathlib import Path

from metaprior.checkpoint import load
from metaprior.cli.arguments import Parser
from metaprior.cli.choices import TASKS, own_tasks, to_device
from metaprior.cli.display import console, table
from metaprior.errors import MetapriorError
from metaprior.evaluate import evaluate
from metaprior.files import check_writable, write_text
from metaprior.registry import sources

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Score a prior on the test tasks of the source that it was acquired on, or of another."""
    parser = Parser("evaluate", "Score a prior on fixed test tasks.", (TASKS,))
    options = parser.options
    options.add_argument("run", help="a run folder, a checkpoint file, or zoo:NAME")
    options.add_argument("--episodes", type=int, default=1000, help="how many test tasks")
    options.add_argument("--seed", type=int, default=0, help="of the test tasks")
    options.add_argument("--split", default="test", choices=("train", "valid", "test"), help="which tasks")
    options.add_argument("--transductive", type=bool | None, default=None, help="let queries see each other")
    options.add_argument("--test_steps", type=int | None, default=None, help="inner steps of a gradient-based prior")
    options.add_argument("--out", type=str | None, default=None, help="a JSON file for the result")
    options.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, mps")
    parsed = parser.parse(words, own_tasks(words))
    if parsed.out is not None:
        check_writable(parsed.out)
    prior = to_device(load(parsed.run), parsed.device)
    for name in ("transductive", "test_steps"):
        if parsed[name] is not None:
            if not hasattr(prior, name) or (name == "transductive" and name not in vars(prior)):
                raise MetapriorError(f"--{name}: {type(prior).__name__} has no such setting")
            setattr(prior, name, parsed[name])
    source = parser.build(parsed, "tasks")
    if source is None:
        raise MetapriorError(f"--tasks: {parsed.run} does not say its tasks; expected one of {', '.join(sources)}")
    result = evaluate(prior, source, parsed.episodes, parsed.seed, parsed.split)
    row = result.row()
    of = ", ".join(f"{key} {value}" for key, value in parser.given(parsed, "tasks").items() if value is not None)
    row = {"source": f"{parser.names['tasks']}: {of}"} | row
    table(
        ("", ""),
        [
            (key.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
            for key, value in row.items()
        ],
        title=f"{parsed.run} on {parsed.split} tasks",
    )
    console.print(f"[bold]{result}[/bold]  (95 % interval over {len(result.scores)} tasks)")
    if parsed.out is not None:
        write_text(Path(parsed.out), json.dumps({"run": parsed.run, "seed": parsed.seed, **row}, indent=2) + "\n")
