"""Draw what share of molecules was active where a probability was said: `python results/fsmol/calibration.py RUNS`."""

import argparse
from pathlib import Path

import numpy as np
import torch

from metaprior import load
from metaprior.molecules import FSMol
from metaprior.molecules.controls import control
from metaprior.molecules.methods import predictor_of
from metaprior.molecules.scores import reliability

HERE = Path(__file__).parent
SIZES = (16, 64, 256)


def pooled(predict, source, size, draws):
    """Return probabilities and labels of all queries of all test tasks."""
    said, true = [], []
    for at, count in enumerate(source.sizes("test")):
        for draw in range(draws if count > size else 0):
            episode = source.episode("test", at, size, torch.Generator().manual_seed(1000 * at + draw))
            said.append(predict(episode).double().numpy())
            true.append(episode.query.y[0].numpy())
    return np.concatenate(said), np.concatenate(true)


def main():
    """Write `calibration.png`: a curve for each method and size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--methods", nargs="+", default=["ensemble,pairs", "multitask_probe"])
    parser.add_argument("--draws", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = FSMol()
    methods = {name: load(options.runs / name) for name in options.methods}
    methods |= {f"{name} (control)": control(name) for name in ("random_forest", "tanimoto_gp")}
    figure, places = pyplot.subplots(1, len(SIZES), figsize=(11, 3.9), layout="constrained", sharey=True)
    for size, place in zip(SIZES, places, strict=True):
        place.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for name, method in methods.items():
            seen = source.as_acquired(getattr(method, "recorded_inputs", None) or {})
            said, true = pooled(predictor_of(method, "classification"), seen, size, options.draws)
            shown, shares, error = reliability(said, true)
            place.plot(shown, shares, marker=".", linewidth=1.2, label=f"{name}: {error:.3f}")
            print(size, name, f"{error:.4f}", flush=True)
        place.set(title=f"{size} labels", xlabel="probability of being active that was said")
        place.legend(title="calibration error", fontsize=8, title_fontsize=8)
    places[0].set_ylabel("share that was active")
    figure.savefig(HERE / "calibration.png", dpi=130)


if __name__ == "__main__":
    main()
