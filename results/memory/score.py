"""Acquire memories of several kinds on streams of small characters and score them: `python results/memory/score.py`."""

import json
import sys
from pathlib import Path

import torch

from metaprior import DistributedMemory, acquire, follow
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.nets import ConvNet
from metaprior.tasks import Streams, Strokes

HERE = Path(__file__).parent
STEPS = 1100
LAST = {"where": "last"}
CLAIMS = {
    "everywhere, told everywhere": {},
    "in the last block": LAST,
    "in the last block, three times the steps": {**LAST, "steps": 3},
    "everywhere, told in the last block": {"feedback": "last"},
    "everywhere, told nothing": {"feedback": "none"},
    "everywhere, labels 3 steps late": {"delay": 3},
    "in the last block, labels 3 steps late": {**LAST, "delay": 3},
    "everywhere, labels 3 steps late, twice the steps": {"delay": 3, "steps": 2},
    "in the last block, labels 3 steps late, twice the steps": {**LAST, "delay": 3, "steps": 2},
}
BESIDE = {
    "in the first block": {"where": r"blocks\.0"},
    "in the first two blocks": {"where": r"blocks\.[01]"},
    "in the last two blocks": {"where": r"blocks\.[12]"},
    **{
        f"{name}, labels {delay} steps late": {**arguments, "delay": delay}
        for delay in (2, 5)
        for name, arguments in {"everywhere": {}, "in the last block": LAST}.items()
    },
}


def score(seed, steps=1, delay=1, **arguments):
    """Acquire one memory and return what became of fixed streams of characters that it has not seen."""
    streams = Streams(Strokes(ways=3, shots=10, queries=1), delay, steps=10)
    prior = DistributedMemory(ConvNet(1, 10, 3, seed=seed), (1, 10, 10), 3, **arguments)
    acquired = acquire(
        prior, streams, steps=STEPS * steps, tasks_per_step=64, clip=1.0, anneal=False, validations=0, seed=seed
    )
    log = follow(prior, streams, streams=1000)
    return {
        "mean": log.result()["mean"],
        "by_presentation": [log.by_presentation()[number] for number in range(1, 6)],
        "parameters": log.parameters,
        "loss": acquired.log[-1].loss,
        "test_hash": log.hash,
    }


def table(rows):
    """Return the rows as Markdown: percentages, means over seeds, with the least and most of several."""
    numbers = range(1, 6)
    lines = [f"| memory | all steps | {' | '.join(f'{n}.' for n in numbers)} | parameters |", "|" + " --- |" * 8]
    for kind, seeds in rows.items():
        means = [100 * row["mean"] for row in seeds.values()]
        spread = f" ({min(means):.1f} to {max(means):.1f})" if len(means) > 1 else ""
        cells = [f"{sum(means) / len(means):.1f}{spread}"]
        shown = torch.tensor([row["by_presentation"] for row in seeds.values()]).mean(0)
        cells += [f"{100 * value:.0f}" for value in shown.tolist()]
        lines.append(f"| {kind} | {' | '.join(cells)} | {next(iter(seeds.values()))['parameters']:,} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and `table.md` beside this file; what a file given has already is not computed again."""
    torch.set_num_threads(1)
    kept = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/memory.json")
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    # The claims with five seeds, what is beside them with two.
    wanted = [(seed, kind) for seed in range(5) for kind in CLAIMS] + [
        (seed, kind) for seed in range(2) for kind in BESIDE
    ]
    for seed, kind in wanted:
        if str(seed) in rows.setdefault(kind, {}):
            continue
        rows[kind][str(seed)] = score(seed, **(CLAIMS | BESIDE)[kind])
        print(kind, seed, rows[kind][str(seed)], flush=True)
        write_text(kept, json.dumps(rows))
    write_text(
        HERE / "result.json", json.dumps({"versions": versions(), "steps": STEPS, "rows": rows}, indent=1) + "\n"
    )
    write_text(HERE / "table.md", table(rows))


if __name__ == "__main__":
    main()
