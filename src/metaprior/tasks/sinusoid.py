"""Sinusoid regression, the smallest family of tasks on which a prior shows.

Axis letters: T tasks, N support, Q query.
"""

import math

import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.source import Split, TaskSource

__all__ = ["Sinusoid"]


@sources.register("sinusoid")
class Sinusoid(TaskSource):
    """Tasks of regressing y = a sin(x - p) from a few points, a the amplitude and p the phase of the task.

    Args:
        shots: support points.
        queries: query points.
        amplitude: the least and most a; the out-of-distribution range of the pilot is (5, 8).
        phase: the least and most p.
        domain: the least and most x.
        train_tasks: how many training tasks there are; None for an unlimited number.

    Source: Finn et al. 2017 (arXiv 1703.03400), section 5.1.

    Example:
        >>> episode = Sinusoid(shots=10).sample(4, torch.Generator().manual_seed(0))
        >>> episode.support.x.shape, episode.query.y.shape
        (torch.Size([4, 10, 1]), torch.Size([4, 100, 1]))
    """

    spec = TaskSpec("regression", (1,), 1)

    def __init__(
        self,
        shots: int = 10,
        queries: int = 100,
        amplitude: tuple[float, float] = (0.1, 5.0),
        phase: tuple[float, float] = (0.0, math.pi),
        domain: tuple[float, float] = (-5.0, 5.0),
        train_tasks: int | None = None,
    ):
        self.shots = shots
        self.queries = queries
        self.amplitude = amplitude
        self.phase = phase
        self.domain = domain
        self.train_tasks = train_tasks

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T sinusoids and points on each; the splits differ only where `train_tasks` limits the training."""
        check_positive(DataError, shots=self.shots, queries=self.queries, train_tasks=self.train_tasks)
        if split == "train" and self.train_tasks is not None:
            fixed = torch.Generator().manual_seed(self.train_tasks)
            amplitudes, phases = self._draw(self.train_tasks, fixed)
            chosen = torch.randint(self.train_tasks, (tasks,), generator=generator)
            amplitude, phase = amplitudes[chosen], phases[chosen]
        else:
            amplitude, phase = self._draw(tasks, generator)
        x = _uniform(self.domain, (tasks, self.shots + self.queries, 1), generator)
        y = amplitude * torch.sin(x - phase)
        return Episode(
            Examples(x[:, : self.shots], y[:, : self.shots]), Examples(x[:, self.shots :], y[:, self.shots :])
        )

    def _draw(self, tasks: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return _uniform(self.amplitude, (tasks, 1, 1), generator), _uniform(self.phase, (tasks, 1, 1), generator)


def _uniform(bounds: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return torch.rand(shape, generator=generator) * (high - low) + low
