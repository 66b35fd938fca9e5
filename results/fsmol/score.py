"""Score priors and controls by the protocol of FS-Mol: `python results/fsmol/score.py RUNS [--draws 10]`."""

import argparse
import json
from pathlib import Path

from metaprior import load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.molecules import FSMol, assay_protocol
from metaprior.molecules.controls import control, frequent_hitter

HERE = Path(__file__).parent
CONTROLS = ("random_forest", "knn", "linear", "tanimoto_gp")
REGRESSES = (
    "multitask_probe",
    "multitask_probe,1",
    "multitask_probe,descriptors",
    "multitask_probe,pairs",
    "ensemble",
    "ensemble_of_three",
    "ensemble,pairs",
    "ensemble,pairs,descriptors",
    "adkf",
)
"""What was acquired on classes and adapts to values too, since each task's probe or kernel is fitted to it alone."""
METRICS = {
    "classification": ("delta_auprc", "auroc", "calibration_error"),
    "regression": ("r2", "r2_support", "calibration_error", "coverage"),
}


def methods(runs, kind, source, only):
    """Yield names, methods, the tasks as each takes them, and what it cost to acquire."""
    for finished in sorted(runs.glob("*/finished")):
        if only and finished.parent.name not in only:
            continue
        prior, card = load(finished.parent), read_card(finished.parent)
        if kind in prior.kinds and (kind == "classification" or finished.parent.name in REGRESSES):
            own = FSMol(kind=kind, featuriser=card["inputs"]["featuriser"])
            yield finished.parent.name, prior, own, {"steps": card["step"], "seconds": card["seconds"]}
    for name in CONTROLS:
        if only and name not in only:
            continue
        yield f"{name} (control)", control(name, kind), source, {}
    if kind == "classification" and (not only or "frequent hitter" in only):
        yield "frequent hitter (control)", frequent_hitter(source), source, {}


def table(rows, kind):
    """Return rows as Markdown, a line for each method and metric."""
    sizes = sorted({row["support"] for row in rows})
    lines = [f"| {kind} | metric | {' | '.join(map(str, sizes))} |", "| --- | --- |" + " --- |" * len(sizes)]
    for name in dict.fromkeys(row["method"] for row in rows):
        for metric in METRICS[kind]:
            found = {row["support"]: row for row in rows if row["method"] == name}
            if any(metric not in found[size] for size in sizes):
                continue
            cells = [f"{found[size][metric]:.3f} ± {found[size][f'{metric}_interval']:.3f}" for size in sizes]
            lines.append(f"| {name} | {metric} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and `table.md`; each method's rows are kept in RUNS, and not computed again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--control_draws", type=int, default=3, help="of the controls, which take longest")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    parser.add_argument("--kinds", nargs="+", default=list(METRICS))
    parser.add_argument("--only", nargs="+", help="names of runs and controls; all of them if absent")
    options = parser.parse_args()
    settings = {"split": options.split, "sizes": options.sizes, "seed": 0}
    every, tables = [], []
    for kind in options.kinds:
        source, rows = FSMol(kind=kind), []
        for name, method, tasks, cost in methods(options.runs, kind, source, options.only):
            draws = options.control_draws if name.endswith("(control)") else options.draws
            kept = options.runs / f"{kind}-{options.split}-{draws}-{name}.json"
            if not kept.exists():
                found = assay_protocol(method, tasks, options.sizes, draws, split=options.split)
                content = {"rows": found.rows, "tasks": found.tasks, "hash": found.hash}
                write_text(kept, json.dumps(content))
                print(kind, name, found, flush=True)
            content = json.loads(kept.read_text())
            rows += [
                {"method": name, "kind": kind, "draws": draws, "draws_hash": content["hash"], **cost, **row}
                for row in content["rows"]
            ]
        every += rows
        tables.append(table(rows, kind))
    write_text(HERE / "result.json", json.dumps({"versions": versions(), **settings, "rows": every}, indent=1) + "\n")
    write_text(HERE / "table.md", "\n".join(tables))


if __name__ == "__main__":
    main()
