"""Follow the test part of the electricity stream: `python results/electricity/score.py RUNS [PART]`.

PART is `valid` to choose settings; `test`, the default, writes `result.json` and `table.md`.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch
from river import dummy, forest, stream, tree

from metaprior import follow, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.tasks import Electricity, Streams

HERE = Path(__file__).parent
DELAYS = (1, 48)
SEEDS = (0, 1, 2)
ONCE = {"untold", "protonet", "maml"}
"""Acquired once for all delays."""
PEERS = {
    "no change": lambda seed: dummy.NoChangeClassifier(),
    "majority class": lambda seed: dummy.PriorClassifier(),
    "Hoeffding adaptive tree": lambda seed: tree.HoeffdingAdaptiveTreeClassifier(seed=seed),
    "adaptive random forest": lambda seed: forest.ARFClassifier(seed=seed),
}
SEEDED = {"Hoeffding adaptive tree", "adaptive random forest"}
ORDER = ("distributed", "last", "untold", "protonet", "maml", *PEERS)
MEANING = {
    "distributed": "memory in all layers",
    "last": "memory in the last layer",
    "untold": "memory in all layers, told no labels",
    "protonet": "prototypes",
    "maml": "MAML, a step on each label",
}


def kept(file, compute):
    """Return what a file keeps, computing it first if it is not there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(compute()))
        print(file, flush=True)
    return json.loads(file.read_text())


def of_prior(run, delay, part):
    """Let a prior follow all rows of a part, from no belief."""
    source = Electricity(length=None)
    log = follow(load(run), Streams(source, delay), streams=1, split=part)
    card = read_card(run)
    spent = {"acquire_steps": card["step"], "acquire_seconds": card["seconds"]}
    return {"accuracy": log.scores.mean().item(), "test_hash": log.hash, "step_ms": 1e3 * log.step_seconds} | spent


def of_peer(model, delay, part):
    """Let a river model predict and learn all rows up to the end of a part; score it on those of the part."""
    source = Electricity(length=None)
    splits = ("train", "valid", "test")[: ("train", "valid", "test").index(part) + 1]
    rows = [torch.cat(parts) for parts in zip(*(source.rows(split) for split in splits), strict=True)]
    x, y = (values.tolist() for values in rows)
    begin = len(x) - len(source.rows(part)[0])
    examples = [(dict(zip(Electricity.columns, row, strict=True)), label) for row, label in zip(x, y, strict=True)]
    said, start = {}, time.perf_counter()
    for place, row, label in stream.simulate_qa(examples, moment=None, delay=delay, copy=False):
        if label is None:
            said[place] = model.predict_one(row)
        else:
            model.learn_one(row, label)
    seconds = time.perf_counter() - start
    hits = [said[place] == y[place] for place in range(begin, len(y))]
    return {"accuracy": sum(hits) / len(hits), "step_ms": 1e3 * seconds / len(y)}


def score(runs, part):
    """Return a row for each model and delay; seeds are together, and what was scored before is not scored again."""
    found = {}
    for finished in sorted(runs.glob("*/finished")):
        name, delay, _ = finished.parent.name.rsplit("-", 2)
        for each in DELAYS if name in ONCE else (int(delay),):
            file = finished.parent / f"{part}-{each}.json"
            row = kept(file, lambda run=finished.parent, each=each: of_prior(run, each, part))
            found.setdefault((name, each), []).append(row)
    for name, build in PEERS.items():
        for delay in DELAYS:
            for seed in SEEDS if name in SEEDED else SEEDS[:1]:
                file = runs / "peers" / f"{name.replace(' ', '-')}-{delay}-{seed}-{part}.json"
                row = kept(file, lambda build=build, seed=seed, delay=delay: of_peer(build(seed), delay, part))
                found.setdefault((name, delay), []).append(row)
    floor = {delay: found["no change", delay][0]["accuracy"] for delay in DELAYS}
    return [
        {
            "model": name,
            "delay": delay,
            "accuracy": (mean := statistics.mean(row["accuracy"] for row in rows)),
            "kappa_temporal": 1 - (1 - mean) / (1 - floor[delay]),
            "seeds": [row["accuracy"] for row in rows],
            "step_ms": min(row["step_ms"] for row in rows),
            **{key: rows[0][key] for key in ("acquire_steps", "acquire_seconds", "test_hash") if key in rows[0]},
        }
        for (name, delay), rows in sorted(found.items(), key=lambda item: (ORDER.index(item[0][0]), item[0][1]))
    ]


def table(rows):
    """Return the rows as Markdown: accuracy and Kappa temporal at each delay."""
    heads = "".join(f" | delay {delay} | Kappa temporal" for delay in DELAYS)
    lines = [f"| model{heads} | ms a step |", "|" + " --- |" * (2 + 2 * len(DELAYS))]
    known = {(row["model"], row["delay"]): row for row in rows}
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [known.get((name, delay)) for delay in DELAYS]
        cells = [cell for row in own for cell in (percent(row), f"{row['kappa_temporal']:.2f}" if row else "")]
        cost = min(row["step_ms"] for row in own if row)
        lines.append(f"| {MEANING.get(name, name)} | {' | '.join(cells)} | {cost:.2g} |")
    return "\n".join(lines) + "\n"


def percent(row):
    """Return an accuracy with the range of the seeds."""
    if row is None:
        return ""
    low, high = 100 * min(row["seeds"]), 100 * max(row["seeds"])
    spread = f" ({low:.1f} to {high:.1f})" if len(row["seeds"]) > 1 else ""
    return f"{100 * row['accuracy']:.1f}{spread}"


def main():
    """Print the table; of the test part, write it and `result.json` beside this file."""
    torch.set_num_threads(1)
    part = sys.argv[2] if len(sys.argv) > 2 else "test"
    rows = score(Path(sys.argv[1]), part)
    print(table(rows))
    if part == "test":
        write_text(HERE / "result.json", json.dumps({"versions": versions(), "rows": rows}, indent=1) + "\n")
        write_text(HERE / "table.md", table(rows))


if __name__ == "__main__":
    main()
