"""The protocol of FS-Mol, for any prior and any scikit-learn model: many draws of supports of each size of each task.

Axis letters: Q query.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, MetapriorError, missing
from metaprior.molecules.assays import AssaySource
from metaprior.predict import deviation
from metaprior.prior import Prior
from metaprior.tasks.episode import Episode
from metaprior.tasks.source import Split
from metaprior.tree import fingerprint

__all__ = ["Method", "Protocol", "assay_protocol", "calibration_error", "predictor_of", "quantile_error", "scores_of"]

Method = Prior | Callable[[Episode], Tensor] | Any
"""A prior; a scikit-learn classifier or regressor; or a function from an episode to probabilities or values `(Q,)`."""
Said = Tensor | tuple[Tensor, Tensor | None]
"""Probabilities of the class 1 or values `(Q,)`; or values and how far from them what is measured may be, if known."""
SIZES = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Protocol:
    """What a method scored.

    Args:
        rows: for each support size: how many tasks have so many molecules, and mean and half the width of the 95 %
            interval over tasks of every metric, each task's mean over its draws taken first.
        tasks: for each support size, by name of the task: every metric, its mean over draws.
        hash: of all draws.
    """

    rows: list[dict[str, Any]]
    tasks: dict[int, dict[str, dict[str, float]]]
    hash: str

    def __str__(self) -> str:
        lead = "delta_auprc" if "delta_auprc" in self.rows[0] else "r2"
        cells = (f"{row['support']}: {row[lead]:.3f} ± {row[f'{lead}_interval']:.3f}" for row in self.rows)
        return f"{lead} at {', '.join(cells)}"


def assay_protocol(
    method: Method,
    source: AssaySource,
    sizes: Sequence[int] = SIZES,
    draws: int = 10,
    tasks: int | None = None,
    seed: int = 0,
    split: Split = "test",
    report: Callable[[int, str, Mapping[str, float]], None] | None = None,
) -> Protocol:
    """Score a method on tasks of molecules as FS-Mol does.

    From each task with more molecules than the support, supports are drawn at random, each class by its share; all
    other molecules are queries. The same seed draws the same supports for every method.

    Args:
        method: a prior; a scikit-learn classifier or regressor, which is cloned and fitted to each support; or a
            function from an episode of one task to the probabilities of its class 1, or to values, `(Q,)`, or to values
            and their standard deviations.
        source: of the tasks; whether it is of classes or values says what is predicted.
        sizes: of the support; 0 asks a prior for what it believes before any example.
        draws: how many supports of each size are drawn from each task.
        tasks: how many tasks to take, the first; None for all.
        seed: of the draws.
        split: of the tasks. Choose settings on "valid", never on "test".
        report: called after each task of each size.

    Source: Stanley et al. 2021, section 4. Differs: the draws are our own, since theirs follow from their code's order
    of reading; the base rate is that of the very query set that is scored.

    Example:
        >>> from metaprior import ProtoNet
        >>> from metaprior.molecules import NCI
        >>> from torch import nn
        >>> found = assay_protocol(ProtoNet(nn.Flatten()), NCI(molecules=300), sizes=[16], draws=2, tasks=3)
        >>> found.rows[0]["tasks"], found.rows[0]["delta_auprc"] > 0
        (3, True)
    """
    if not sizes:
        raise DataError("sizes: expected at least one size of the support, got none")
    names = source.names(split)
    scored: dict[int, dict[str, dict[str, float]]] = {}
    hashes: list[str] = []
    predictor = predictor_of(method, source.spec.kind)
    eligible = {size: [at for at, count in enumerate(source.sizes(split)) if count > size][:tasks] for size in sizes}
    for size, found_tasks in eligible.items():
        if not found_tasks:
            largest = max(source.sizes(split), default=0)
            raise DataError(
                f"sizes: the {split} split has no task of more than {size} molecules; the largest has {largest}"
            )
    for size in eligible:
        scored[size] = {}
        for at in eligible[size]:
            generator = torch.Generator().manual_seed(_number(f"{split}:{seed}:{size}:{names[at]}"))
            found = []
            for _ in range(draws):
                episode = source.episode(split, at, size, generator)
                assert episode.query.y is not None
                hashes.append(fingerprint(episode.support.x, episode.query.y))
                said = predictor(episode)
                values, spread = said if isinstance(said, tuple) else (said, None)
                found.append(scores_of(values, episode.query.y.flatten(), spread))
            scored[size][names[at]] = {key: _mean([one[key] for one in found]) for key in found[0]}
            if report is not None:
                report(size, names[at], scored[size][names[at]])
    return Protocol([_row(size, found) for size, found in scored.items()], scored, f"{_number(' '.join(hashes)):016x}")


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
    metrics = _sklearn("metrics")
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
    below = importlib.import_module("scipy.stats").norm.cdf(z)
    levels = np.linspace(0.05, 0.95, 19)
    return float(np.abs((below[:, None] <= levels).mean(0) - levels).mean())


def _calibrated(guess: np.ndarray, true: np.ndarray, deviation: Tensor | None) -> dict[str, float]:
    if deviation is None:
        return {"calibration_error": float("nan"), "coverage": float("nan")}
    z = (true - guess) / np.maximum(deviation.double().cpu().numpy(), 1e-12)
    return {"calibration_error": quantile_error(z), "coverage": float((np.abs(z) <= 1.96).mean())}


def _mean(values: list[float]) -> float:
    """Return the mean of those that are known; NaN if none is."""
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def _spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Return the correlation of ranks."""
    if min(np.ptp(left), np.ptp(right)) == 0:
        return 0.0
    rank = importlib.import_module("scipy.stats").rankdata
    return float(np.corrcoef(rank(left), rank(right))[0, 1])


