"""Score the acquired priors on fixed sinusoids: `python results/hypernetworks-sinusoids/score.py RUNS`."""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path

import torch

from metaprior import evaluate, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.tasks import Sinusoid

HERE = Path(__file__).parent
RANGES = {"in": (0.1, 5.0), "out": (5.0, 8.0)}
MANY = (1, 2, 5, 10, 20)
FOLLOWED = {(label, tasks) for label in ("hypernet", "plain", "wide") for tasks in ("unlimited", "30")}
FEED_FORWARD = {"hypermaml", "amortised", "cnp"}
COMPARED = ("hypernet", "plain", "wide", "hypernet,larger-steps", "plain,larger-steps", "wide,equal-steps")


def runs(folder):
    """Yield the label, number of training tasks, and folder of each finished run."""
    for finished in sorted(folder.glob("*/finished")):
        label, tasks, _ = finished.parent.name.rsplit("-", 2)
        yield label, tasks, finished.parent


def score(folder):
    """Return a row for each kind of prior, number of training tasks, range, and number of steps; seeds are together.

    The scores of each run are kept in its folder, and not computed again.
    """
    tests = {name: Sinusoid(amplitude=amplitude).test_set(600, seed=0) for name, amplitude in RANGES.items()}
    seeds = defaultdict(list)
    for label, tasks, run in runs(folder):
        kept = run / "scores.json"
        if not kept.exists():
            steps = (None,) if label in FEED_FORWARD else MANY if (label, tasks) in FOLLOWED else (1, 10)
            write_text(kept, json.dumps(list(scored(run, tests, steps))))
            print(run.name, flush=True)
        for row in json.loads(kept.read_text()):
            seeds[label, tasks, row["range"], row["steps"]].append(row)
    return [{"prior": key[0], "train_tasks": key[1], **pooled(found)} for key, found in seeds.items()]


def scored(run, tests, many):
    """Yield a row for each number of steps, and range, of one run."""
    prior, card = load(run), read_card(run)
    for steps in many:
        if steps is not None:
            prior.test_steps = steps
        for name, test in tests.items():
            result = evaluate(prior, test)
            spent = {"acquire_steps": card["step"], "acquire_seconds": card["seconds"]}
            scores = [finite(value) for value in result.scores.tolist()]
            row = result.row() | spent | {"mean": finite(result.mean), "scores": scores}
            yield {"range": name, "steps": steps, **row}


def pooled(found):
    """Return the mean over seeds and tasks, its interval over tasks, the mean of each seed, and what it cost."""
    first = found[0]
    scores = torch.tensor([[math.nan if value is None else value for value in row["scores"]] for row in found]).mean(0)
    kept = ("range", "steps", "metric", "tasks", "test_hash", "parameters", "state_bytes", "acquire_steps")
    return {name: first[name] for name in kept} | {
        "mean": finite(scores.mean().item()),
        "interval_95": finite(1.96 * scores.std().item() / len(scores) ** 0.5),
        "seeds": [row["mean"] for row in found],
        "diverged": sum(value is None for row in found for value in row["scores"]) / scores.numel() / len(found),
        "adapt_seconds": min(row["adapt_seconds"] for row in found),
        "acquire_seconds": sum(row["acquire_seconds"] for row in found) / len(found),
    }


def finite(value):
    """Return a number for JSON, None if it diverged."""
    return value if math.isfinite(value) and value < 1e4 else None


def cell(row):
    """Return an error with its interval and the range of the seeds."""
    if row is None:
        return ""
    if row["mean"] is None:
        return f"diverges on {100 * row['diverged']:.2g} % of tasks"
    low, high = min(row["seeds"]), max(row["seeds"])
    return f"{row['mean']:.3g} ± {row['interval_95']:.2g} ({low:.3g} to {high:.3g})"


def table(rows, chosen, first):
    """Return rows as Markdown: in and out of distribution, after 1 and after 10 steps."""
    known = {(row["prior"], row["train_tasks"], row["range"], row["steps"]): row for row in rows}
    lines = [
        f"| {first} | like those acquired, 1 step | 10 steps | larger amplitudes, 1 step | 10 steps | parameters "
        "| adapted | acquired in |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, label, tasks in chosen:
        row = known.get((label, tasks, "in", 1)) or known.get((label, tasks, "in", None))
        if row is None:
            continue
        places = [(range_, steps) for range_ in RANGES for steps in (1, 10)]
        errors = [known.get((label, tasks, *place)) for place in places]
        if label in FEED_FORWARD:
            errors = [known[label, tasks, range_, None] if steps == 1 else None for range_, steps in places]
        numbers = f"{row['parameters']:,} | {row['state_bytes'] // 4:,}"
        spent = f"{row['acquire_steps']:,} steps, {row['acquire_seconds']:.0f} s"
        lines.append(f"| {name} | {' | '.join(map(cell, errors))} | {numbers} | {spent} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and the tables beside this file."""
    torch.set_num_threads(1)
    rows = score(Path(sys.argv[1]))
    write_text(HERE / "result.json", json.dumps({"versions": versions(), "seed": 0, "rows": rows}, indent=1) + "\n")
    labels = dict.fromkeys((row["prior"], row["train_tasks"]) for row in rows)
    known = [(label, tasks) for label in COMPARED for tasks in ("unlimited", "1000", "100", "30")]
    compared = [(f"{label}, {tasks} tasks", label, tasks) for label, tasks in known if (label, tasks) in labels]
    others = [(label, label, tasks) for label, tasks in labels if label not in COMPARED]
    write_text(HERE / "table.md", table(rows, compared, "prior") + "\n" + table(rows, others, "1,500 steps"))


if __name__ == "__main__":
    main()
