"""Bayesian linear regression: tasks whose best possible prediction is known in closed form.

Axis letters: T tasks, N support, Q query, D features.
"""

import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.source import Split, TaskSource

__all__ = ["Linear"]


@sources.register("linear")
class Linear(TaskSource):
    """Tasks of regressing y = x·w + e, with w ~ N(0, prior_var I) of the task, x ~ N(0, I) and e ~ N(0, noise_var).

    `posterior` and `predict` are what a perfect prior believes; no other prediction from the same examples has a
    smaller expected squared error. Ridge regression without an intercept gives the same prediction if its penalty is
    `penalty`.

    Args:
        features: D, the length of x.
        shots: support points.
        queries: query points.
        prior_var: the variance of each weight over tasks.
        noise_var: the variance of the noise, in the query targets too.

    Source: Bishop 2006, Pattern Recognition and Machine Learning, equations 3.53, 3.54, 3.58 and 3.59.

    Example:
        >>> source = Linear(features=3, shots=10)
        >>> episode = source.sample(4, torch.Generator().manual_seed(0))
        >>> mean, variance = source.predict(episode.support, episode.query.x)
        >>> mean.shape, bool((variance > source.noise_var).all())
        (torch.Size([4, 100, 1]), True)
    """

    def __init__(
        self,
        features: int = 5,
        shots: int = 10,
        queries: int = 100,
        prior_var: float = 1.0,
        noise_var: float = 0.1,
    ):
        self.features = features
        self.shots = shots
        self.queries = queries
        self.prior_var = prior_var
        self.noise_var = noise_var

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Regression of one target from D features."""
        self._check()
        return TaskSpec("regression", (self.features,), 1)

    @property
    def penalty(self) -> float:
        """The ridge penalty on |w|², beside the sum of squared errors, whose minimum is the posterior mean."""
        return self.noise_var / self.prior_var

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T weight vectors and points of each; the splits draw from one distribution."""
        self._check()
        weights = torch.randn(tasks, self.features, 1, generator=generator) * self.prior_var**0.5
        x = torch.randn(tasks, self.shots + self.queries, self.features, generator=generator)
        noise = torch.randn(tasks, self.shots + self.queries, 1, generator=generator) * self.noise_var**0.5
        examples = Examples(x, x @ weights + noise)
        return Episode(examples.take(slice(0, self.shots)), examples.take(slice(self.shots, None)))

    def posterior(self, support: Examples) -> tuple[Tensor, Tensor]:
        """Return the exact posterior N(mean, covariance) over the weights of each task.

        Args:
            support: `x` is `(T, N, D)`, `y` is `(T, N, 1)`, `mask` is `(T, N)`.

        Returns:
            The mean `(T, D)` and the covariance `(T, D, D)`.
        """
        self._check()
        assert support.y is not None
        real = support.real[..., None]
        # Overwritten rather than multiplied by zero: padding may hold anything, NaN too.
        x, y = support.x.masked_fill(~real, 0), support.y.masked_fill(~real, 0)
        precision = x.mT @ x / self.noise_var + torch.eye(x.shape[-1], dtype=x.dtype, device=x.device) / self.prior_var
        factor = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve(x.mT @ y / self.noise_var, factor)
        return mean[..., 0], torch.cholesky_inverse(factor)

    def predict(self, support: Examples, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and variance of the targets of some inputs, given the support set.

        The variance is also the expected squared error of the mean: no predictor has less.

        Args:
            support: as for `posterior`.
            x: `(T, Q, D)`.

        Returns:
            Two tensors `(T, Q, 1)`.
        """
        mean, covariance = self.posterior(support)
        spread = (x @ covariance * x).sum(-1, keepdim=True)
        return x @ mean[..., None], spread + self.noise_var

    def _check(self) -> None:
        names = ("features", "shots", "queries", "prior_var", "noise_var")
        check_positive(DataError, **{name: getattr(self, name) for name in names})
