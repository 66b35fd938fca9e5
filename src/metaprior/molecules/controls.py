"""Controls as scikit-learn estimators: what a careful chemist would try before any prior.

Inputs are fingerprints as a featuriser encodes them. Axis letters: N examples, Q query, F features.
"""

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch

from metaprior.errors import DataError, UnknownNameError, missing
from metaprior.gaussian import kernels
from metaprior.molecules.assays import AssaySource

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Hyperparameter, Kernel, WhiteKernel
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise missing("scikit-learn", "molecules", "the controls") from error

__all__ = [
    "FrequentHitter",
    "Tanimoto",
    "TanimotoClassifier",
    "TanimotoRegressor",
    "control",
    "frequent_hitter",
    "similarities",
]


def similarities(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the Tanimoto similarity of each row of one matrix to each of another; see `gaussian.tanimoto`.

    Example:
        >>> similarities(np.array([[1.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])).tolist()
        [[0.5, 1.0]]
    """
    rows = (torch.from_numpy(np.asarray(part, dtype=np.float64)) for part in (left, right))
    return kernels.tanimoto(*rows).numpy()


class Tanimoto(Kernel):
    """The Tanimoto similarity as a kernel for scikit-learn's Gaussian processes; it has nothing to learn.

    Source: Ralaivola et al. 2005, "Graph kernels for chemical informatics".

    Example:
        >>> Tanimoto()(np.array([[1.0, 1.0], [1.0, 0.0]])).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """

    def __init__(self) -> None:
        # scikit-learn reads the parameters of a kernel from a constructor of its own.
        super().__init__()

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """Return the similarities of rows, and on demand their gradient, which is empty."""
        kernel = similarities(np.asarray(X), np.asarray(X if Y is None else Y))
        return (kernel, np.empty((*kernel.shape, 0))) if eval_gradient else kernel

    def diag(self, X: Any) -> np.ndarray:
        """Return the similarity of each row to itself: 1."""
        return np.ones(len(X))

    def is_stationary(self) -> bool:
        """It depends on more than the difference of two rows."""
        return False

    @property
    def hyperparameters(self) -> list[Hyperparameter]:
        """None."""
        return []


class TanimotoRegressor(RegressorMixin, BaseEstimator):
    """A Gaussian process with a Tanimoto kernel, its variance and noise found by evidence on the support alone.

    Args:
        restarts: of the search for variance and noise.

    Example:
        >>> x = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
        >>> TanimotoRegressor().fit(x, [3.0, 1.0, 0.0]).predict(x[:1]).shape
        (1,)
    """

    def __init__(self, restarts: int = 0):
        self.restarts = restarts

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to rows `(N, F)` and values `(N,)`."""
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Tanimoto() + WhiteKernel(0.3, (1e-3, 1e1))
        self.process_ = GaussianProcessRegressor(
            kernel, normalize_y=True, n_restarts_optimizer=self.restarts, random_state=0
        )
        _without_warnings(self.process_.fit, X, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean for each row, and on demand its standard deviation."""
        check_is_fitted(self)
        return self.process_.predict(validate_data(self, X, dtype=np.float64, reset=False), return_std=return_std)


class TanimotoClassifier(ClassifierMixin, BaseEstimator):
    """A Gaussian process with a Tanimoto kernel on labels of -1 and 1; its probability is that of a value above 0.

    The labels are treated as values with noise, which has a closed form and ranks as well as Laplace's approximation.

    Args:
        restarts: of the search for variance and noise.

    Example:
        >>> x = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
        >>> TanimotoClassifier().fit(x, [1, 0, 0]).predict_proba(x).shape
        (3, 2)
    """

    def __init__(self, restarts: int = 0):
        self.restarts = restarts

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to rows `(N, F)` and two classes `(N,)`."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        self.classes_, ids = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise DataError(f"y: expected two classes, got {len(self.classes_)}")
        self.process_ = TanimotoRegressor(self.restarts).fit(X, 2.0 * ids - 1)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of either class for each row, `(Q, 2)`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        mean, deviation = self.process_.predict(X, return_std=True)
        # A logistic curve of 1.702 times its argument stays within 0.01 of the normal one.
        share = 1 / (1 + np.exp(-1.702 * mean / np.maximum(deviation, 1e-6)))
        return np.stack([1 - share, share], axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Return the likelier class of each row."""
        return self.classes_[self.predict_proba(X).argmax(1)]


class FrequentHitter(ClassifierMixin, BaseEstimator):
    """Predict how often molecules like a query were active in the training assays, whatever the support says.

    What it scores is what a benchmark gives away without any information about the task.

    Args:
        fitted: a classifier that was fitted to pooled training assays; `frequent_hitter` fits one.

    Example:
        >>> pool = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        >>> FrequentHitter(pool).fit([[0.0], [1.0]], [1, 0]).predict([[1.0]])
        array([1])
    """

    def __init__(self, fitted: Any = None):
        self.fitted = fitted

    def __sklearn_clone__(self) -> Self:
        # A clone of what it wraps would have forgotten the training assays.
        return type(self)(self.fitted)

    def fit(self, X: Any, y: Any) -> Self:
        """Learn nothing but the names of the classes."""
        if self.fitted is None:
            raise DataError("fitted: expected a classifier that was fitted to training assays, got None")
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the pooled classifier."""
        return np.asarray(self.fitted.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likelier class of each row."""
        return self.predict_proba(X).argmax(1)


_CONTROLS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "random_forest": (
        lambda: RandomForestClassifier(n_estimators=100, random_state=0),
        lambda: RandomForestRegressor(n_estimators=100, random_state=0),
    ),
    "knn": (
        lambda: KNeighborsClassifier(5, metric="cosine"),
        lambda: KNeighborsRegressor(5, metric="cosine"),
    ),
    "linear": (lambda: LogisticRegression(max_iter=1000), lambda: Ridge(10.0)),
    "tanimoto_gp": (TanimotoClassifier, TanimotoRegressor),
}


def control(name: str, kind: str = "classification") -> Any:
    """Return a control by name: "random_forest", "knn", "linear" or "tanimoto_gp".

    Args:
        name: of the control.
        kind: of the tasks.

    Example:
        >>> type(control("random_forest", "regression")).__name__
        'RandomForestRegressor'
    """
    if name not in _CONTROLS:
        raise UnknownNameError("control", name, _CONTROLS)
    return _CONTROLS[name][kind == "regression"]()


def frequent_hitter(source: AssaySource, most: int = 20_000, seed: int = 0) -> FrequentHitter:
    """Return the control that predicts how often molecules like a query are active, fitted to the training assays.

    Args:
        source: of the tasks.
        most: how many labelled molecules of all training assays to fit it to, drawn at random.
        seed: of the drawing.

    Example:
        >>> from metaprior.molecules import NCI
        >>> frequent_hitter(NCI(molecules=300), most=500).fit([[0.0] * 2048], [1]).classes_
        array([0, 1])
    """
    x, y = source.pooled(most, torch.Generator().manual_seed(seed))
    return FrequentHitter(RandomForestClassifier(n_estimators=100, random_state=0).fit(x.numpy(), y.numpy()))


def _without_warnings(fit: Callable[..., Any], *values: Any) -> None:
    """Fit without scikit-learn's remarks that a variance lies at the end of its range, which small supports bring."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(*values)
