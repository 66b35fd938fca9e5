"""A hierarchical Bayesian model of few-shot tasks: weights of a task about a mean, mean and covariance in doubt too.

Axis letters: T tasks, N support, Q query, C classes, D target features, F features, K classes or target features.
"""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.gaussian.belief import LEAST_NOISE, ProcessPrior, signed
from metaprior.gaussian.process import condition, evidence
from metaprior.metric.labels import Labelled, added, nothing
from metaprior.nets import apply, default_net, width_of
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tree import Tree

__all__ = ["NIWMeta", "divergence", "slack"]

_MEANS, _VARIANCES = 1.0, 2.0
"""How many tasks' worth of belief is held before any: that weights are about 0, and that features count alike."""


@priors.register("niw_meta")
class NIWMeta(ProcessPrior):
    """Adapt a Bayesian linear model on features; what its weights are before any example is acquired, as a posterior.

    The weights of a task are normal about a mean, with a diagonal covariance. Both are unknown, with a
    normal-inverse-Wishart prior, and what all training tasks say of them is a distribution of the same form, whose
    parameters are acquired by maximising the evidence lower bound. The network is acquired with them, by its best
    value alone. A label is its weights' linear function of features and a constant, with noise.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`.
        outputs: how many classes to expect, or D; the weights of further classes are about 0.
        noise: the variance of noise, at the beginning.
        tasks: how many training tasks there are, which says how sure of the mean and the covariance one can be.

    Source: Kim & Hospedales 2024, "A hierarchical Bayesian model for few-shot meta learning" (arXiv 2306.09702), eq. 7
    to 15, with V0 diagonal as theirs. Differs: the weights in doubt are those of the head, whose likelihood is normal,
    so that the quadratic approximation of a task's loss is exact, its posterior is in closed form, and a bound on
    a task's evidence is the evidence itself less a constant; l0 and n0 are those that so many tasks imply; classes are
    values of 1 and -1.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior, x = NIWMeta(MLP(1, hidden=(8,)), outputs=1), torch.tensor([[[0.0], [1.0]]])
        >>> before, after = prior.start(1), prior.observe(prior.start(1), Examples(x, x))
        >>> bool((prior.deviation(after, x) < prior.deviation(before, x)).all())
        True
    """

    def __init__(self, net: nn.Module, outputs: int = 2, noise: float = 0.1, tasks: int = 1000):
        super().__init__(net, outputs, noise)
        check_positive(tasks=tasks)
        self.tasks = tasks
        width = width_of(net) + 1
        self.mean = nn.Parameter(torch.zeros(width, outputs))
        # At first all features together have a variance of 1.
        self.log_variance = nn.Parameter(torch.full((width,), -math.log(width)))
        self.log_noise = nn.Parameter(torch.tensor(math.log(noise)))

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features, and as many outputs as the tasks have."""
        return cls(default_net(spec, None, seed) if net is None else net, **({"outputs": spec.outputs} | arguments))

    def encode(self, x: Tree, mask: Tensor | None = None) -> Tensor:
        """Return features with a constant, `(T, N, F + 1)`."""
        return functional.pad(apply(self.net, x, mask), (0, 1), value=1.0)

    def start(self, tasks: int, about: Tree = None) -> Labelled:
        """Return the belief that nothing has been seen."""
        return nothing(tasks, self.outputs, self.mean)

    def remember(self, state: Labelled, examples: Examples) -> Labelled:
        """Add labelled examples to what was seen."""
        return added(state, examples)

    def seen(self, state: Labelled) -> Labelled:
        """Return the state, which is nothing else."""
        return state

    def measured(self, state: Labelled, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean `(T, Q, K)` and variance `(T, Q, 1)` of what will be measured, noise included."""
        expected = features @ self._mean_for(state)
        scaled = self._scaled(features)
        noise = self._noise
        if state.features.shape[1] == 0:
            return expected, scaled.square().sum(-1, keepdim=True) + noise
        seen = self._scaled(state.features)
        away = (signed(state) - state.features @ self._mean_for(state)) * state.real[..., None]
        own = scaled.square().sum(-1)
        mean, variance = condition(seen @ seen.mT, noise, away, state.real, seen @ scaled.mT, own)
        return expected + mean, variance + noise

    def loss(self, episode: Episode) -> Tensor:
        """Return minus the evidence lower bound of a task, for each of its labels, a mean over tasks."""
        start = self.start(episode.tasks, episode.about)
        state = self.observe(start, episode.support.joined(episode.query))
        doubt = divergence(self.mean, self.log_variance.exp(), self.tasks) / self.tasks
        doubt = doubt + slack(len(self.mean), self.outputs, self.tasks)
        bound = self.outputs * self.evidence(state) - doubt
        return -(bound / (self.outputs * state.real.sum(1).clamp(min=1))).mean()

    def evidence(self, state: Labelled) -> Tensor:
        """Return the logarithm of the density of what was seen, at the mean weights and variances, over K: `(T,)`."""
        away = (signed(state) - state.features @ self._mean_for(state)) * state.real[..., None]
        seen = self._scaled(state.features)
        return evidence(seen @ seen.mT, self._noise, away, state.real)

    @property
    def _noise(self) -> Tensor:
        return self.log_noise.exp()[None] + LEAST_NOISE

    def _scaled(self, features: Tensor) -> Tensor:
        return features * (0.5 * self.log_variance).exp()

    def _mean_for(self, state: Labelled) -> Tensor:
        return functional.pad(self.mean, (0, state.targets.shape[-1] - self.outputs))


def divergence(mean: Tensor, variance: Tensor, tasks: int) -> Tensor:
    """Return how far what tasks say of mean and covariance of weights is from what is held before any, in nats.

    Args:
        mean: `(F, K)`, m0.
        variance: `(F,)`, the diagonal of V0 / n0.
        tasks: how many training tasks there are.

    Source: Kim & Hospedales 2024, the last term of eq. 9: the divergence of two normal-inverse-Wishart distributions,
    here of a diagonal covariance, so that each feature has an inverse gamma of its own.

    Example:
        >>> divergence(torch.zeros(1, 1), torch.ones(1), 10) > 0
        tensor(True)
    """
    features, outputs = mean.shape
    certainty, degrees = confidence(outputs, tasks)
    spread = 0.5 * features * outputs * (_MEANS / certainty - 1 + math.log(certainty / _MEANS))
    means = spread + 0.5 * _MEANS * (mean.square().sum(1) / variance).sum()
    a, a_before = degrees / 2, _VARIANCES / 2
    b, b_before = variance * a, a_before / features
    constant = (a - a_before) * _digamma(a) - math.lgamma(a) + math.lgamma(a_before)
    return means + (constant + a_before * (b / b_before).log() + a * (b_before / b - 1)).sum()


def slack(features: int, outputs: int, tasks: int) -> float:
    """Return by how much doubt about mean and covariance alone lowers the bound on the evidence of a task.

    Example:
        >>> slack(3, 2, 10) > slack(3, 2, 1000) > 0
        True
    """
    certainty, degrees = confidence(outputs, tasks)
    return 0.5 * features * outputs * (math.log(degrees / 2) - _digamma(degrees / 2) + 1 / certainty)


def confidence(outputs: int, tasks: int) -> tuple[float, float]:
    """Return l0 and n0, how sure of the mean and of the covariance so many tasks make, each with K weights a feature.

    Example:
        >>> confidence(outputs=2, tasks=10)
        (11.0, 22.0)
    """
    return _MEANS + tasks, _VARIANCES + tasks * outputs


def _digamma(value: float) -> float:
    return float(torch.digamma(torch.tensor(value, dtype=torch.float64)))
