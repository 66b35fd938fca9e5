"""Priors behind the scikit-learn API, where `fit` is adaptation.

Axis letters: N examples, F features of a row, C classes, D target features.
"""

import warnings
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from metaprior.checkpoint import read_card, resolve
from metaprior.errors import DataError, missing
from metaprior.evaluate import input_shape
from metaprior.metric import Ridge
from metaprior.predict import believe, deviation, predict_rows
from metaprior.prior import Prior
from metaprior.tasks.columns import text
from metaprior.tasks.episode import Examples

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise missing("scikit-learn", "tables", "using priors as scikit-learn estimators") from error

__all__ = ["PriorClassifier", "PriorRegressor"]

_STRUCTURES = ("molecules", "sequences")


class _PriorEstimator(BaseEstimator):
    """What both estimators share: finding the prior, and turning rows into its inputs."""

    prior_: Prior
    state_: Any

    def __init__(self, prior: Prior | str | Path | None = None):
        self.prior = prior

    def _card(self) -> Mapping[str, Any]:
        """Return what the checkpoint says of itself; nothing if the prior is no file."""
        return read_card(self.prior) if isinstance(self.prior, (str, Path)) else {}

    def _rows(self, X: Any, card: Mapping[str, Any] | None = None) -> Any:
        """Return molecules or sequences as rows of features if the prior takes them and X holds them; else X."""
        inputs = (self._card() if card is None else card).get("inputs") or {}
        if inputs.get("kind") not in _STRUCTURES:
            return X
        if isinstance(X, str):
            raise DataError(f"X: expected several {inputs['kind']}, got one text: put it into a list, ['{X[:20]}']")
        given = X.to_numpy() if hasattr(X, "to_numpy") else X
        if isinstance(given, np.ndarray) and given.ndim == 2 and given.shape[1] > 1 and given.dtype.kind in "OUS":
            raise DataError(
                f"X: expected one column of {inputs['kind']}, got a table of {given.shape[1]} columns"
                f"{_named(X)}: give the column that holds them"
            )
        molecules = list(given.ravel() if isinstance(given, np.ndarray) and given.shape[1:] == (1,) else given)
        if not any(isinstance(one, str) or type(one).__name__ == "Mol" for one in molecules):
            return X
        from metaprior.molecules.own_rows import encode_molecules

        return encode_molecules(molecules, inputs).double().numpy()

    def _resolve(self, outputs: int, scale: float, rows: Any, card: Mapping[str, Any]) -> None:
        """Set the prior, the shape of its inputs and what is done to the rows before."""
        self.scaler_ = FunctionTransformer() if self.prior is not None else StandardScaler()
        self.scaler_.fit(rows)
        if self.prior is None:
            self.prior_ = Ridge(nn.Flatten(), outputs=outputs, scale=scale).double().eval()
        else:
            self.prior_, _ = resolve(self.prior)
        self.x_shape_ = tuple(card.get("spec", {}).get("x_shape") or input_shape(self.prior_) or rows.shape[1:])
        if int(np.prod(self.x_shape_)) != rows.shape[1]:
            raise DataError(
                f"X: expected rows of {int(np.prod(self.x_shape_))} features, which the prior takes as inputs of shape "
                f"{self.x_shape_}; got {rows.shape[1]}"
            )
        if getattr(self.prior_, "about_size", None):
            warnings.warn(
                "prior: it is told what a task is about, which an estimator cannot tell it; `adapt` can", stacklevel=3
            )
        if (card.get("inputs") or {}).get("kind") in _STRUCTURES and len(np.unique(rows, axis=0)) < len(rows):
            warnings.warn(
                "X: some structures come several times, and count as often; `adapt` merges them, so that what is left "
                "out of the support for the uncertainty is not in it all the same",
                stacklevel=3,
            )

    def _inputs(self, rows: Any) -> Tensor:
        """Return rows `(N, F)` as inputs `(1, N, *x)`."""
        like = next(chain(self.prior_.parameters(), self.prior_.buffers()), torch.empty(0))
        scaled: Any = self.scaler_.transform(rows)
        x = torch.tensor(scaled, dtype=like.dtype, device=like.device)
        return x.unflatten(1, self.x_shape_)[None]

    def _queries(self, X: Any) -> Tensor:
        """Return what is asked for as inputs `(1, N, *x)`."""
        check_is_fitted(self)
        return self._inputs(validate_data(self, self._rows(X), dtype=np.float64, reset=False))


