"""Tasks so small that a whole conformance suite over them takes seconds.

Axis letters: T tasks, N support, Q query, G classes in all, C classes of a task, D target features, H and W places.
"""

import math

import torch
from torch import Tensor

from metaprior.tasks.episode import Episode, Examples, Kind, TaskSpec
from metaprior.tasks.source import Split, TaskSource

__all__ = ["ToyTasks"]

_SEEDS = {"train": 0, "valid": 1, "test": 2}


class ToyTasks(TaskSource):
    """Classes are noisy points around random centres; regression targets, and scores of pixels, are linear functions.

    Args:
        kind: of the tasks.
        x_shape: of an input: `(features,)` or `(channels, height, width)`.
        outputs: C, the classes of a task, or D, the target features.
        shots: support examples, of each class in classification.
        queries: query examples, of each class in classification.
        pool: G, the classes that the tasks of a split draw from.

    Example:
        >>> episode = ToyTasks(outputs=3, shots=2).sample(4, torch.Generator().manual_seed(0))
        >>> episode.support.x.shape, episode.support.y[0]
        (torch.Size([4, 6, 4]), tensor([0, 1, 2, 0, 1, 2]))
    """

    def __init__(
        self,
        kind: Kind = "classification",
        x_shape: tuple[int, ...] = (4,),
        outputs: int = 3,
        shots: int = 2,
        queries: int = 2,
        pool: int = 6,
    ):
        self.kind: Kind = kind
        self.x_shape = x_shape
        self.outputs = outputs
        self.shots = shots
        self.queries = queries
        self.pool = pool

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """The shapes above; only classes are shared by tasks."""
        return TaskSpec(self.kind, self.x_shape, self.outputs, self.pool if self.kind == "classification" else None)

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T tasks; each split has centres of its own."""
        draw = {"classification": self._classes, "regression": self._functions, "segmentation": self._masks}[self.kind]
        return draw(tasks, generator, split)

    def _classes(self, tasks: int, generator: torch.Generator, split: Split) -> Episode:
        centres = torch.randn(self.pool, *self.x_shape, generator=torch.Generator().manual_seed(_SEEDS[split]))
        labels = torch.rand(tasks, self.pool, generator=generator).argsort(-1)[:, : self.outputs]
        each = self.shots + self.queries
        y = torch.arange(self.outputs).repeat(tasks, each)
        noise = torch.randn(*y.shape, *self.x_shape, generator=generator)
        x = centres[labels.gather(1, y)] + 0.5 * noise
        ways = torch.full((tasks,), self.outputs)
        return _split(x, y, self.shots * self.outputs, ways, labels)

    def _functions(self, tasks: int, generator: torch.Generator, split: Split) -> Episode:
        features = math.prod(self.x_shape)
        slopes = torch.randn(tasks, features, self.outputs, generator=generator) / features**0.5
        x = torch.randn(tasks, self.shots + self.queries, *self.x_shape, generator=generator)
        return _split(x, x.flatten(2) @ slopes, self.shots)

    def _masks(self, tasks: int, generator: torch.Generator, split: Split) -> Episode:
        weights = torch.randn(tasks, self.outputs, self.x_shape[0], generator=generator)
        biases = 0.3 * torch.randn(tasks, 1, self.outputs, 1, 1, generator=generator)
        x = torch.randn(tasks, self.shots + self.queries, *self.x_shape, generator=generator)
        scores = torch.einsum("tdc,tnchw->tndhw", weights, x) + biases
        return _split(x, scores.argmax(2), self.shots)


def _split(x: Tensor, y: Tensor, size: int, ways: Tensor | None = None, labels: Tensor | None = None) -> Episode:
    return Episode(Examples(x[:, :size], y[:, :size]), Examples(x[:, size:], y[:, size:]), ways, labels)
