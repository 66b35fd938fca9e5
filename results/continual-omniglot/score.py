"""Let the acquired priors learn 600 new characters in turn: `python results/continual-omniglot/score.py RUNS`."""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch

from metaprior import load, read_card, retention
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.tasks import ClassIncremental

HERE = Path(__file__).parent
MARKS = (10, 50, 100, 200, 300, 400, 500, 600)
SHOWN = (10, 100, 300, 600)


def score(folder, marks, sequences):
    """Return a row for each prior; seeds are together. The scores of each run are kept, and not computed again."""
    seeds = defaultdict(list)
    for finished in sorted(folder.glob("*/finished")):
        run = finished.parent
        kept = run / f"retention-{marks[-1]}-{sequences}.json"
        if not kept.exists():
            found = retention(load(run), ClassIncremental(), marks, sequences)
            card = read_card(run)
            spent = {"acquire_steps": card.get("step", 0), "acquire_seconds": card.get("seconds", 0.0)}
            write_text(kept, json.dumps(found.result() | spent))
            print(run.name, flush=True)
        seeds[run.name.rsplit("-", 1)[0]].append(json.loads(kept.read_text()))
    return [{"prior": name, **pooled(found)} for name, found in seeds.items()]


def pooled(found):
    """Return means over seeds, the last scores of each seed, and what it cost."""
    kept = ("marks", "sequences", "test_hash", "parameters", "state_bytes", "acquire_steps")
    means = ("trajectory", "held_out", "by_class", "learn_seconds", "acquire_seconds")
    return {name: found[0][name] for name in kept} | {
        **{name: torch.tensor([row[name] for row in found]).mean(0).tolist() for name in means},
        "trajectory_seeds": [row["trajectory"] for row in found],
        "held_out_seeds": [row["held_out"] for row in found],
    }


def table(rows, marks):
    """Return rows as Markdown, best at the end of the sequence first."""
    shown = [mark for mark in marks if mark in SHOWN] or list(marks)
    rows = sorted(rows, key=lambda row: -row["held_out"][-1])
    lines = []
    for part, title in (("trajectory", "learned from"), ("held_out", "held out")):
        lines += [
            f"| {title}, after so many classes | {' | '.join(map(str, shown))} | carried | learned in | acquired in |",
            f"| --- |{' --- |' * (len(shown) + 3)}",
        ]
        for row in rows:
            scores = [
                cell(row[part][marks.index(mark)], [each[marks.index(mark)] for each in row[f"{part}_seeds"]])
                for mark in shown
            ]
            cost = f"{row['state_bytes']:,} bytes | {row['learn_seconds']:.3g} s"
            spent = f"{row['acquire_steps']:,} steps, {row['acquire_seconds']:.0f} s"
            lines.append(f"| {row['prior']} | {' | '.join(scores)} | {cost} | {spent} |")
        lines.append("")
    return "\n".join(lines)


def cell(mean, seeds):
    """Return an accuracy in percent, with the range of the seeds if there are several."""
    if len(seeds) == 1:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f} ({100 * min(seeds):.1f} to {100 * max(seeds):.1f})"


def main():
    """Write `result.json` and the table beside this file, or into `--out`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("--marks", type=int, nargs="+", default=list(MARKS))
    parser.add_argument("--sequences", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = score(options.runs, options.marks, options.sequences)
    result = {"versions": versions(), "seed": 0, "rows": rows}
    write_text(options.out / "result.json", json.dumps(result, indent=1) + "\n")
    write_text(options.out / "table.md", table(rows, options.marks))


if __name__ == "__main__":
    main()
