"""Score the acquired priors and the controls on fixed Omniglot tasks: `python results/omniglot/score.py RUNS`."""

import argparse
import json
from pathlib import Path

import torch

from metaprior import FineTune, Frozen, Scratch, evaluate, load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.registry import arguments
from metaprior.tasks import Omniglot

HERE = Path(__file__).parent
QUERIES = {5: 15, 20: 5}
ORDER = (
    "protonet",
    "ridge",
    "maml",
    "maml, MLP",
    "fomaml",
    "reptile",
    "fine_tune (control)",
    "frozen (control)",
    "scratch (control)",
)
PUBLISHED = {
    ("protonet", 5): "98.8",
    ("protonet", 20): "96.0",
    ("maml", 5): "98.7 ± 0.4 (transductive)",
    ("maml, MLP", 5): "89.7 ± 1.1 (transductive)",
    ("maml", 20): "95.8 ± 0.3 (transductive)",
    ("fomaml", 5): "98.3 (transductive)",
    ("fomaml", 20): "89.4 (transductive)",
    ("reptile", 5): "95.39 inductive, 97.68 transductive",
    ("reptile", 20): "88.14 inductive, 89.43 transductive",
}


def contestants(runs, ways, only):
    """Yield name, prior and card of everything that was acquired for so many ways, or of `only` some."""
    for name, prior, card in _acquired(runs, ways):
        if only is None or name in only:
            yield name, prior, card


def _acquired(runs, ways):
    for name, folder in (("protonet", "protonet"), ("ridge", "ridge")):
        if (runs / folder).exists():
            yield name, load(runs / folder), read_card(runs / folder)
    for name, kind in (("maml", ""), ("maml, MLP", "-mlp"), ("fomaml", ""), ("reptile", "")):
        folder = runs / f"{name.split(',')[0]}{ways}{kind}"
        if folder.exists():
            yield name, load(folder), read_card(folder)
    if (runs / "fine_tune").exists():
        tuned, card = load(runs / "fine_tune"), read_card(runs / "fine_tune")
        trained = {name: value for name, value in tuned.state_dict().items() if not name.startswith("task_head")}
        for name, cls, settings in (
            ("fine_tune", FineTune, {"learning_rate": 1e-3}),
            ("frozen", Frozen, {"steps": 50, "learning_rate": 0.1}),
        ):
            control = cls(**(arguments(tuned) | {"outputs": ways} | settings))
            control.load_state_dict(trained, strict=False)
            yield f"{name} (control)", control.eval(), card
    scratch = Scratch.for_tasks(Omniglot(ways=ways).spec)
    yield "scratch (control)", scratch, {"seconds": 0.0, "step": 0}


def score(runs, ways, tasks, only):
    """Yield a row for each prior and control, and for each way of letting queries see each other."""
    tests = Omniglot(ways=ways, shots=1, queries=QUERIES[ways]).test_set(tasks, seed=0)
    for name, prior, card in contestants(runs, ways, only):
        for transductive in (False, True) if "transductive" in vars(prior) else (False,):
            if "transductive" in vars(prior):
                prior.transductive = transductive
            result = evaluate(prior, tests)
            print(f"{ways}-way {name:20} transductive={transductive!s:5} {result}", flush=True)
            yield {
                "prior": name,
                "ways": ways,
                "shots": 1,
                "published": PUBLISHED.get((name, ways)),
                "acquired_transductive": card.get("arguments", {}).get("transductive", False),
                "acquire_seconds": card["seconds"],
                "acquire_steps": card["step"],
                **result.row(),
            }


def main():
    """Write `result.json` and `table.md` beside this file, row by row; rows of the same name are replaced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--ways", type=int, nargs="+", default=list(QUERIES))
    parser.add_argument("--only", nargs="+", choices=ORDER)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    path = HERE / "result.json"
    rows = {place(row): row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}
    for ways in asked.ways:
        for row in score(asked.runs, ways, asked.tasks, asked.only):
            rows[place(row)] = row
            ordered = [rows[key] for key in sorted(rows)]
            write_text(path, json.dumps({"versions": versions(), "seed": 0, "rows": ordered}, indent=2) + "\n")
            write_text(HERE / "table.md", table(ordered))


def place(row):
    """Return where a row stands in the table; controls come last."""
    return row["ways"], ORDER.index(row["prior"]), row["transductive"]


def table(rows):
    """Return the rows as Markdown."""
    lines = [
        "| ways | prior | queries see each other | accuracy, 95 % interval | tasks | published | acquired in | adapt |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = (
            row["ways"],
            row["prior"],
            "yes" if row["transductive"] else "no",
            f"{100 * row['mean']:.2f} ± {100 * row['interval_95']:.2f}",
            row["tasks"],
            row["published"] or "",
            f"{row['acquire_seconds']:.0f} s, {row['acquire_steps']:,} steps",
            f"{1000 * row['adapt_seconds']:.0f} ms",
        )
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
