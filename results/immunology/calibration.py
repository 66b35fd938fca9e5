"""Draw how often affinities were below what was said, and how often receptors bound: `calibration.py RUNS`."""

import argparse
from pathlib import Path

import numpy as np
import torch

from metaprior import load, read_card
from metaprior.molecules import PeptideMHC, Titan
from metaprior.molecules.controls import control
from metaprior.molecules.methods import predictor_of
from metaprior.molecules.scores import quantile_shares, reliability

HERE = Path(__file__).parent
SHOTS, SIZES = 10, (8, 64)


def asked(method, source, size, draws):
    """Yield what a method says of the queries of each test task, and what is true."""
    predict = predictor_of(method, source.spec.kind)
    for at, count in enumerate(source.sizes("test")):
        for draw in range(draws if count > size else 0):
            episode = source.episode("test", at, size, torch.Generator().manual_seed(1000 * at + draw))
            yield predict(episode), episode.query.y.flatten()


def affinities(place, methods, size, draws):
    """Draw the share of affinities below each quantile that was said."""
    place.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, method, source in methods:
        z = [((true - found) / spread).double().numpy() for (found, spread), true in asked(method, source, size, draws)]
        levels, shares = quantile_shares(np.concatenate(z))
        error = np.abs(shares - levels).mean()
        place.plot(levels, shares, marker=".", linewidth=1.2, label=f"{name}: {error:.3f}")
        print(size, name, f"{error:.4f}", flush=True)
    place.set(xlabel="quantile that was said", title=f"affinities, {size} measured")
    place.legend(fontsize=7)


def receptors(place, methods, draws):
    """Draw the share of binders where a probability was said."""
    place.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, method, source in methods:
        parts = list(asked(method, source, SHOTS, draws))
        said, true = (np.concatenate([part[side].double().numpy() for part in parts]) for side in (0, 1))
        centres, shares, error = reliability(said, true)
        place.plot(centres, shares, marker=".", linewidth=1.2, label=f"{name}: {error:.3f}")
        print("receptors", name, f"{error:.4f}", flush=True)
    place.set(xlabel="probability that was said", title=f"receptors, {SHOTS} labelled")
    place.legend(fontsize=7)


def main():
    """Write `calibration.png` beside this file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)

    def acquired(name, source):
        folder = options.runs / name
        return name.split("-")[-1], load(folder), source(**read_card(folder)["tasks"]["arguments"])

    mhc = [acquired("mhc-maml", PeptideMHC), acquired("mhc-ridge", PeptideMHC)]
    mhc.append(("random forest (control)", control("random_forest", "regression"), PeptideMHC(about="none")))
    titan = [acquired("titan-0-multitask_probe", Titan), acquired("titan-0-protonet", Titan)]
    titan += [(f"{name} (control)", control(name), Titan(fold=0)) for name in ("random_forest", "linear")]
    figure, places = pyplot.subplots(1, 3, figsize=(11, 3.7), layout="constrained", sharey=True)
    for size, place in zip(SIZES, places, strict=False):
        affinities(place, mhc, size, options.draws)
    receptors(places[2], titan, options.draws)
    places[0].set_ylabel("share below it")
    places[2].set_ylabel("share of binders")
    figure.savefig(HERE / "calibration.png", dpi=110)


if __name__ == "__main__":
    main()
