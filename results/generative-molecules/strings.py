"""Score a generator of SMILES on MoleculeNet: `python results/generative-molecules/strings.py RUN`.

Frozen features of every layer, a network without training, fingerprints and numbers of tokens, all with the same probe;
and at `--tuned_sizes` the whole network trained on the labels, from the acquired weights and from new ones, for some
steps and for three times as many.
"""

import argparse
import json
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from metaprior import load, read_card, save
from metaprior.checkpoint import versions
from metaprior.files import write_text
from metaprior.molecules import MoleculeNet, SequenceDiffusion, assay_protocol
from metaprior.molecules.batches import by_size
from metaprior.molecules.probes import logistic, ridge
from metaprior.molecules.token_featurisers import tokens_of
from metaprior.nets import net_for
from metaprior.registry import arguments

HERE = Path(__file__).parent
DATASETS = ("esol", "freesolv", "lipo", "bace", "bbbp")
METRICS = {"classification": "auroc", "regression": "r2"}
RATES = (3e-4, 1e-3, 3e-3)
LONGER, PATIENT = 3, ", three times the steps"
BATCH = 32
LENGTH = 4.0
"""Of standardised features, for the logistic probe."""


def probe(episode, counts=0):
    """Return what a ridge or a logistic regression on standardised features says; of so many tokens if they are ids."""
    parts = [episode.support.x, episode.query.x]
    if counts:
        parts = [functional.one_hot(part.long(), counts + 1)[..., 1:].sum(-2).float() for part in parts]
    mean, spread = parts[0].mean(1, keepdim=True), parts[0].std(1, keepdim=True)
    known, asked = ((part - mean) / torch.where(spread > 1e-6, spread, torch.inf) for part in parts)
    real, y = torch.ones(1, known.shape[1]), episode.support.y
    if y.is_floating_point():
        return ridge(known, y, real, asked)[0][0, :, 0]
    scale = LENGTH / known.norm(dim=-1).mean().clamp(min=1e-6)
    return logistic(scale * known, functional.one_hot(y, 2).float(), real, scale * asked)[0].softmax(-1)[:, 1]


def drawn(method, source, size, options, split):
    """Return the score of each draw of so many labels."""
    metric = METRICS[source.kind]
    return [
        next(iter(assay_protocol(method, source, [size], 1, seed=draw, split=split).tasks[size].values()))[metric]
        for draw in range(options.draws)
    ]


def frozen(data, run, size, options, levels):
    """Return scores on test molecules of the layer and noise level that are best on validation molecules."""
    sources = {
        (layer, level): MoleculeNet(
            data, featuriser={"name": "generative", "prior": str(run), "layer": layer, "noise_level": level}
        )
        for layer, level in product(range(load(run).net.layers + 1), levels)
    }
    sweep = {key: float(np.mean(drawn(probe, source, size, options, "valid"))) for key, source in sources.items()}
    best = max(sweep, key=sweep.__getitem__)
    chosen = {"layer": best[0], "noise_level": best[1]}
    sweep = [{"layer": layer, "noise_level": level, "score": score} for (layer, level), score in sweep.items()]
    return {"scores": drawn(probe, sources[best], size, options, "test"), "chosen": chosen, "sweep": sweep}


def trained(net, steps, rate, episode):
    """Return what a network says that was trained on the support in steps of 32 molecules; values are standardised."""
    known, asked, y = tokens_of(episode.support.x[0]), tokens_of(episode.query.x[0]), episode.support.y[0]
    loss = functional.mse_loss if y.is_floating_point() else functional.cross_entropy
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(net.parameters(), lr=rate)
    for _ in range(steps):
        drawn = torch.randperm(len(y), generator=generator)[:BATCH]
        told = by_size(lambda part, index: net(part.ids), known.take(drawn), net.at_once)
        adam.zero_grad()
        loss(told, y[drawn]).backward()
        adam.step()
    with torch.no_grad():
        said = by_size(lambda part, index: net(part.ids), asked, net.at_once)
    return said[:, 0] if y.is_floating_point() else said.softmax(-1)[:, 1]


