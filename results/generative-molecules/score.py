"""Score generators as priors of properties: `python results/generative-molecules/score.py RUNS [--sizes 50 100]`.

What was computed is kept in RUNS, and not computed again.
"""

import argparse
import json
import math
from functools import partial
from itertools import product
from pathlib import Path

import torch

from metaprior import load, read_card
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.molecules import QM7, MoleculeDiffusion, SumPooled
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.featurise import featurise
from metaprior.molecules.probes import ridge
from metaprior.molecules.sum_pooled import composition
from metaprior.molecules.validity import sample_report, smiles_of
from metaprior.registry import arguments
from metaprior.tree import fingerprint

HERE = Path(__file__).parent
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
MARGINS = {100: 0.8, 400: 0.9}
LONGER, PATIENT = 3, "scratch, three times the steps"


class Labels:
    """The molecules of QM7, and draws of which of them have a label."""

    def __init__(self, seed=0):
        source = QM7(seed=seed)
        self.molecules, self.energies = {}, {}
        for split in ("train", "valid", "test"):
            self.molecules[split], self.energies[split] = source.conformers(split)

    def draw(self, size, draw):
        """Return positions of labelled training molecules."""
        generator = torch.Generator().manual_seed(1000 * size + draw)
        return torch.randperm(len(self.energies["train"]), generator=generator)[:size]


def linear(features, labels, chosen, split):
    """Return predictions of a ridge on features, where given, of what composition leaves."""
    known, asked = labels.molecules["train"].take(chosen), labels.molecules[split]
    counts = [composition(part, (1, 6, 7, 8, 16)).double() for part in (known, asked)]
    wide = [torch.nn.functional.pad(part, (0, 1), value=1.0) for part in counts]
    energies = labels.energies["train"][chosen].double()
    penalty = 1e-3 * torch.eye(wide[0].shape[1]).double()
    penalty[-1, -1] = 1e-9
    weights = torch.linalg.solve(wide[0].T @ wide[0] + penalty, wide[0].T @ energies)
    explained = wide[1] @ weights
    if features is None:
        return explained
    own, others = features["train"][chosen].double(), features[split].double()
    mean, spread = own.mean(0), own.std(0)
    spread = torch.where(spread > 1e-6, spread, torch.inf)
    left = (energies - wide[0] @ weights)[None, :, None]
    inputs = [((part - mean) / spread)[None] for part in (own, others)]
    return explained + ridge(inputs[0], left, torch.ones(1, len(own)).double(), inputs[1])[0][0, :, 0]


def error(prediction, labels, split):
    """Return the mean absolute error in kcal/mol."""
    return float((prediction.double() - labels.energies[split]).abs().mean())


def drawn(features, labels, size, draws, split):
    """Return the error of each draw of so many labels."""
    return [error(linear(features, labels, labels.draw(size, draw), split), labels, split) for draw in range(draws)]


def fingerprints(labels):
    """Return counts of circular environments of the structures that distances tell."""
    found = {}
    for split, molecules in labels.molecules.items():
        rows = featurise(smiles_of(molecules), "morgan", processes=1).rows
        found[split] = rows.dense(torch.arange(len(rows))).log1p()
    return found


def frozen(name, prior, labels, options):
    """Yield the sweep on validation molecules, then the scores on test molecules of what is best there."""
    sweep, levels = [], (0.0,) if name == "random features" else options.noise_levels
    for level in levels:
        layers = {split: prior.encode_layers(labels.molecules[split], level) for split in ("train", "valid")}
        for layer, size in product(range(prior.net.layers + 1), options.sizes):
            features = {split: found[layer] for split, found in layers.items()}
            found = drawn(features, labels, size, options.draws, "valid")
            sweep.append({"noise_level": level, "layer": layer, "labels": size, "error": sum(found) / len(found)})
    for size in options.sizes:
        own = [row for row in sweep if row["labels"] == size]
        best = min(own, key=lambda row: row["error"])
        features = {
            split: prior.encode(labels.molecules[split], best["noise_level"], best["layer"])
            for split in ("train", "test")
        }
        errors = drawn(features, labels, size, options.draws, "test")
        yield {"method": name, "labels": size, "errors": errors, "chosen": best, "sweep": own}


def tuned(name, net, labels, options):
    """Yield scores of networks that were trained on the labels."""
    steps = LONGER * options.steps if name == PATIENT else options.steps
    for size in options.tuned_sizes or options.sizes:

        def trained(rate, draw, split, size=size):
            chosen = labels.draw(size, draw)
            fitted = SumPooled(net, steps, rate, seed=draw)
            fitted.fit(labels.molecules["train"].take(chosen), labels.energies["train"][chosen])
            return error(fitted.predict(labels.molecules[split]), labels, split)

        rate = min(RATES, key=lambda rate: trained(rate, 0, "valid"))
        found = [trained(rate, draw, "test") for draw in range(options.tuned_draws or options.draws)]
        yield {"method": name, "labels": size, "errors": found, "chosen": {"learning_rate": rate}}


