"""Where tasks come from.

Axis letters: T tasks, N support, Q query, G classes of the data set, M images of a class, C classes of a task.
"""

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor

from metaprior.errors import DataError, MetapriorError, check_positive
from metaprior.registry import arguments
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tree import fingerprint

__all__ = ["ClassPool", "ClassSource", "Split", "TaskSource", "TestSet", "seeded"]

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class TestSet:
    """Episodes drawn once, the same for every prior.

    Args:
        episodes: in the order of drawing; together they hold the tasks.
        hash: 16 hexadecimal digits that stand for their content.
    """

    __test__ = False  # not a test class, whatever its name begins with

    episodes: tuple[Episode, ...]
    hash: str

    @property
    def tasks(self) -> int:
        """How many tasks there are in all."""
        return sum(episode.tasks for episode in self.episodes)


class TaskSource(ABC):
    """A distribution of tasks in three splits; no two of them share a class, where there are classes.

    Attributes:
        spec: what the tasks have in common.
        ordered: whether the order of a support set means something, so that streams keep it.
    """

    spec: TaskSpec
    ordered: ClassVar[bool] = False

    @abstractmethod
    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T tasks, with replacement.

        Args:
            tasks: T.
            generator: the only source of randomness, on the CPU.
            split: which tasks to draw from.
        """

    def test_set(self, tasks: int, seed: int = 0, split: Split = "test", batch: int = 50) -> TestSet:
        """Draw a fixed set of tasks from a seed.

        Args:
            tasks: how many in all.
            seed: equal seeds give equal sets.
            split: which tasks to draw from.
            batch: how many tasks an episode holds at most.

        Example:
            >>> from metaprior.tasks import Sinusoid
            >>> Sinusoid().test_set(10, seed=3).hash == Sinusoid().test_set(10, seed=3).hash
            True
        """
        check_positive(DataError, tasks=tasks)
        generator = seeded(seed, split)
        sizes = [min(batch, tasks - start) for start in range(0, tasks, batch)]
        episodes = tuple(self.sample(size, generator, split) for size in sizes)
        return TestSet(episodes, fingerprint(episodes))

    def with_shots(self, shots: int) -> Self:
        """Return the same source with another number of support examples; for the curve of score against shots."""
        return type(self)(**(arguments(self) | {"shots": shots}))

    @property
    def inputs(self) -> dict[str, Any] | None:
        """How a user's own files become inputs of these tasks, ready for JSON; None where they cannot."""
        return None

    def mismatch(self, inputs: Mapping[str, Any]) -> str | None:
        """Return how inputs are made otherwise than where a prior was acquired, in a sentence; None if they are not.

        Args:
            inputs: what the checkpoint of the prior has under `inputs`.
        """
        return None

    def as_acquired(self, inputs: Mapping[str, Any]) -> Self:
        """Return the same tasks with inputs made as where a prior was acquired.

        Args:
            inputs: what the checkpoint of the prior has under `inputs`.
        """
        return self

    @property
    def divided(self) -> dict[str, Any] | None:
        """What of a user's data is in which split, ready for JSON, to be kept with a run; None where they have none."""
        return None

    @property
    def data_hash(self) -> str:
        """16 hexadecimal digits that change when the data behind the training tasks do."""
        return self.test_set(16, seed=0, split="train").hash


@dataclass(frozen=True, eq=False)
class ClassPool:
    """The examples of the classes of one split, resident in memory.

    Args:
        images: `(G, M, channels, height, width)`, uint8; a class with fewer than M images is padded.
        counts: `(G,)`, how many images each class has.
        groups: `(G,)`, the family of each class (an alphabet, say); None where there are none.
        names: of the classes, G of them; empty where they have none.
    """

    images: Tensor
    counts: Tensor
    groups: Tensor | None = None
    names: tuple[str, ...] = ()

    @staticmethod
    def full(images: Tensor, groups: Tensor | None = None, names: tuple[str, ...] = ()) -> "ClassPool":
        """Return a pool whose classes have M images each."""
        return ClassPool(images, torch.full((images.shape[0],), images.shape[1]), groups, names)


