"""Methods that the protocol scores: priors, scikit-learn's estimators and functions, asked alike.

Axis letters: Q queries.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, MetapriorError
from metaprior.predict import deviation
from metaprior.prior import Prior
from metaprior.tasks.episode import Episode

__all__ = ["Method", "Said", "predictor_of"]

Method = Prior | Callable[[Episode], Tensor] | Any
"""A prior; a scikit-learn classifier or regressor; or a function from an episode to probabilities or values `(Q,)`."""
Said = Tensor | tuple[Tensor, Tensor | None]
"""Probabilities of the class 1 or values `(Q,)`; or values and how far from them what is measured may be, if known."""
_FOLDS = 5
"""In so many parts examples are left out of regressors that say no deviation."""


def predictor_of(method: Method, kind: str) -> Callable[[Episode], Said]:
    """Return what a method makes of an episode of one task: probabilities of the class 1, or values, `(Q,)`.

    With values come their standard deviations, as a prior says them, or a regressor whose `predict` takes
    `return_std`; of other priors by a jackknife of the support, and of other regressors by cross-validation there.

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
    if episode.ways is not None and len(np.unique(y)) == 1:
        # Most classifiers refuse a single class; nothing but it can be said.
        return torch.full((len(asked),), float(y.flat[0]), dtype=torch.double)
    from sklearn.base import clone

    fitted = clone(estimator).fit(x, y.ravel())
    if episode.ways is None and "return_std" in inspect.signature(fitted.predict).parameters:
        values, spread = (torch.from_numpy(part) for part in fitted.predict(asked, return_std=True))
        return values, spread
    if episode.ways is None:
        return torch.from_numpy(fitted.predict(asked)), _crossed(estimator, x, y.ravel(), asked)
    if not hasattr(fitted, "predict_proba"):
        raise MetapriorError(
            f"method: {type(fitted).__name__} gives no probabilities of classes, which these tasks have; expected a "
            "classifier with predict_proba"
        )
    classes = list(fitted.classes_)
    return torch.from_numpy(fitted.predict_proba(asked)[:, classes.index(1)])


def _crossed(estimator: Any, x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> Tensor | None:
    """Return the standard deviation of what is measured, as the jackknife has it, by fits to all but a fifth."""
    from sklearn.base import clone

    if len(y) < 2:
        return None
    fold = np.arange(len(y)) % min(_FOLDS, len(y))
    squares, others = np.zeros(len(y)), []
    for left_out in np.unique(fold):
        inside = fold != left_out
        fitted = clone(estimator).fit(x[inside], y[inside])
        squares[~inside] = (fitted.predict(x[~inside]) - y[~inside]) ** 2
        others.append(fitted.predict(asked))
    return torch.from_numpy(np.sqrt(np.var(others, axis=0) + squares.mean()))
