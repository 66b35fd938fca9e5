"""Let the acquired priors follow streams of new characters: `python results/omniglot-streams/score.py RUNS`."""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch

from metaprior import follow, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.metrics import presentations
from metaprior.tasks import Omniglot, Streams

HERE = Path(__file__).parent
DELAYS = (1, 2, 5, 10)
SHOWN = (1, 2, 3, 5, 10)
STREAMS = 600


def score(run, delay, streams):
    """Return, of each of the streams, the accuracy at each presentation, and what a step cost."""
    source = Streams(Omniglot(size=16, ways=5, shots=15, queries=1), delay, steps=50)
    log = follow(load(run), source, streams=streams)
    number = presentations(log.y, log.real)
    each = [(log.scores * (number == shown)).sum(1) / (number == shown).sum(1).clamp(min=1) for shown in SHOWN]
    return {
        "accuracy": {str(shown): spread(values) for shown, values in zip(SHOWN, each, strict=True)},
        "mean": spread(log.scores.mean(1)),
        "step_seconds": log.step_seconds,
        "state_bytes": log.state_bytes,
        "parameters": log.parameters,
        "test_hash": log.hash,
    }


def spread(values):
    """Return a mean over streams, and half of its 95 % interval."""
    return [values.mean().item(), 1.96 * values.std().item() / len(values) ** 0.5]


def pooled(seeds):
    """Return the mean over seeds, and half of an interval that treats streams of all seeds alike."""
    means, halves = torch.tensor(seeds).unbind(1)
    return [means.mean().item(), halves.square().sum().sqrt().item() / len(seeds)]


def table(rows):
    """Return the rows as Markdown: accuracy by presentation with labels at once, and at the 2nd and 5th with delays."""
    head = (
        [f"{number}." for number in SHOWN]
        + [f"2., {d} late" for d in DELAYS[1:]]
        + [f"5., {d} late" for d in DELAYS[1:]]
    )
    lines = [
        f"| prior | {' | '.join(head)} | a step takes | carried | parameters | acquired in |",
        f"| --- |{' --- |' * (len(head) + 4)}",
    ]
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["1"]["accuracy"]["2"][0]):
        at_once = row["1"]
        cells = [text(at_once["accuracy"][str(number)]) for number in SHOWN]
        cells += [text(row[str(delay)]["accuracy"][number]) for number in ("2", "5") for delay in DELAYS[1:]]
        cost = f"{1000 * at_once['step_seconds']:.2g} ms | {at_once['state_bytes']:,} bytes | {at_once['parameters']:,}"
        lines.append(f"| {name} | {' | '.join(cells)} | {cost} | {row['steps']:,} steps, {row['seconds']:.0f} s |")
    return "\n".join(lines) + "\n"


def text(value):
    """Return an accuracy and its interval in percent."""
    return f"{100 * value[0]:.1f} ± {100 * value[1]:.1f}"


def main():
    """Write `result.json` and `table.md` beside this file, or into `--out`.

    What a run has already is not computed again. Rows of priors that RUNS lacks stay, if they are of the same streams.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    seeds = defaultdict(list)
    for finished in sorted(asked.runs.glob("*/finished")):
        run, kept = finished.parent, finished.parent / f"streams-{asked.streams}.json"
        if not kept.exists():
            card = read_card(run)
            found = {str(delay): score(run, delay, asked.streams) for delay in DELAYS}
            write_text(kept, json.dumps(found | {"steps": card.get("step", 0), "seconds": card.get("seconds", 0.0)}))
            print(run.name, found["1"]["accuracy"], flush=True)
        seeds[run.name.rsplit("-", 1)[0]].append(json.loads(kept.read_text()))
    before = asked.out / "result.json"
    rows = json.loads(before.read_text())["rows"] if before.exists() else {}
    new = {name: together(found) for name, found in seeds.items()}
    hashes = {row["1"]["test_hash"] for row in new.values()}
    rows = {name: row for name, row in rows.items() if row["1"]["test_hash"] in hashes} | new
    result = {"versions": versions(), "streams": asked.streams, "rows": rows}
    write_text(asked.out / "result.json", json.dumps(result, indent=1) + "\n")
    write_text(asked.out / "table.md", table(rows))


def together(found):
    """Return one row for the runs of several seeds."""
    row = {
        "steps": found[0]["steps"],
        "seconds": sum(each["seconds"] for each in found) / len(found),
        "seeds": len(found),
    }
    for delay in map(str, DELAYS):
        each = [seed[delay] for seed in found]
        row[delay] = each[0] | {
            "accuracy": {str(n): pooled([one["accuracy"][str(n)] for one in each]) for n in SHOWN},
            "mean": pooled([one["mean"] for one in each]),
        }
    return row


if __name__ == "__main__":
    main()
