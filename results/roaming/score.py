"""Let the acquired priors follow roaming streams of new characters: `python results/roaming/score.py RUNS`."""

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

import torch
from matplotlib.figure import Figure

from metaprior import follow, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.tasks import Roaming, Streams

HERE = Path(__file__).parent
STREAMS = 300
PUBLISHED = {
    "LSTM": (64.34, 61.00, 81.85),
    "DNC": (81.30, 78.87, 91.01),
    "online matching": (88.69, 84.82, 95.55),
    "online prototypes": (90.49, 85.68, 96.95),
    "CPM": (94.17, 91.99, 97.74),
}
"""Ren et al. 2021, table 2, supervised: average precision, 1-shot and 3-shot accuracy."""


def score(run, streams):
    """Return what became of fixed streams."""
    log = follow(load(run), Streams(Roaming()), streams=streams)
    shown, card = log.by_presentation(), read_card(run)
    return {
        "average_precision": log.average_precision(),
        "one_shot": shown[2],
        "three_shot": shown[4],
        "step_seconds": log.step_seconds,
        "state_bytes": log.state_bytes,
        "parameters": log.parameters,
        "test_hash": log.hash,
        "steps": card["step"],
        "seconds": card["seconds"],
    }


def curve(run):
    """Return pairs of minutes and validation accuracies, as the log of a run has them."""
    with (run / "log.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("validation")]
    return [(float(row["seconds"]) / 60, 100 * float(row["validation"])) for row in rows]


def table(rows):
    """Return the rows as Markdown, with the published ones below."""
    lines = ["| prior | average precision | 1-shot | 3-shot | carried | parameters | acquired in |"]
    lines.append("| --- |" + " --- |" * 6)
    for name, found in sorted(rows.items(), key=lambda item: -item[1][0]["average_precision"]):
        cells = [text([row[key] for row in found]) for key in ("average_precision", "one_shot", "three_shot")]
        cost = f"{found[0]['steps']:,} steps, {found[0]['seconds']:.0f} s"
        carried = f"{found[0]['state_bytes']:,} bytes | {found[0]['parameters']:,}"
        lines.append(f"| {name} | {' | '.join(cells)} | {carried} | {cost} |")
    for name, values in PUBLISHED.items():
        lines.append(f"| {name}, published | {' | '.join(map(str, values))} | | | |")
    return "\n".join(lines) + "\n"


def text(values):
    """Return a mean in percent, with the range where there are several seeds."""
    spread = f" ({100 * min(values):.1f} to {100 * max(values):.1f})" if len(values) > 1 else ""
    return f"{100 * sum(values) / len(values):.1f}{spread}"


def main():
    """Write `result.json`, `table.md` and `curve.png` beside this file, or into `--out`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows, figure = defaultdict(list), Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for finished in sorted(asked.runs.glob("*/finished")):
        run, kept = finished.parent, finished.parent / f"roaming-{asked.streams}.json"
        if not kept.exists():
            write_text(kept, json.dumps(score(run, asked.streams)))
            print(run.name, kept.read_text(), flush=True)
        name = run.name.rsplit("-", 1)[0]
        rows[name].append(json.loads(kept.read_text()))
        if points := curve(run):
            axes.plot(*zip(*points, strict=True), marker=".", label=name if len(rows[name]) == 1 else None)
    axes.set(xlabel="minutes of acquisition, one core", ylabel="accuracy on validation streams, %")
    axes.legend()
    figure.savefig(asked.out / "curve.png", dpi=120)
    result = {"versions": versions(), "streams": asked.streams, "rows": rows}
    write_text(asked.out / "result.json", json.dumps(result, indent=1) + "\n")
    write_text(asked.out / "table.md", table(rows))


if __name__ == "__main__":
    main()
