"""Score acquired priors and controls: `python results/immunology/score.py RUNS [--parts titan mhc] [--draws 3]`."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from metaprior import load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.molecules import Immunomodulators, PeptideMHC, Titan, assay_protocol
from metaprior.molecules.controls import control, frequent_hitter
from metaprior.molecules.own_rows import EncodedRows
from metaprior.molecules.screening import simulate, surrogate_of_estimator, surrogate_of_prior

HERE = Path(__file__).parent
LEAD = {
    "titan": ("auroc", "auroc_01", "calibration_error"),
    "mhc": ("spearman", "rmse", "calibration_error", "coverage"),
    "immunomodulators": ("r2", "spearman", "calibration_error", "coverage"),
}
BATCH, ROUNDS, REPEATS, SHARE = 20, 8, 3, 0.02


def acquired(runs, start):
    """Yield the name, prior, card and source's arguments of each finished run whose folder begins so."""
    for finished in sorted(runs.glob(f"{start}*/finished")):
        folder = finished.parent
        card = read_card(folder)
        yield folder.name.removeprefix(start), load(folder), card, card["tasks"]["arguments"]


def cost(card):
    """Return what acquiring took."""
    return {"steps": card["step"], "seconds": round(card["seconds"], 1)}


def kept(runs, name, compute):
    """Return the rows of a method, computed once."""
    path = runs / f"score-{name}.json"
    if not path.exists():
        start = time.monotonic()
        found = compute()
        write_text(path, json.dumps({"tasks": found.tasks, "hash": found.hash}))
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    return json.loads(path.read_text())


def titan(runs, options):
    """Yield part, method, tasks by size, hash, and cost; epitopes of all folds together."""
    sizes, found = [0, 10, 20, 40], {}
    for fold in options.folds:
        plain = Titan(fold=fold)
        words = Titan(fold=fold, featuriser="kmers")
        shares = Titan(fold=fold, featuriser="composition")
        methods = [
            (name, prior, Titan(**arguments), [0, *sizes[1:]] if "beside" in name else sizes[1:], cost(card))
            for name, prior, card, arguments in acquired(runs, f"titan-{fold}-")
        ]
        methods += [
            ("random forest (control)", control("random_forest"), plain, sizes[1:], {}),
            ("kNN on words of three (control)", control("knn"), words, sizes[1:], {}),
            ("linear (control)", control("linear"), plain, sizes[1:], {}),
            ("composition, linear (control)", control("linear"), shares, sizes[1:], {}),
            ("frequent hitter (control)", frequent_hitter(plain, most=8000), plain, sizes[1:], {}),
        ]
        for name, method, source, wanted, spent in methods:
            scored = kept(
                runs,
                f"titan-{fold}-{name}-{options.draws}",
                lambda method=method, source=source, wanted=wanted: assay_protocol(
                    method, source, wanted, options.draws
                ),
            )
            found.setdefault(name, []).append((scored, spent))
    for name, parts in found.items():
        tasks = {}
        for scored, _ in parts:
            for size, rows in scored["tasks"].items():
                tasks.setdefault(int(size), {}).update(rows)
        yield name, tasks, " ".join(scored["hash"] for scored, _ in parts), parts[0][1]


def mhc(runs, options):
    """Yield method, tasks by size, hash and cost, for new alleles and new peptides."""
    sizes = [0, 8, 32, 64]
    described = PeptideMHC(about="task")
    methods = [
        (name, prior, PeptideMHC(**arguments), sizes[1:] if name == "ridge" else sizes, cost(card))
        for name, prior, card, arguments in acquired(runs, "mhc-")
    ]
    methods += [
        ("nearest training allele, forest (control)", nearest_allele(described), described, [0], {}),
        ("random forest (control)", control("random_forest", "regression"), described, sizes[1:], {}),
        ("kNN (control)", control("knn", "regression"), described, sizes[1:], {}),
        ("linear (control)", control("linear", "regression"), described, sizes[1:], {}),
    ]
    for name, method, source, wanted, spent in methods:
        scored = kept(
            runs,
            f"mhc-{name}-{options.draws}",
            lambda method=method, source=source, wanted=wanted: assay_protocol(method, source, wanted, options.draws),
        )
        yield name, {int(size): rows for size, rows in scored["tasks"].items()}, scored["hash"], spent


def nearest_allele(source, most=2000):
    """Return the control that knows the measurements of the training allele whose pseudosequence is most alike."""
    part, fitted = source._split("train"), {}

    def predict(episode):
        # Descriptions are rows of BLOSUM62 place by place: their product is the score of the alignment.
        alike = part.about @ episode.about[0]
        nearest = int((alike * (part.counts >= 100)).argmax())
        if nearest not in fitted:
            index = part.starts[nearest] + torch.arange(int(part.counts[nearest]))[:most]
            values = (part.values[index].numpy() - source.fixed[0]) / source.fixed[1]
            forest = control("random_forest", "regression")
            fitted[nearest] = forest.fit(source.encode(part, index).numpy(), values)
        return torch.from_numpy(fitted[nearest].predict(episode.query.x[0].numpy()))

    return predict


