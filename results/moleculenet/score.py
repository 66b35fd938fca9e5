"""Score a prior over FS-Mol's assays, and controls, on MoleculeNet: `python results/moleculenet/score.py PRIOR...`."""

import argparse
import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t

from metaprior import load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.molecules import FSMol, MoleculeNet, assay_protocol
from metaprior.molecules.controls import control
from metaprior.molecules.dealing import QUERY

HERE = Path(__file__).parent
DATASETS = ("esol", "freesolv", "lipo", "bace", "bbbp")
CONTROLS = ("random_forest", "knn", "linear", "tanimoto_gp")
METRICS = {
    "classification": ("auroc", "delta_auprc", "calibration_error"),
    "regression": ("r2", "spearman", "rmse", "calibration_error", "coverage"),
}


class Novel(MoleculeNet):
    """MoleculeNet without queries of which FS-Mol's training has what is asked: inhibition of BACE, from ChEMBL too."""

    def assays(self, split):
        part = super().assays(split)
        if split == "train" or self.dataset != "bace":
            return part
        known = torch.tensor([smiles in self.known for smiles in part.smiles])[part.molecule]
        kept = ~known | (part.roles != QUERY)
        return replace(
            part,
            molecule=part.molecule[kept],
            labels=part.labels[kept],
            values=None if part.values is None else part.values[kept],
            roles=part.roles[kept],
            counts=kept.sum()[None],
        )

    @cached_property
    def known(self):
        return frozenset(FSMol()._split("train").smiles)


def scored(method, source, sizes, draws):
    """Return every metric of every draw, by size; each draw has a seed of its own."""
    found = [assay_protocol(method, source, sizes, draws=1, seed=seed) for seed in range(draws)]
    rows = {size: [next(iter(one.tasks[size].values())) for one in found] for size in sizes}
    return {"hash": found[0].hash, "sizes": {size: _by_metric(draws) for size, draws in rows.items()}}


def _by_metric(draws):
    return {metric: [draw[metric] for draw in draws] for metric in draws[0]}


def mean(values):
    """Return the mean over draws, and half of its 95 % interval."""
    return [float(np.mean(values)), float(1.96 * np.std(values, ddof=1) / len(values) ** 0.5)]


def pairs(rows, sizes):
    """Return by how much each prior is better than the best control, draw by draw, with 95 % intervals, as Markdown."""
    lines = [
        f"| data | prior less best control | {' | '.join(map(str, sizes))} |",
        "| --- |" + " --- |" * (len(sizes) + 1),
    ]
    for row in rows:
        if row["method"].endswith("(control)"):
            continue
        lead, cells = METRICS[row["kind"]][0], []
        controls = [one for one in rows if one["data"] == row["data"] and one["method"].endswith("(control)")]
        for size in map(str, sizes):
            best = max(controls, key=lambda one: one["scores"][size][lead][0])
            apart = np.subtract(row["draws"][size][lead], best["draws"][size][lead])
            half = t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / len(apart) ** 0.5
            cells.append(f"{apart.mean():+.3f} ± {half:.3f} ({best['method'].removesuffix(' (control)')})")
        lines.append(f"| {row['data']}, {lead} | {row['method']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table(rows, sizes):
    """Return the rows as Markdown, a line for each method and metric of a data set."""
    lines = [f"| data | method | metric | {' | '.join(map(str, sizes))} |", "| --- |" + " --- |" * (len(sizes) + 2)]
    for row in rows:
        for metric in METRICS[row["kind"]]:
            cells = ["{:.3f} ± {:.3f}".format(*row["scores"][str(size)][metric]) for size in sizes]
            lines.append(f"| {row['data']} | {row['method']} | {metric} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and `table.md`; what each method scored is kept in `--kept`, and not computed again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("priors", nargs="+", help="zoo:molecules, or runs over assays of molecules")
    parser.add_argument("--kept", type=Path, default=Path("runs/moleculenet"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 50, 100, 400])
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.kept.mkdir(parents=True, exist_ok=True)
    rows = []
    for data in DATASETS:
        kind = MoleculeNet(data).kind
        methods = [(f"{name} (control)", control(name, kind), "morgan") for name in CONTROLS]
        methods += [
            (Path(given).name, load(given), read_card(given)["inputs"]["featuriser"]) for given in options.priors
        ]
        for name, method, featuriser in methods:
            sizes = "-".join(map(str, options.sizes))
            kept = options.kept / f"{data}-{options.draws}-{sizes}-{name}.json"
            if not kept.exists():
                source = Novel(data, featuriser=featuriser)
                content = scored(method, source, options.sizes, options.draws)
                queries = int((source._split("test").roles == QUERY).sum())
                write_text(kept, json.dumps(content | {"queries": queries}))
            content = json.loads(kept.read_text())
            means = {
                size: {metric: mean(draws) for metric, draws in found.items()}
                for size, found in content["sizes"].items()
            }
            about = {"data": data, "kind": kind, "method": name, "queries": content["queries"]}
            rows.append({**about, "draws_hash": content["hash"], "scores": means, "draws": content["sizes"]})
            lead = METRICS[kind][0]
            print(data, name, {size: round(found[lead][0], 3) for size, found in means.items()}, flush=True)
    settings = {"draws": options.draws, "sizes": options.sizes}
    write_text(HERE / "result.json", json.dumps({"versions": versions(), **settings, "rows": rows}, indent=1) + "\n")
    write_text(HERE / "table.md", pairs(rows, options.sizes) + "\n" + table(rows, options.sizes))


if __name__ == "__main__":
    main()