def predictor_of(method: Method, kind: str) -> Callable[[Episode], Said]:
    """Return what a method makes of an episode of one task: probabilities of the class 1, or values, `(Q,)`.

    With values come their standard deviations, as a prior says them, or a jackknife of the support, or a regressor
    whose `predict` takes `return_std`.

    Raises:
        MetapriorError: if it is no method, or not for this kind of tasks.

    Example:
        >>> predictor_of(lambda episode: episode.query.x.mean(-1)[0], "regression").__name__
        '<lambda>'
    """
    if isinstance(method, Prior):
        if kind not in method.kinds:
            raise MetapriorError(f"method: {type(method).__name__} is for {' and '.join(sorted(method.kinds))} tasks")
        prior = method.eval()
        return lambda episode: _by_prior(prior, episode)
    if hasattr(method, "fit") and hasattr(method, "predict"):
        return lambda episode: _by_estimator(method, episode)
    if callable(method):
        return method
    raise MetapriorError(f"method: expected a prior, an estimator or a function, got a {type(method).__name__}")


@torch.no_grad()
def _by_prior(prior: Prior, episode: Episode) -> Said:
    device = next((parameter.device for parameter in prior.parameters()), torch.device("cpu"))
    episode = episode.to(device)
    state = prior.start(1, episode.about)
    if episode.support.size:
        state = prior.observe(state, episode.support)
    found = prior.predict(state, episode.query.x)[0].cpu()
    if episode.ways is not None:
        return found[:, :2].softmax(-1)[:, 1]
    if episode.support.size < 2:
        spread = prior.deviation(state, episode.query.x)
    else:
        spread = deviation(prior, state, episode.support, episode.query.x, episode.about)
    return found[:, 0], None if spread is None else spread[0, :, 0].cpu()


def _by_estimator(estimator: Any, episode: Episode) -> Said:
    assert episode.support.y is not None
    if not episode.support.size:
        raise DataError("sizes: an estimator has nothing to fit to without a support; expected 1 or more")
    x, y, asked = (part[0].numpy() for part in (episode.support.x, episode.support.y, episode.query.x))
    fitted = _sklearn("base").clone(estimator).fit(x, y.ravel())
    if episode.ways is None and "return_std" in inspect.signature(fitted.predict).parameters:
        values, spread = (torch.from_numpy(part) for part in fitted.predict(asked, return_std=True))
        return values, spread
    if episode.ways is None:
        return torch.from_numpy(fitted.predict(asked))
    if not hasattr(fitted, "predict_proba"):
        raise MetapriorError(
            f"method: {type(fitted).__name__} gives no probabilities of classes, which these tasks have; expected a "
            "classifier with predict_proba"
        )
    classes = list(fitted.classes_)
    return torch.from_numpy(fitted.predict_proba(asked)[:, classes.index(1)])


def _row(size: int, found: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"support": size, "tasks": len(found)}
    for key in next(iter(found.values())):
        values = np.array([one[key] for one in found.values()])
        values = values[np.isfinite(values)]
        row[key] = float(values.mean()) if len(values) else float("nan")
        spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        row[f"{key}_interval"] = 1.96 * spread / len(values) ** 0.5 if len(values) else float("nan")
    return row


def _number(text: str) -> int:
    """Return 63 bits that stand for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _sklearn(module: str) -> Any:
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise missing("scikit-learn", "molecules", "scoring and controls") from error
