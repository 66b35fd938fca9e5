"""What a prediction for molecules is worth: the metrics of one query set, calibration among them.

Axis letters: Q queries.
"""

import importlib

import numpy as np
from torch import Tensor

from metaprior.errors import missing

__all__ = ["calibration_error", "quantile_error", "quantile_shares", "reliability", "scores_of"]


def scores_of(predicted: Tensor, actual: Tensor, deviation: Tensor | None = None) -> dict[str, float]:
    """Return the metrics of one query set.

    Args:
        predicted: `(Q,)`, the probability of the class 1, or values.
        actual: `(Q,)`, class ids, or values, standardised by the support.
        deviation: `(Q,)`, of values, the standard deviation of what is measured from them; None if it was not said.

    Returns:
        For classes `delta_auprc` (average precision less the share of the class 1), `auroc`, `auroc_01` (of the part up
        to a false positive rate of 0.1, scaled so that chance is a half), `calibration_error` and `brier`; a query set
        of one class has no AUROC. For values `r2` (about the mean of the queries), `r2_support` (about the mean of the
        support, as ADKF-IFT has it), `rmse`, `mae`, `spearman`, which is 0 for a prediction that is the same
        everywhere, and of what was said of deviations `calibration_error` and `coverage`, the share within the 95 %
        interval; NaN where nothing was said.

    Example:
        >>> import torch
        >>> scores_of(torch.tensor([0.9, 0.1, 0.8]), torch.tensor([1, 0, 1]))["delta_auprc"].__round__(3)
        0.333
    """
    guess = predicted.double().cpu().numpy()
    if actual.is_floating_point():
        true = actual.double().cpu().numpy()
        error = float(((true - guess) ** 2).sum())
        about_mean, about_support = float(((true - true.mean()) ** 2).sum()), float((true**2).sum())
        return {
            "r2": 1 - error / max(about_mean, 1e-12),
            "r2_support": 1 - error / max(about_support, 1e-12),
            "rmse": (error / len(true)) ** 0.5,
            "mae": float(np.abs(true - guess).mean()),
            "spearman": _spearman(guess, true),
            **_calibrated(guess, true, deviation),
        }
    try:
        metrics = importlib.import_module("sklearn.metrics")
    except ImportError as error:
        raise missing("scikit-learn", "molecules", "scoring and controls") from error
    label = actual.cpu().numpy()
    both = 0 < label.sum() < len(label)
    precision = float(metrics.average_precision_score(label, guess)) if label.any() else 0.0
    return {
        "delta_auprc": precision - float(label.mean()),
        "auroc": float(metrics.roc_auc_score(label, guess)) if both else float("nan"),
        "auroc_01": float(metrics.roc_auc_score(label, guess, max_fpr=0.1)) if both else float("nan"),
        "calibration_error": calibration_error(guess, label),
        "brier": float(((guess - label) ** 2).mean()),
    }


def calibration_error(probability: np.ndarray, label: np.ndarray, bins: int = 10) -> float:
    """Return the expected calibration error: by how much the share of class 1 differs from what was said, on average.

    Args:
        probability: `(Q,)`, of the class 1.
        label: `(Q,)`, 0 or 1.
        bins: of as many molecules each, since evenly spaced ones may be all but empty; fewer where that leaves a bin
            less than ten, as the share of class 1 among a few is far from any probability by chance alone.

    Example:
        >>> calibration_error(np.array([0.25] * 4), np.array([0, 0, 0, 1]), bins=1)
        0.0
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, max(1, min(bins, len(order) // 10))) if len(part)]
    return float(sum(len(part) * abs(probability[part].mean() - label[part].mean()) for part in parts) / len(order))


def reliability(probability: np.ndarray, label: np.ndarray, least: int = 100) -> tuple[np.ndarray, np.ndarray, float]:
    """Return what was said of the class 1 and its share, in tenths of what can be said, and by how much they differ.

    Args:
        probability: `(Q,)`, of the class 1.
        label: `(Q,)`, 0 or 1.
        least: how many queries a tenth must have to count.

    Example:
        >>> said, share, error = reliability(np.array([0.25, 0.25, 0.85]), np.array([0, 1, 1]), least=1)
        >>> said.tolist(), share.tolist()
        ([0.25, 0.85], [0.5, 1.0])
    """
    tenth = np.clip((10 * probability).astype(int), 0, 9)
    counts = np.bincount(tenth, minlength=10)
    full = counts >= least
    said, share = (np.bincount(tenth, values, 10)[full] / counts[full] for values in (probability, label))
    error = (counts[full] * np.abs(said - share)).sum() / max(1, counts[full].sum())
    return said, share, float(error)


def quantile_error(z: np.ndarray) -> float:
    """Return by how much the share of values below a quantile that was said differs from what it should be.

    Args:
        z: `(Q,)`, values less what was predicted, over the standard deviations that were said.

    Source: Kuleshov et al. 2018 (arXiv 1807.00263), section 3.5, of normal distributions; the mean of absolute
    differences over the quantiles 0.05 to 0.95 instead of the sum of their squares.

    Example:
        >>> round(quantile_error(np.zeros(100)), 3)
        0.263
    """
    levels, shares = quantile_shares(z)
    return float(np.abs(shares - levels).mean())


def quantile_shares(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles 0.05 to 0.95 of normal distributions, and the share of values that lies below each.

    Args:
        z: `(Q,)`, values less what was predicted, over the standard deviations that were said.

    Example:
        >>> levels, shares = quantile_shares(np.array([-3.0, 0.1]))
        >>> shares[0], shares[9], shares[-1]
        (np.float64(0.5), np.float64(0.5), np.float64(1.0))
    """
    below = importlib.import_module("scipy.stats").norm.cdf(z)
    levels = np.linspace(0.05, 0.95, 19)
    return levels, (below[:, None] <= levels).mean(0)


def _calibrated(guess: np.ndarray, true: np.ndarray, deviation: Tensor | None) -> dict[str, float]:
    if deviation is None:
        return {"calibration_error": float("nan"), "coverage": float("nan")}
    z = (true - guess) / np.maximum(deviation.double().cpu().numpy(), 1e-12)
    return {"calibration_error": quantile_error(z), "coverage": float((np.abs(z) <= 1.96).mean())}


def _spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Return the correlation of ranks."""
    if min(np.ptp(left), np.ptp(right)) == 0:
        return 0.0
    rank = importlib.import_module("scipy.stats").rankdata
    return float(np.corrcoef(rank(left), rank(right))[0, 1])
