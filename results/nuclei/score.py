"""Score the acquired priors on ways of imaging never seen: `python results/nuclei/score.py RUNS [TASKS]`."""

import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path

import torch

from metaprior import Scratch, evaluate, follow, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.nets import UNet
from metaprior.tasks import Nuclei, Streams

HERE = Path(__file__).parent
SHOTS = (1, 2, 5, 10)
SIZES = {"queries": 5, "size": 32, "field": 64}
# Of what is trained on the shots, this is chosen on the validation modality, at 5 shots, for each seed.
TUNING = tuple(itertools.product((10, 40), (1e-3, 1e-2)))
STEP_SIZES = (0.03, 0.1, 0.3)


def source(shots):
    return Nuclei(shots=shots, **SIZES)


def best(prior, choices, change, tasks):
    """Change the settings of a prior to those of the choices that do best on validation tasks."""
    tests = source(5).test_set(tasks, seed=1, split="valid")
    scores = []
    for choice in choices:
        change(prior, choice)
        scores.append(evaluate(prior, tests).mean)
    chosen = choices[scores.index(max(scores))]
    change(prior, chosen)
    return chosen


def set_tuning(prior, choice):
    prior.steps, prior.learning_rate = choice


def set_step_size(prior, size):
    prior.step_size = size


def contestants(runs, seed, tasks):
    """Yield name, prior, what was chosen on validation tasks, and the seconds of acquisition."""
    for name in ("memory", "memory,told-nothing", "maml", "fine_tune"):
        folder = runs / f"{name}-{seed}"
        if not (folder / "finished").exists():
            continue
        prior, chosen = load(folder), None
        if name == "maml":
            chosen = best(prior, STEP_SIZES, set_step_size, tasks)
        if name == "fine_tune":
            chosen = best(prior, TUNING, set_tuning, tasks)
        yield name, prior, chosen, read_card(folder)["seconds"]
    scratch = Scratch(UNet(3, 2, widths=(8, 16, 32), seed=seed))
    yield "scratch", scratch, best(scratch, TUNING, set_tuning, tasks), 0.0


def score(runs, tasks):
    """Yield rows: a prior of one seed after so many shots."""
    tests = {shots: source(shots).test_set(tasks, seed=0) for shots in SHOTS}
    streams = Streams(source(max(SHOTS) + 1), delay=1)
    for seed in sorted({int(mark.parent.name.rsplit("-", 1)[1]) for mark in runs.glob("*/finished")}):
        for name, prior, chosen, seconds in contestants(runs, seed, max(2, tasks // 4)):
            facts = {"seed": seed, "chosen": chosen, "acquire_seconds": seconds}
            for shots, test in tests.items():
                result = evaluate(prior, test)
                print(f"{name} seed {seed}, {shots} shots: {result}", flush=True)
                scores = {"scores": [round(value, 4) for value in result.scores.tolist()]}
                yield {"prior": name, "shots": shots} | facts | result.row() | scores
            if name.startswith("memory"):
                log = follow(prior, streams, tasks)
                for shots in (0, *SHOTS):
                    scores = log.scores[:, shots]
                    print(f"{name} seed {seed}, in streams after {shots}: {100 * scores.mean():.2f} %", flush=True)
                    row = {"prior": f"{name}, in streams", "shots": shots, "metric": log.metric, "test_hash": log.hash}
                    cost = {"parameters": log.parameters, "state_bytes": log.state_bytes}
                    cost["adapt_seconds"] = log.step_seconds
                    yield row | facts | cost | {"scores": [round(value, 4) for value in scores.tolist()]}


def pooled(rows):
    """Return the rows of all seeds as one: the mean, its interval over tasks, and the mean of each seed."""
    together = defaultdict(list)
    for row in rows:
        together[row["prior"], row["shots"]].append(row)
    dropped = ("scores", "seed", "chosen", "transductive")
    for group in together.values():
        each = torch.tensor([row["scores"] for row in group])
        scores = each.mean(0)
        yield {key: value for key, value in group[0].items() if key not in dropped} | {
            "mean": scores.mean().item(),
            "interval_95": 1.96 * scores.std().item() / len(scores) ** 0.5,
            "seeds": each.mean(1).tolist(),
            "chosen": [row["chosen"] for row in group],
            "acquire_seconds": sum(row["acquire_seconds"] for row in group) / len(group),
        }


def table(rows):
    """Return the rows as Markdown, a column for each number of shots."""
    counts = sorted({row["shots"] for row in rows})
    known = {(row["prior"], row["shots"]): row for row in rows}
    head = ["prior", *[f"{count} shots" for count in counts], "parameters", "state, bytes", "acquired in", "adapts in"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for name in dict.fromkeys(row["prior"] for row in rows):
        cells = [
            f"{100 * row['mean']:.1f} ± {100 * row['interval_95']:.1f}" if (row := known.get((name, count))) else ""
            for count in counts
        ]
        last = known[name, counts[-1]]
        cells += [f"{last['parameters']:,}", f"{last['state_bytes']:,}"]
        cells += [f"{last['acquire_seconds']:.0f} s", f"{1000 * last['adapt_seconds']:.0f} ms"]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and `table.md` beside this file; the scores of each task stay with the runs."""
    torch.set_num_threads(1)
    runs, tasks = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40
    rows = list(score(runs, tasks))
    write_text(runs / "scores.json", json.dumps(rows))
    result = list(pooled(rows))
    write_text(HERE / "result.json", json.dumps({"versions": versions(), "seed": 0, "rows": result}, indent=1) + "\n")
    write_text(HERE / "table.md", table(result))


if __name__ == "__main__":
    main()
