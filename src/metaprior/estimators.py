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
from metaprior.predict import believe, predict_rows
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
        if inputs.get("kind") not in ("molecules", "sequences"):
            return X
        if isinstance(X, str):
            raise DataError(f"X: expected several {inputs['kind']}, got one text: put it into a list, ['{X[:20]}']")
        given = X.to_numpy() if hasattr(X, "to_numpy") else X
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

    def _inputs(self, rows: Any) -> Tensor:
        """Return rows `(N, F)` as inputs `(1, N, *x)`."""
        like = next(chain(self.prior_.parameters(), self.prior_.buffers()), torch.empty(0))
        scaled: Any = self.scaler_.transform(rows)
        x = torch.tensor(scaled, dtype=like.dtype, device=like.device)
        return x.unflatten(1, self.x_shape_)[None]

    def _outputs(self, X: Any) -> Tensor:
        """Return the prior's outputs for rows, `(N, C)` or `(N, D)`."""
        check_is_fitted(self)
        rows = validate_data(self, self._rows(X), dtype=np.float64, reset=False)
        return predict_rows(self.prior_, self.state_, self._inputs(rows))[0].double().cpu()


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
        rows, y = validate_data(self, self._rows(X, card), y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, ids = np.unique(y, return_inverse=True)
        structures = (card.get("inputs") or {}).get("kind") in ("molecules", "sequences")
        if len(self.classes_) == 1 and structures:
            warnings.warn(
                f"y: all labels are '{self.classes_[0]}', so that nothing else can be predicted", stacklevel=2
            )
        self._resolve(len(self.classes_), 10.0, rows, card)
        inputs = card.get("inputs") or {}
        known = (inputs.get("target") or {}).get("classes")
        if inputs.get("kind") in ("molecules", "sequences"):
            from metaprior.molecules.labels import in_order

            known = in_order(map(text, self.classes_))
        self.outputs_ = np.arange(len(self.classes_)) if known is None else _positions(self.classes_, known)
        x = self._inputs(rows)
        labels = torch.tensor(self.outputs_[ids], device=x.device)[None]
        self.state_ = believe(self.prior_, Examples(x, labels), int(self.outputs_.max()) + 1)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each row, `(N, C)`."""
        outputs = self._outputs(X)
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
            flattened; or a SMILES or an RDKit Mol, as for `PriorClassifier`. If the prior was acquired on a table,
            targets are standardised as they were there; if on molecules, by themselves; else they are left as they
            are. None for a ridge head on the standardised features, for standardised targets.

    Attributes:
        n_features_in_: F.
        prior_: the prior in evaluation mode.
        state_: its belief.

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
        rows, y = validate_data(self, self._rows(X, card), y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64)
        targets = y.reshape(len(y), -1)
        self._resolve(targets.shape[1], 1.0, rows, card)
        self.y_mean_: Any = np.zeros(targets.shape[1])
        self.y_scale_: Any = np.ones(targets.shape[1])
        if self.prior is None or (card.get("inputs") or {}).get("kind") in ("molecules", "sequences"):
            scaler = StandardScaler().fit(targets)
            self.y_mean_, self.y_scale_ = scaler.mean_, scaler.scale_
        elif target := (card.get("inputs") or {}).get("target"):
            if target["kind"] != "regression":
                raise DataError(f"prior: was acquired on a table of classes, '{target['name']}'; expected targets")
            self.y_mean_, self.y_scale_ = np.array([target["mean"]]), np.array([target["scale"]])
        self.flat_ = y.ndim == 1
        x = self._inputs(rows)
        standard = torch.tensor((targets - self.y_mean_) / self.y_scale_, dtype=x.dtype, device=x.device)
        self.state_ = believe(self.prior_, Examples(x, standard[None]))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the prediction for each row, `(N,)` or `(N, D)` as the targets were."""
        values = self._outputs(X).numpy() * self.y_scale_ + self.y_mean_
        return values[:, 0] if self.flat_ else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _positions(classes: np.ndarray, known: list[str]) -> np.ndarray:
    """Return the place of each class among those of acquisition."""
    for name in map(text, classes):
        if name not in known:
            raise DataError(f"y: class '{name}' was not among those of acquisition: {', '.join(known)}")
    return np.array([known.index(text(name)) for name in classes])
