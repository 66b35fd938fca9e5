"""How a memory leaves its plateau on 5-way streams of Omniglot: `python results/omniglot-streams/curriculum.py`."""

import json
import sys
import time
from pathlib import Path

import torch

from metaprior import DistributedMemory, PairedMemory, acquire, follow
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.nets import MLP
from metaprior.tasks import Omniglot, Streams

HERE = Path(__file__).parent
DIRECT = ((5, 20, 3000),)
CLASSES = ((2, 8, 500), (3, 12, 500), (5, 20, 2000))
WAYS = {
    "recurrent, told with the next image": (DistributedMemory, {}, DIRECT, 0),
    "the same, a warm-up of 300 steps": (DistributedMemory, {}, DIRECT, 300),
    "the same, two and three classes first": (DistributedMemory, {}, CLASSES, 0),
    "recurrent, told with its image": (PairedMemory, {}, DIRECT, 0),
    "the same, two and three classes first ": (PairedMemory, {}, CLASSES, 0),
    "fast weights, told with its image": (PairedMemory, {"cell": "fast"}, DIRECT, 0),
}
"""The memory, its arguments, stages of so many classes, steps of a stream and steps of acquisition, and the warm-up."""
SEEDS = 2
LEFT = 0.35
"""The accuracy over all 20 steps at which the plateau has been left, on which it is 0.22 or 0.23."""


def streams(classes, length):
    """Return streams of characters of 16 x 16 pixels, each label right after its prediction."""
    return Streams(Omniglot(size=16, ways=classes, shots=15, queries=1), steps=length)


def score(seed, cls, arguments, stages, warm_up):
    """Acquire one memory of 5 outputs by stages, and return when it left its plateau and where it got."""
    goal = streams(5, 20)
    prior = cls.for_tasks(goal.spec, MLP(256, 5, hidden=(128, 128), seed=seed), **arguments)
    begin = time.process_time()
    for classes, length, steps in stages:
        before = time.process_time() - begin
        acquired = acquire(
            prior,
            streams(classes, length),
            steps=steps,
            tasks_per_step=32,
            clip=1.0,
            anneal=False,
            warm_up=warm_up,
            validations=steps // 100,
            seed=seed,
        )
    seconds, log = time.process_time() - begin, follow(prior, goal, streams=600)
    shown = log.by_presentation()
    return {
        "seconds": seconds,
        "seconds_before_last_stage": before,
        "validation": [progress.validation for progress in acquired.log],
        "second": shown[2],
        "fifth": shown[5],
        "test_hash": log.hash,
    }


def left(row):
    """Return the seconds after which the plateau was left, None if it was not: validations are evenly in the stage."""
    before, scores = row["seconds_before_last_stage"], row["validation"]
    at = next((number for number, value in enumerate(scores, start=1) if value > LEFT), None)
    return None if at is None else before + (row["seconds"] - before) * at / len(scores)


def table(rows):
    """Return the rows as Markdown, means over seeds."""
    lines = ["| memory, behind two layers of 128 units | plateau left after | in all | 2. | 5. |", "|" + " --- |" * 5]
    for name, seeds in rows.items():
        every = list(seeds.values())
        told = ", ".join("never" if value is None else f"{value:.0f} s" for value in map(left, every))
        second, fifth, seconds = (sum(row[key] for row in every) / len(every) for key in ("second", "fifth", "seconds"))
        lines.append(f"| {name.strip()} | {told} | {seconds:.0f} s | {100 * second:.1f} | {100 * fifth:.1f} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `curriculum.json` and `curriculum.md` beside this file; what is kept in a file is not computed again."""
    torch.set_num_threads(1)
    kept = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/curriculum.json")
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    for seed in range(SEEDS):
        for name, way in WAYS.items():
            if str(seed) not in rows.setdefault(name, {}):
                rows[name][str(seed)] = score(seed, *way)
                print(name, seed, rows[name][str(seed)], flush=True)
                write_text(kept, json.dumps(rows))
    write_text(HERE / "curriculum.json", json.dumps({"versions": versions(), "rows": rows}, indent=1) + "\n")
    write_text(HERE / "curriculum.md", table(rows))


if __name__ == "__main__":
    main()