def rows(options, labels):
    """Yield the rows of each method, one for each number of labels."""

    def kept(name, compute):
        settings = (options.draws, options.tuned_draws, options.steps, *options.sizes, *(options.tuned_sizes or ()))
        file = options.runs / f"{name}-{'-'.join(map(str, settings))}.json"
        if not file.exists():
            write_text(file, json.dumps(list(compute())))
        return json.loads(file.read_text())

    def linearly(name, features):
        for size in options.sizes:
            yield {"method": name, "labels": size, "errors": drawn(features, labels, size, options.draws, "test")}

    yield from kept("composition", lambda: linearly("composition", None))
    yield from kept("fingerprints", lambda: linearly("fingerprints", fingerprints(labels)))
    for finished in sorted(options.runs.glob("*/finished")):
        prior, card, seed = load(finished.parent), read_card(finished.parent), finished.parent.name
        new = ConformerNet(**(arguments(prior.net) | {"seed": 1000 + card["seed"]}))
        facts = {"seed": seed, "steps": card["step"], "seconds": card["seconds"]}
        for name, how, what in (
            ("random features", frozen, MoleculeDiffusion(new).eval()),
            ("frozen features", frozen, prior),
            ("scratch", tuned, new),
            (PATIENT, tuned, new),
            ("fine-tuned", tuned, prior.average),
        ):
            for row in kept(f"{seed}-{name}", partial(how, name, what, labels, options)):
                yield row | facts


def means(found):
    """Return the mean over draws and seeds by method and number of labels, and the interval."""
    table = {}
    for row in found:
        table.setdefault((row["method"], row["labels"]), []).extend(row["errors"])
    spread = {key: torch.tensor(values).std().item() if len(values) > 1 else math.nan for key, values in table.items()}
    return {key: (sum(values) / len(values), 1.96 * spread[key] / len(values) ** 0.5) for key, values in table.items()}


def margins(table, sizes):
    """Return whether each of the margins holds."""
    held = {}
    for size in sizes:
        error = {method: mean for (method, labels), (mean, _) in table.items() if labels == size}
        if "frozen features" not in error:
            continue
        if size in MARGINS and "fine-tuned" in error:
            for other in ("scratch", PATIENT):
                held[f"fine-tuned below {MARGINS[size]} of {other} at {size}"] = (
                    error["fine-tuned"] < MARGINS[size] * error[other]
                )
        for other in ("random features", "composition"):
            held[f"frozen features below {other} at {size}"] = error["frozen features"] < error[other]
    return held


def main():
    """Write `result.json` and `table.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 400, 1000])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--steps", type=int, default=800, help="of training on the labels")
    parser.add_argument("--tuned_sizes", type=int, nargs="+", help="at which networks are trained; None for all")
    parser.add_argument("--tuned_draws", type=int, help="for which networks are trained; None for all")
    parser.add_argument("--noise_levels", type=float, nargs="+", default=[0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    labels = Labels()
    found = []
    for row in rows(options, labels):
        found.append(row)
        print(row["method"], row["labels"], [round(value, 2) for value in row["errors"]], flush=True)
    known = smiles_of(labels.molecules["train"])
    samples = {
        finished.parent.name: sample_report(load(finished.parent).sample(options.samples), known)._asdict()
        for finished in sorted(options.runs.glob("*/finished"))
    }
    table = means(found)
    lines = [f"| mean absolute error, kcal/mol | {' | '.join(map(str, options.sizes))} |"]
    lines.append("| --- |" + " --- |" * len(options.sizes))
    for method in dict.fromkeys(row["method"] for row in found):
        cells = ["{:.2f} ± {:.2f}".format(*table.get((method, size), (math.nan,) * 2)) for size in options.sizes]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    result = {
        "versions": versions(),
        "data": fingerprint(labels.molecules["test"], labels.energies["test"]),
        "settings": {
            name: getattr(options, name) for name in ("draws", "steps", "sizes", "tuned_sizes", "tuned_draws")
        },
        "margins": margins(table, options.sizes),
        "samples": samples,
        "rows": found,
    }
    write_text(options.out / "result.json", json.dumps(result, indent=1) + "\n")
    write_text(options.out / "table.md", "\n".join(lines).replace("nan ± nan", "") + "\n")
    print("\n".join(lines), *(f"{name}: {held}" for name, held in result["margins"].items()), sep="\n")


if __name__ == "__main__":
    main()