def immunomodulators(runs, options):
    """Yield method, tasks by size, hash and cost; the read-outs of three agonists that were held out in turn."""
    sizes, found = [16, 32, 64], {}
    for agonist in ("cGAMP", "CpG", "LPS"):
        plain = Immunomodulators(agonist)
        methods = [
            (name, prior, Immunomodulators(**arguments), cost(card))
            for name, prior, card, arguments in acquired(runs, f"immunomodulators-{agonist}-")
        ]
        methods += [
            (f"{name} (control)", control(name, "regression"), plain, {})
            for name in ("random_forest", "knn", "linear", "tanimoto_gp")
        ]
        for name, method, source, spent in methods:
            scored = kept(
                runs,
                f"immunomodulators-{agonist}-{name}-{options.draws}",
                lambda method=method, source=source: assay_protocol(method, source, sizes, options.draws),
            )
            found.setdefault(name, []).append((scored, spent))
    for name, parts in found.items():
        tasks = {}
        for scored, _ in parts:
            for size, rows in scored["tasks"].items():
                tasks.setdefault(int(size), {}).update(rows)
        yield name, tasks, " ".join(scored["hash"] for scored, _ in parts), parts[0][1]


def screen(runs, options):
    """Return hits found among the test compounds of each agonist's read-outs, by strategy."""
    rows = []
    for agonist, name in (("cGAMP", "cGAMP Lum"), ("CpG", "CpG Abs"), ("LPS", "LPS Lum")):
        path = runs / f"screen-{agonist}.json"
        if not path.exists():
            source = Immunomodulators(agonist)
            part = source._split("test")
            at = part.names.index(name)
            index = part.starts[at] + torch.arange(int(part.counts[at]))
            values = part.values[index].double()
            library = EncodedRows(part.rows.take(part.molecule[index]), source._featuriser, source._fitted)
            hits = torch.zeros(len(values), dtype=torch.bool)
            hits[values.topk(round(SHARE * len(values))).indices] = True
            gp = surrogate_of_estimator(control("tanimoto_gp", "regression"))
            strategies = [(f"GP on fingerprints, {how}", gp, how) for how in ("expected_improvement", "greedy")]
            for prior_name, prior, _, _ in acquired(runs, f"immunomodulators-{agonist}-"):
                believed = surrogate_of_prior(prior)
                for how in ("expected_improvement", "thompson", "greedy"):
                    strategies.append((f"{prior_name}, {how}", believed, how))
            strategies.append(("random", None, "random"))
            found = []
            for label, surrogate, how in strategies:
                for repeat in range(REPEATS):
                    start = torch.randperm(len(values), generator=torch.Generator().manual_seed(repeat))[:BATCH]
                    draws = torch.Generator().manual_seed(1000 + repeat)
                    one = simulate(surrogate, library, values, hits, start, how, ROUNDS, BATCH, draws)
                    found.append({"strategy": label, "repeat": repeat, "hits": one.hits, "measured": one.measured})
            write_text(
                path, json.dumps({"readout": name, "hits": int(hits.sum()), "library": len(hits), "rows": found})
            )
            print(f"screen of {name} done", flush=True)
        rows.append(json.loads(path.read_text()))
    return rows


def summary(tasks):
    """Return mean and half the 95 % interval over tasks of each metric, by size."""
    result = {}
    for size, rows in sorted(tasks.items()):
        result[size] = {"tasks": len(rows)}
        for key in next(iter(rows.values())):
            values = np.array([row[key] for row in rows.values()])
            values = values[np.isfinite(values)]
            spread = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
            mean = values.mean() if len(values) else float("nan")
            result[size][key] = [float(mean), float(1.96 * spread)]
    return result


def table(part, rows):
    """Return rows as Markdown, a line for each method and metric."""
    sizes = sorted({size for row in rows for size in row["scores"]})
    lines = [f"| {part} | metric | {' | '.join(map(str, sizes))} |", "| --- | --- |" + " --- |" * len(sizes)]
    for row in rows:
        for metric in LEAD[part]:
            cells = [
                "{:.3f} ± {:.3f}".format(*row["scores"][size][metric])
                if size in row["scores"] and np.isfinite(row["scores"][size][metric][0])
                else ""
                for size in sizes
            ]
            lines.append(f"| {row['method']} | {metric} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def screen_table(screens):
    """Return hits found at the end, a line for each strategy."""
    heads = [f"{one['readout']}, of {one['hits']} in {one['library']}" for one in screens]
    measured = screens[0]["rows"][0]["measured"][-1]
    lines = [
        f"| hits found by {measured} measurements | {' | '.join(heads)} | all |",
        "| --- |" + " --- |" * (len(heads) + 1),
    ]
    for label in dict.fromkeys(row["strategy"] for row in screens[0]["rows"]):
        ends = [np.mean([row["hits"][-1] for row in one["rows"] if row["strategy"] == label]) for one in screens]
        lines.append(f"| {label} | {' | '.join(f'{end:.1f}' for end in ends)} | {sum(ends):.1f} |")
    return "\n".join(lines) + "\n"


def main():
    """Write `result.json` and `table.md` beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--parts", nargs="+", default=["titan", "mhc", "immunomodulators", "screen"])
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = HERE / "result.json"
    result = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    result |= {"versions": versions(), "draws": options.draws}
    for part in options.parts:
        if part == "screen":
            result["parts"][part] = screen(options.runs, options)
            continue
        result["parts"][part] = [
            {"method": name, "scores": summary(tasks), "tasks": tasks, "draws_hash": digest, **spent}
            for name, tasks, digest, spent in globals()[part](options.runs, options)
        ]
    if "titan" in options.parts:
        result["folds"] = options.folds
    write_text(path, json.dumps(result, indent=1) + "\n")
    result = json.loads(path.read_text(), object_hook=_numbered)
    tables = [table(part, rows) for part, rows in result["parts"].items() if part != "screen"]
    tables += [screen_table(result["parts"]["screen"])] if "screen" in result["parts"] else []
    write_text(HERE / "table.md", "\n".join(tables))


def _numbered(given):
    """Return a dictionary whose keys are numbers again where they were."""
    return {int(key) if key.isdigit() else key: value for key, value in given.items()}


if __name__ == "__main__":
    main()