class ClassSource(TaskSource):
    """Classification tasks made by choosing classes, and images of each, from one resident tensor.

    A subclass stores the arguments below and writes `pool`.

    Args:
        ways: classes of a task, or the least and most of them.
        shots: support images of a class, or the least and most of them.
        queries: query images of a class; a class with too few images has fewer.
        within: choose the classes of a task from one group of the pool.
    """

    ways: int | tuple[int, int]
    shots: int | tuple[int, int]
    queries: int
    within: bool = False

    @property
    def inputs(self) -> dict[str, Any] | None:
        """Images are resized to the pool's shape."""
        channels, height, width = self.spec.x_shape
        return {"kind": "images", "channels": channels, "height": height, "width": width, "dark_on_light": False}

    @abstractmethod
    def pool(self, split: Split) -> ClassPool:
        """Return the classes of a split; called once for each."""

    def with_shots(self, shots: int) -> Self:
        """Return the same source with another number of support images, over the same resident images."""
        source = copy.copy(self)
        source.shots = shots
        vars(source).pop("_checked", None)
        return source

    @property
    def data_hash(self) -> str:
        """16 hexadecimal digits that change when the training images do."""
        return fingerprint(self.resident("train").images)

    @cached_property
    def _pools(self) -> dict[str, ClassPool]:
        return {}

    @cached_property
    def _checked(self) -> set[str]:
        return set()

    def resident(self, split: Split) -> ClassPool:
        """Return the classes of a split, the same resident tensors each time.

        Raises:
            DataError: if a class has too few images for the tasks, or there are too few classes.
        """
        if split not in get_args(Split):
            raise DataError(f"split: expected one of {', '.join(get_args(Split))}; got '{split}'")
        if split not in self._pools:
            self._pools[split] = self.pool(split)
        if split not in self._checked:
            check_positive(DataError, queries=self.queries)
            ways, shots = _bounds("ways", self.ways)[1], _bounds("shots", self.shots)[1]
            _check_sizes(self._pools[split], split, ways, shots, self.within)
            self._checked.add(split)
        return self._pools[split]

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Images of the pool's shape, as many classes as the widest task has."""
        pool = self.resident("train")
        return TaskSpec("classification", tuple(pool.images.shape[2:]), _bounds("ways", self.ways)[1], len(pool.images))

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T tasks: their classes, then the images of each class, all without replacement within a task."""
        pool = self.resident(split)
        least_ways, ways = _bounds("ways", self.ways)
        least_shots, shots = _bounds("shots", self.shots)
        drawn = min(shots + self.queries, pool.images.shape[1])
        classes = _choose_classes(pool, tasks, ways, self.within, generator)
        order = torch.rand(tasks, ways, pool.images.shape[1], generator=generator)
        missing = torch.arange(pool.images.shape[1]) >= pool.counts[classes][..., None]
        chosen = order.masked_fill_(missing, 2.0).argsort(-1)[..., :drawn]
        task_ways = torch.randint(least_ways, ways + 1, (tasks,), generator=generator)
        task_shots = torch.randint(least_shots, shots + 1, (tasks,), generator=generator)

        images = pool.images[classes[..., None], chosen]
        real = (torch.arange(ways) < task_ways[:, None])[..., None] & ~missing[..., :drawn]
        in_support = torch.arange(shots) < task_shots[:, None, None]
        support = _examples(images[:, :, :shots], real[..., :shots] & in_support)
        query = _examples(images[:, :, shots:], real[..., shots:])
        labels = classes.masked_fill(torch.arange(ways) >= task_ways[:, None], -1)
        return Episode(support, query, task_ways, labels)


def seeded(seed: int, split: Split) -> torch.Generator:
    """Return a generator for drawing from a split; the splits have different ones, whatever the seed.

    A source of unlimited tasks draws all splits from one distribution: with one generator for all of them, training
    would begin with the test tasks.

    Raises:
        MetapriorError: if the seed is no number from 0 to 2**63 - 1.

    Example:
        >>> torch.rand((), generator=seeded(0, "train")) == torch.rand((), generator=seeded(0, "test"))
        tensor(False)
    """
    if not 0 <= seed < 2**63:
        raise MetapriorError(f"seed: expected a number from 0 to {2**63 - 1}, got {seed}")
    if split == "test":
        return torch.Generator().manual_seed(seed)
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(f"{split}:{seed}".encode()).digest()[:4]))


def _bounds(name: str, number: int | tuple[int, int]) -> tuple[int, int]:
    bounds = tuple(number) if isinstance(number, (tuple, list)) else (number, number)
    if len(bounds) != 2 or not 1 <= bounds[0] <= bounds[1]:
        raise DataError(f"{name}: expected a positive number, or the least and most of it; got {number}")
    return int(bounds[0]), int(bounds[1])


def _check_sizes(pool: ClassPool, split: str, ways: int, shots: int, within: bool) -> None:
    if ways > len(pool.images):
        raise DataError(f"ways: the {split} split has {len(pool.images)} classes, too few for tasks of {ways}")
    if within and (pool.groups is None or int(pool.groups.bincount().max()) < ways):
        largest = 0 if pool.groups is None else int(pool.groups.bincount().max())
        raise DataError(f"ways: the largest group of the {split} split has {largest} classes, too few for {ways}")
    smallest = int(pool.counts.argmin())
    if pool.counts[smallest] <= shots:
        name = pool.names[smallest] if pool.names else str(smallest)
        raise DataError(
            f"shots: class '{name}' of the {split} split has {int(pool.counts[smallest])} images; "
            f"{shots} shots and at least one query need {shots + 1}"
        )


def _choose_classes(pool: ClassPool, tasks: int, ways: int, within: bool, generator: torch.Generator) -> Tensor:
    scores = torch.rand(tasks, len(pool.images), generator=generator)
    if within:
        assert pool.groups is not None
        sizes = pool.groups.bincount()
        weights = sizes.where(sizes >= ways, 0).to(scores.dtype)
        group = torch.multinomial(weights, tasks, replacement=True, generator=generator)
        scores = scores.where(pool.groups == group[:, None], -1.0)
    return scores.topk(ways).indices


def _examples(images: Tensor, real: Tensor) -> Examples:
    """Flatten `(T, C, K, ...)` images of classes to examples `(T, C * K, ...)` in [0, 1], labelled by position."""
    tasks, ways, each = real.shape
    labels = torch.arange(ways)[None, :, None].expand(tasks, ways, each)
    mask = None if bool(real.all()) else real.flatten(1)
    return Examples(images.flatten(1, 2).to(torch.float32).div_(255), labels.flatten(1), mask)