class PriorClassifier(ClassifierMixin, _PriorEstimator):
    """A classifier whose `fit` adapts a prior to the rows that it is given.

    Without arguments it passes the whole of scikit-learn's `check_estimator`. With a prior object as its argument it
    passes all but `check_estimators_overwrite_params`, which compares arguments by `joblib.hash`: that differs for any
    torch tensor and its copy. The argument is left as it was all the same.

    Args:
        prior: a prior, a folder that `acquire` wrote, a checkpoint file, or `zoo:NAME`. A row holds an input as
            acquisition saw it, flattened: the pixels of an image from 0 to 1, the encoded columns of a table. If the
            prior was acquired on molecules and comes from a file, rows may be SMILES or RDKit Mols; if on sequences,
            sequences. None for a ridge head on the standardised features.

    Attributes:
        classes_: the classes, C of them.
        n_features_in_: F.
        prior_: the prior in evaluation mode.
        state_: its belief.
        outputs_: which output of the prior stands for each class.

    Example:
        >>> classifier = PriorClassifier().fit([[0.0], [1.0], [8.0], [9.0]], ["small", "small", "large", "large"])
        >>> classifier.predict([[2.0], [7.0]]).tolist()
        ['small', 'large']
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Adapt the prior to rows `(N, F)` and their classes `(N,)`.

        Raises:
            ValueError: if they cannot be used, or do not fit the prior.
        """
        card = self._card()
        _need_labels(y)
        rows, y = validate_data(self, self._rows(X, card), y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, ids = np.unique(y, return_inverse=True)
        inputs = card.get("inputs") or {}
        if len(self.classes_) == 1 and inputs.get("kind") in _STRUCTURES:
            warnings.warn(
                f"y: all labels are '{self.classes_[0]}', so that nothing else can be predicted", stacklevel=2
            )
        self._resolve(len(self.classes_), 10.0, rows, card)
        known = (inputs.get("target") or {}).get("classes")
        if inputs.get("kind") in _STRUCTURES:
            from metaprior.molecules.labels import in_order

            known = in_order(map(text, self.classes_))
        self.outputs_ = np.arange(len(self.classes_)) if known is None else _positions(self.classes_, known)
        x = self._inputs(rows)
        labels = torch.tensor(self.outputs_[ids], device=x.device)[None]
        self.state_ = believe(self.prior_, Examples(x, labels), int(self.outputs_.max()) + 1)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each row, `(N, C)`."""
        x = self._queries(X)
        outputs = predict_rows(self.prior_, self.state_, x)[0].double().cpu()
        return outputs[:, torch.from_numpy(self.outputs_)].softmax(-1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row, `(N,)`."""
        best = self.predict_proba(X).argmax(-1)
        return self.classes_[best]


class PriorRegressor(RegressorMixin, _PriorEstimator):
    """A regressor whose `fit` adapts a prior to the rows that it is given.

    Without arguments it passes the whole of scikit-learn's `check_estimator`. With a prior object as its argument it
    passes all but `check_estimators_overwrite_params`, which compares arguments by `joblib.hash`: that differs for any
    torch tensor and its copy. The argument is left as it was all the same.

    Args:
        prior: a prior, a folder that `acquire` wrote, or a checkpoint file. A row holds an input as acquisition saw it,
            flattened; or a SMILES, an RDKit Mol or a sequence, as for `PriorClassifier`. If the prior was acquired on
            a table, or on values of a fixed unit, targets are standardised as they were there, after their logarithm
            where that was predicted there (affinities in nM); if on other molecules or sequences, by themselves; else
            they are left as they are. None for a ridge head on the standardised features, for standardised targets.

    Attributes:
        n_features_in_: F.
        prior_: the prior in evaluation mode.
        state_: its belief.
        support_: what led to it, `(1, N, ...)`.

    Example:
        >>> regressor = PriorRegressor().fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0])
        >>> regressor.predict([[1.5]]).round(2)
        array([3.])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Adapt the prior to rows `(N, F)` and their targets, `(N,)` or `(N, D)`.

        Raises:
            ValueError: if they cannot be used, or do not fit the prior.
        """
        card = self._card()
        _need_numbers(y)
        rows, y = validate_data(self, self._rows(X, card), y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64)
        targets = y.reshape(len(y), -1)
        self._resolve(targets.shape[1], 1.0, rows, card)
        inputs = card.get("inputs") or {}
        fixed = inputs.get("target")
        self.logarithm_ = fixed is not None and fixed.get("logarithm", False)
        if self.logarithm_:
            if (targets <= 0).any():
                raise DataError(
                    f"y: expected positive numbers, since their logarithm is predicted; got {targets.min():g}"
                )
            targets = np.log10(targets)
        self.y_mean_: Any = np.zeros(targets.shape[1])
        self.y_scale_: Any = np.ones(targets.shape[1])
        if fixed is not None:
            if fixed.get("kind", "regression") != "regression":
                raise DataError(f"prior: was acquired on a table of classes, '{fixed['name']}'; expected targets")
            self.y_mean_, self.y_scale_ = np.array([fixed["mean"]]), np.array([fixed["scale"]])
        elif self.prior is None or inputs.get("kind") in _STRUCTURES:
            scaler = StandardScaler().fit(targets)
            self.y_mean_, self.y_scale_ = scaler.mean_, np.where(scaler.var_ > 0, scaler.scale_, 0.0)
        self.flat_ = y.ndim == 1
        x = self._inputs(rows)
        scale = np.where(self.y_scale_ == 0, 1.0, self.y_scale_)
        standard = torch.tensor((targets - self.y_mean_) / scale, dtype=x.dtype, device=x.device)
        self.support_ = Examples(x, standard[None])
        self.state_ = believe(self.prior_, self.support_)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the prediction for each row, `(N,)` or `(N, D)` as the targets were.

        Args:
            X: rows `(N, F)`, or what stands for them.
            return_std: return the standard deviations of what will be measured too, as the prior says them or a
                jackknife of the support; in powers of ten if logarithms are predicted, NaN if all targets were equal.
        """
        x = self._queries(X)
        values = predict_rows(self.prior_, self.state_, x)[0].double().cpu().numpy() * self.y_scale_ + self.y_mean_
        values = self._as_given(10**values if self.logarithm_ else values)
        if not return_std:
            return values
        scale = np.where(self.y_scale_ == 0, np.nan, abs(self.y_scale_))
        spread = deviation(self.prior_, self.state_, self.support_, x)[0].double().cpu().numpy() * scale
        return values, self._as_given(spread)

    def _as_given(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0] if self.flat_ else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _named(X: Any) -> str:
    """Return the names of the columns of a data frame, for a message."""
    return f" ({', '.join(map(str, X.columns))})" if hasattr(X, "columns") else ""


def _need_labels(y: Any) -> None:
    """Raise DataError if a class is missing, which in a list of texts would be a class of its own."""
    texts = np.asarray(y, dtype=object)
    missing = [at for at, one in enumerate(texts.ravel()) if one is None or one != one or not str(one).strip()]
    if missing and texts.ndim == 1:
        raise DataError(
            f"y: {len(missing)} of {len(texts)} labels are missing, the first at {missing[0]}: NaN, None or an empty "
            "text is no class; leave these rows out"
        )


def _need_numbers(y: Any) -> None:
    """Raise DataError if a target is a text that is no number, such as a bound."""
    for at, one in enumerate(np.asarray(y, dtype=object).ravel()):
        if not isinstance(one, str):
            continue
        try:
            float(one)
        except ValueError as error:
            raise DataError(
                f"y: expected numbers, got '{one}' at {at}; bounds such as '>5' are read from files alone, by `adapt`"
            ) from error


def _positions(classes: np.ndarray, known: list[str]) -> np.ndarray:
    """Return the place of each class among those of acquisition."""
    for name in map(text, classes):
        if name not in known:
            raise DataError(f"y: class '{name}' was not among those of acquisition: {', '.join(known)}")
    return np.array([known.index(text(name)) for name in classes])
