"""Priors behind river's API, where every example that is learned changes the belief and nothing else."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from metaprior.checkpoint import resolve
from metaprior.errors import DataError, MetapriorError, ShapeError, missing
from metaprior.evaluate import input_shape
from metaprior.metric import ProtoNet
from metaprior.prior import Prior
from metaprior.tasks.episode import Examples
from metaprior.tree import Tree

try:
    from river.base import Classifier
except ImportError as error:
    raise missing("river", "streams", "using priors as river classifiers") from error

__all__ = ["PriorStreamClassifier"]

WAITING = 1000
"""How many inputs that were predicted are known to wait for their labels."""


class _Entered(NamedTuple):
    """An input that was predicted last: its features, what was predicted, and the belief that it has entered."""

    features: tuple[float, ...]
    logits: Tensor
    belief: Tree


class PriorStreamClassifier(Classifier):
    """A classifier that learns from a stream by the belief of a prior, not by changing the prior.

    Features are numbers, as acquisition saw them; None and NaN stand for a missing one, which counts as 0, the mean if
    features are standardised. Features that the classifier was not told of, by `features` or by the first example, are
    ignored. A label can be of any type; each new one takes the next output of the prior.

    A prior with a memory takes one step for each example: what it computed to predict an input is kept until the label
    comes. If `early`, an input enters the memory when it is predicted, so that it has its say even if its label comes
    late or never; predicting is then a part of following the stream. An input that is learned and was not predicted
    enters then, with its label. The same input predicted twice in a row enters once. Otherwise predicting changes no
    belief, and an input enters together with its label.

    It passes the checks of `river.checks` that apply: those on data of as many features and classes as the prior takes,
    and, of priors to which the order of the inputs matters, with `features` given.

    Args:
        prior: a prior, a folder that `acquire` wrote, a checkpoint file, or `zoo:NAME`.
        features: the names of the prior's inputs, in its order; None for those of the first example, in theirs.
        classes: the labels of the prior's first outputs, in their order; None to take them as they come.
        early: whether an input enters the memory before its label; None for what the prior was acquired to do.

    Attributes:
        features_: the names of the inputs, empty before the first example.
        classes_: the labels known so far.
        belief: what `metaprior.save_state` stores. Set it to what `metaprior.load_state` returns, in a classifier with
            the same `features` and `classes`, to go on with a stream.
        waiting_: the values of the inputs that have entered the memory before their labels, the last 1,000 of them;
            to be set after `belief`, whose setting empties it, where some wait.

    Raises:
        DataError: by its methods, if a feature is no finite number, there are fewer or more features than the prior
            has inputs, or more labels than it has outputs; the classifier is then left as it was.

    Example:
        >>> from river import metrics, evaluate, preprocessing
        >>> points = [({"a": a, "b": b}, "high" if a + b > 9 else "low") for a in range(10) for b in range(10)]
        >>> model = preprocessing.StandardScaler() | PriorStreamClassifier(ProtoNet(nn.Flatten()))
        >>> evaluate.progressive_val_score(points, model, metrics.Accuracy(), delay=3)
        Accuracy: 80.41%
    """

    def __init__(
        self,
        prior: Prior | str | Path,
        features: Sequence[str] | None = None,
        classes: Sequence[Any] | None = None,
        early: bool | None = None,
    ):
        self.prior = prior
        self.features = features
        self.classes = classes
        self.early = early
        self.features_: list[Any] = [] if features is None else list(features)
        self.classes_: list[Any] = [] if classes is None else list(classes)
        self.waiting_: list[tuple[float, ...]] = []
        self._belief: Tree = None
        self._last: _Entered | None = None
        self._loaded: tuple[Any, tuple[int, ...]] | None = None

    @property
    def belief(self) -> Tree:
        """What the stream has taught so far; None before anything has."""
        return self._belief

    @belief.setter
    def belief(self, belief: Tree) -> None:
        self._belief, self._last, self.waiting_ = belief, None, []

    @property
    def prior_(self) -> Prior:
        """The prior in evaluation mode."""
        return self._load(len(self.features_))[0]

    @property
    def _multiclass(self) -> bool:
        return True

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"prior": ProtoNet(nn.Flatten())}

    @torch.no_grad()
    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """Return the probability of each label known so far; nothing while there is none.

        Args:
            x: a number for each feature.
            kwargs: taken for river's sake, and not used.
        """
        names, values = self._values(x)
        prior, inputs = self._inputs(names, values)
        belief = prior.start(1) if self._belief is None else self._belief
        if not hasattr(prior, "tell"):
            logits = prior.predict(belief, inputs[:, None])[0, 0]
        elif self._last is not None and self._last.features == values:
            logits = self._last.logits
        else:
            logits, entered = prior.enter(belief, inputs)
            logits = logits[0]
            self._last = _Entered(values, logits, entered)
            if self._early(prior):
                self._belief, self.waiting_ = entered, [*self.waiting_, values][-WAITING:]
        self.features_ = names
        return self._probabilities(logits)

    @torch.no_grad()
    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Change the belief by an example.

        Args:
            x: a number for each feature.
            y: its label.
        """
        if y is None or y != y:
            raise DataError(f"y: expected a label, got {y}")
        names, values = self._values(x)
        prior, inputs = self._inputs(names, values)
        classes = self.classes_ if y in self.classes_ else [*self.classes_, y]
        label = torch.tensor([classes.index(y)], device=inputs.device)
        belief = prior.start(1) if self._belief is None else self._belief
        waiting = list(self.waiting_)
        try:
            if not hasattr(prior, "tell"):
                belief = prior.observe(belief, Examples(inputs[:, None], label[:, None]))
            elif values in waiting:
                waiting.remove(values)
                belief = prior.tell(belief, label)
            elif self._last is not None and self._last.features == values:
                belief = prior.tell(self._last.belief, label)
            else:
                belief = prior.tell(prior.enter(belief, inputs)[1], label)
        except (IndexError, ShapeError) as error:
            outputs = prior.predict(belief, inputs[:, None]).shape[-1]
            if len(classes) <= outputs:
                raise
            known = ", ".join(map(repr, self.classes_))
            raise DataError(
                f"y: expected one of {known}, as many labels as the prior has outputs; got {y!r}"
            ) from error
        self.belief, self.waiting_ = belief, waiting
        self.features_, self.classes_ = names, classes

    def _early(self, prior: Prior) -> bool:
        return prior.early if self.early is None else self.early

    def _probabilities(self, logits: Tensor) -> dict[Any, float]:
        if not self.classes_:
            return {}
        known = logits[: len(self.classes_)].double().softmax(-1).tolist()
        # A label for which the prior has no output yet has no probability.
        return dict(zip(self.classes_, [*known, *[0.0] * (len(self.classes_) - len(known))], strict=True))

    def _values(self, x: dict[Any, Any]) -> tuple[list[Any], tuple[float, ...]]:
        """Return the names of all features, and the values of an example."""
        names = self.features_ or list(x)
        if not names:
            raise DataError("x: expected at least one feature, got none")
        return names, tuple(_number(name, x.get(name)) for name in names)

    def _inputs(self, names: list[Any], values: tuple[float, ...]) -> tuple[Any, Tensor]:
        """Return the prior, and its input `(1, *x)`."""
        prior, shape = self._load(len(names))
        like = next((leaf for leaf in (*prior.parameters(), *prior.buffers())), torch.empty(0))
        return prior, torch.tensor(values, dtype=like.dtype, device=like.device).view(1, *shape)

    def _load(self, features: int) -> tuple[Any, tuple[int, ...]]:
        if self._loaded is None:
            prior, card = resolve(self.prior)
            if "classification" not in prior.kinds:
                raise MetapriorError(
                    f"prior: expected one for classification; {type(prior).__name__} is for regression"
                )
            shape = tuple(card.get("spec", {}).get("x_shape") or input_shape(prior) or (features,))
            if math.prod(shape) != features:
                raise DataError(
                    f"x: expected {math.prod(shape)} features, which the prior takes as inputs of shape {shape}; "
                    f"got {features}: name them by features=[...]"
                )
            self._loaded = prior, shape
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the prior's copy: it is made again from `prior`, which may be a name or a path."""
        return vars(self) | {"_loaded": None}


def _number(name: Any, value: Any) -> float:
    if value is None:
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.inf
    if math.isinf(number):
        raise DataError(f"x: expected a finite number for '{name}', got {value!r}")
    return 0.0 if math.isnan(number) else number
