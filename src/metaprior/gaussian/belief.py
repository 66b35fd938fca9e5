"""What priors share that see a Gaussian process, or a Gaussian on weights, behind the labels of a task.

Axis letters: T tasks, N support, Q query, C classes, D target features, F features, K classes or target features.
"""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metaprior.errors import check_positive
from metaprior.metric.features import FeaturePrior
from metaprior.metric.labels import Labelled
from metaprior.nets.apply import padding
from metaprior.tasks.episode import Episode
from metaprior.tasks.scores import task_losses, task_means
from metaprior.tree import Tree

__all__ = ["LEAST_NOISE", "ProcessPrior", "gaussian_losses", "signed"]

LEAST_NOISE = 1e-4
"""What the variance of noise is not below, so that float32 can factorise any covariance."""


class ProcessPrior(FeaturePrior):
    """A prior that says how labels will be measured at a query: mean and variance of a Gaussian.

    Classes are values of 1 for an example's own and -1 for the others, with noise. The probability of a class is in
    proportion to the density that its values have at the query, by Bayes' rule; how sharp these probabilities are is
    acquired too where the outer objective has a part in it.

    A subclass writes `for_tasks`, `start`, `remember`, `loss`, and the two methods below.
    """

    incremental: ClassVar[bool] = True
    net: nn.Module

    def __init__(self, net: nn.Module, outputs: int, noise: float):
        super().__init__()
        check_positive(outputs=outputs, noise=noise)
        self.net = net
        self.outputs = outputs
        self.noise = noise
        self.log_sharpness = nn.Parameter(torch.zeros(()))

    @abstractmethod
    def seen(self, state: Any) -> Labelled:
        """Return the examples of a state."""

    @abstractmethod
    def measured(self, state: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean `(T, Q, K)` and variance `(T, Q, 1)` of what will be measured, noise included."""

    def recall(self, state: Any, features: Tensor) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)`."""
        mean, variance = self.measured(state, features)
        logits = mean / variance * self.log_sharpness.exp()
        # The two values of two classes are one number and its negative, which should not count twice.
        logits = logits if mean.shape[-1] == 2 else 2 * logits
        return logits.where(self.seen(state).classes[:, None, None], mean)

    def deviation(self, state: Any, x: Tree) -> Tensor | None:
        """Return the standard deviation `(T, Q, D)` of what will be measured, for regression."""
        if bool(self.seen(state).classes.any()):
            return None
        mean, variance = self.measured(state, self.encode(x))
        return variance.sqrt().expand_as(mean)

    def predictive_loss(self, episode: Episode) -> Tensor:
        """Return minus the logarithm of the probability or density of each query given the support, a mean."""
        state = self.observe(self.start(episode.tasks, episode.about), episode.support)
        with padding(episode.query.x, episode.query.mask):
            features = self.encode(episode.query.x)
        if bool(self.seen(state).classes.any()):
            return task_losses(self.recall(state, features), episode.query, episode.ways).mean()
        mean, variance = self.measured(state, features)
        assert episode.query.y is not None
        return task_means(gaussian_losses(mean, variance, episode.query.y), episode.query).mean()


def signed(seen: Labelled) -> Tensor:
    """Return targets `(T, N, K)` as a Gaussian has them: 1 and -1 for classes; zero for padding.

    Example:
        >>> seen = Labelled(torch.ones(1, 1, 1), torch.tensor([[[0.0, 1.0]]]), torch.ones(1, 1), torch.tensor([True]))
        >>> signed(seen)
        tensor([[[-1.,  1.]]])
    """
    ends = (2 * seen.targets - 1) * seen.real[..., None]
    return ends.where(seen.classes[:, None, None], seen.targets)


def gaussian_losses(mean: Tensor, variance: Tensor, target: Tensor) -> Tensor:
    """Return minus the logarithm of the density of targets `(T, Q, D)`, a mean over D: `(T, Q)`.

    Example:
        >>> gaussian_losses(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.zeros(1, 1, 1))
        tensor([[0.9189]])
    """
    return 0.5 * ((target - mean).square() / variance + variance.log() + math.log(2 * math.pi)).mean(-1)