def tuned(source, size, options, weights, steps):
    """Return scores of the network trained on the labels; the rate is the best on validation molecules."""

    def begun(rate):
        def method(episode):
            net = net_for("transformer", source.spec, headless=False, **options.shape)
            if weights:
                different = net.load_state_dict(weights, strict=False)
                assert not different.unexpected_keys, different
                assert all(name.startswith("head.") for name in different.missing_keys), different
            return trained(net, steps, rate, episode)

        return method

    few = argparse.Namespace(draws=1)
    sweep = {rate: drawn(begun(rate), source, size, few, "valid")[0] for rate in RATES}
    rate = max(RATES, key=sweep.__getitem__)
    return {
        "scores": drawn(begun(rate), source, size, options, "test"),
        "chosen": {"learning_rate": rate},
        "sweep": [{"learning_rate": rate, "score": score} for rate, score in sweep.items()],
    }


def methods(data, size, options):
    """Yield names, and functions that score the method."""
    featuriser = read_card(options.run)["inputs"]["featuriser"]
    tokens = MoleculeNet(data, featuriser=featuriser)
    counted = partial(probe, counts=len(tokens.spec.tokens))
    yield "numbers of tokens", lambda: {"scores": drawn(counted, tokens, size, options, "test")}
    yield "fingerprints", lambda: {"scores": drawn(probe, MoleculeNet(data), size, options, "test")}
    yield "random features", lambda: frozen(data, options.blank, size, options, [0.0])
    yield "frozen features", lambda: frozen(data, options.run, size, options, options.noise_levels)
    if size in options.tuned_sizes:
        acquired = load(options.run).average.state_dict()
        yield "scratch", lambda: tuned(tokens, size, options, {}, options.steps)
        yield f"scratch{PATIENT}", lambda: tuned(tokens, size, options, {}, LONGER * options.steps)
        yield "fine-tuned", lambda: tuned(tokens, size, options, acquired, options.steps)
        yield f"fine-tuned{PATIENT}", lambda: tuned(tokens, size, options, acquired, LONGER * options.steps)


def main():
    """Write `strings.json` and `strings.md`; what each method scored is kept beside RUN, and not computed again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", nargs="+", default=DATASETS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 400])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--noise_levels", type=float, nargs="+", default=[0.0, 0.15])
    parser.add_argument("--tuned_sizes", type=int, nargs="*", default=[], help="at which the network is trained too")
    parser.add_argument("--steps", type=int, default=100, help="of training on the labels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    prior, card = load(options.run), read_card(options.run)
    new = type(prior.net)(**(arguments(prior.net) | {"seed": 1000}))
    options.blank = options.run.parent / f"{options.run.name}-blank.safetensors"
    save(SequenceDiffusion(new, prior.vocabulary, prior.outputs), options.blank, inputs=card["inputs"])
    options.shape = {key: arguments(prior.net)[key] for key in ("width", "layers", "heads")}
    rows = []
    for data, size in product(options.data, options.sizes):
        for name, score in methods(data, size, options):
            settings = "-".join(map(str, (options.draws, options.steps, *options.noise_levels)))
            kept = options.run.parent / f"{options.run.name}-{data}-{size}-{settings}-{name}.json"
            if not kept.exists():
                write_text(kept, json.dumps(score()))
            rows.append({"data": data, "labels": size, "method": name, **json.loads(kept.read_text())})
            print(data, size, name, [round(value, 3) for value in rows[-1]["scores"]], flush=True)
    facts = {"steps": card["step"], "seconds": card["seconds"], "draws": options.draws}
    write_text(HERE / "strings.json", json.dumps({"versions": versions(), **facts, "rows": rows}, indent=1) + "\n")
    write_text(HERE / "strings.md", table(rows, options.sizes))


def table(rows, sizes):
    """Return the mean over draws and its interval as Markdown, R² or AUROC."""
    lines = [f"| data | method | {' | '.join(map(str, sizes))} |", "| --- |" + " --- |" * (len(sizes) + 1)]
    for data, name in dict.fromkeys((row["data"], row["method"]) for row in rows):
        found = {row["labels"]: row["scores"] for row in rows if (row["data"], row["method"]) == (data, name)}
        cells = [
            f"{np.mean(found[size]):.3f} ± {1.96 * np.std(found[size], ddof=1) / len(found[size]) ** 0.5:.3f}"
            if size in found
            else ""
            for size in sizes
        ]
        lines.append(f"| {data} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
