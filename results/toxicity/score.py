"""Score priors and controls on Tox21, SIDER and MUV: `python results/toxicity/score.py RUNS [--draws 20]`."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from metaprior import load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.molecules import ToxicityTasks, assay_protocol
from metaprior.molecules.controls import control, frequent_hitter
from metaprior.molecules.moleculenet import label_lookup

HERE = Path(__file__).parent
CONTROLS = ("random_forest", "knn", "linear", "tanimoto_gp")
METRICS = ("auroc", "delta_auprc", "calibration_error")
SHOTS = 20


def methods(runs, source):
    """Yield names, methods and what each cost to acquire."""
    for finished in sorted(runs.glob("*/finished")):
        card = read_card(finished.parent)
        yield finished.parent.name, load(finished.parent), {"steps": card["step"], "seconds": card["seconds"]}
    for name in CONTROLS:
        yield f"{name} (control)", control(name), {}
    yield "frequent hitter (control)", frequent_hitter(source), {}
    yield "label look-up (control)", label_lookup(source), {}


def score(method, source, draws):
    """Return every metric of every task and draw, each draw with a seed of its own."""
    found = [assay_protocol(method, source, [SHOTS], draws=1, seed=seed) for seed in range(draws)]
    tasks = [one.tasks[SHOTS] for one in found]
    return {
        "hash": found[0].hash,
        "tasks": {name: {key: [each[name][key] for each in tasks] for key in METRICS} for name in tasks[0]},
    }


def row(tasks, metric):
    """Return the mean over tasks and draws, and half of its 95 % interval over tasks x draws."""
    values = np.array([value for each in tasks.values() for value in each[metric]])
    return [float(values.mean()), float(1.96 * values.std(ddof=1) / len(values) ** 0.5)]


def table(rows):
    """Return the rows as Markdown, the best of each part first."""
    lines = ["| data | mode | method | AUROC | delta-AUPRC | calibration error |", "| --- |" + " --- |" * 5]
    for (data, mode), methods in rows.items():
        for name, found in sorted(methods.items(), key=lambda item: -item[1]["auroc"][0]):
            cells = [f"{100 * found['auroc'][0]:.1f} ± {100 * found['auroc'][1]:.1f}"]
            cells += [f"{found[key][0]:.3f} ± {found[key][1]:.3f}" for key in METRICS[1:]]
            lines.append(f"| {data} | {mode} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and `table.md`; what each method scored is kept in RUNS, and not computed again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, every = {}, []
    for data in ("tox21", "sider", "muv"):
        for mode in ("disjoint", "legacy"):
            source, folder = ToxicityTasks(data, mode, queries=None), options.runs / f"{data}-{mode}"
            for name, method, cost in methods(folder, source):
                kept = folder / f"score-{options.draws}-{name}.json"
                if not kept.exists():
                    write_text(kept, json.dumps(score(method, source, options.draws)))
                content = json.loads(kept.read_text())
                found = {metric: row(content["tasks"], metric) for metric in METRICS}
                rows.setdefault((data, mode), {})[name] = found
                about = {"data": data, "mode": mode, "method": name, "draws_hash": content["hash"]}
                by_task = {task: float(np.mean(each["auroc"])) for task, each in content["tasks"].items()}
                every.append({**about, **cost, **found, "auroc_by_task": by_task})
                print(data, mode, name, found["auroc"], flush=True)
    settings = {"draws": options.draws, "support": SHOTS}
    write_text(HERE / "result.json", json.dumps({"versions": versions(), **settings, "rows": every}, indent=1) + "\n")
    write_text(HERE / "table.md", table(rows))


if __name__ == "__main__":
    main()
