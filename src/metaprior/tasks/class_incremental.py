"""Classes learned one after another, in a single pass: continual Omniglot, and the same with other characters.

Axis letters: T sequences, C classes, G characters of the training split.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch

from metaprior.errors import DataError, check_positive
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.glyphs import Glyphs
from metaprior.tasks.omniglot import Omniglot
from metaprior.tasks.source import ClassSource, Split, TaskSource
from metaprior.tasks.strokes import Strokes

__all__ = ["ClassIncremental"]

_CHARACTERS: dict[str, Callable[..., ClassSource]] = {
    "omniglot": partial(Omniglot, split="halves", rotations=False),
    "glyphs": Glyphs,
    "strokes": partial(Strokes, train_classes=200),
}


@sources.register("class_incremental")
class ClassIncremental(TaskSource):
    """Learn many classes one after another, each image once, and forget none of them.

    The support set is a trajectory: all images of one class, then all of the next. A method to which order matters
    takes them as they come; one to which it does not may take them at once. The queries are held-out images of the
    same classes. A test sequence has class ids in the order of appearance. A training trajectory is short, and has ids
    drawn from those of a test sequence, so that a network learns to have all of its outputs; and it comes with images
    of any training characters, to remember (see `Episode`). `metaprior.retention` scores what is kept of a test
    sequence as it grows. `Streams` of these tasks keep their order.

    Args:
        characters: "omniglot" (963 characters to train on, 600 others for the test), "glyphs" or "strokes".
        ways: C, the classes of a test sequence.
        shots: images of a class to learn from.
        queries: held-out images of a class.
        train_ways: classes of a training or validation trajectory.
        train_shots: images of a class in it; None for `shots`.
        remember: images of training characters to remember; 0 for none.

    Source: Javed and White 2019 (arXiv 1905.12588), section 4.2, and the paper's code: 15 images of each class to learn
    from, 5 held out, up to 600 classes. Differs: which 600 characters, and which for validation, is ours; a training
    trajectory may have several classes, since most methods learn nothing from one.

    Example:
        >>> source = ClassIncremental("strokes", ways=20, train_ways=3)
        >>> episode = source.sample(2, torch.Generator().manual_seed(0), "test")
        >>> episode.support.x.shape, episode.support.y[0, 10:20]
        (torch.Size([2, 300, 1, 10, 10]), tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]))
    """

    ordered: ClassVar[bool] = True

    def __init__(
        self,
        characters: Literal["omniglot", "glyphs", "strokes"] = "omniglot",
        ways: int = 600,
        shots: int = 15,
        queries: int = 5,
        train_ways: int = 5,
        train_shots: int | None = None,
        remember: int = 64,
    ):
        check_positive(DataError, ways=ways, shots=shots, train_ways=train_ways, train_shots=train_shots)
        if characters not in _CHARACTERS:
            raise DataError(f"characters: expected one of {', '.join(_CHARACTERS)}; got '{characters}'")
        if train_ways > ways:
            raise DataError(f"train_ways: expected at most the {ways} ways of a test sequence, got {train_ways}")
        if remember < 0:
            raise DataError(f"remember: expected 0 or more, got {remember}")
        self.characters = characters
        self.ways = ways
        self.shots = shots
        self.queries = queries
        self.train_ways = train_ways
        self.train_shots = train_shots
        self.remember = remember
        build = _CHARACTERS[characters]
        self._short = build(ways=train_ways, shots=train_shots or shots, queries=queries)
        self._long = build(ways=ways, shots=shots, queries=queries)

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Images of characters; as many classes as a test sequence has."""
        return replace(self._short.spec, outputs=self.ways)

    @property
    def inputs(self) -> dict[str, Any] | None:
        """Those of the characters."""
        return self._short.inputs

    @property
    def data_hash(self) -> str:
        """That of the characters."""
        return self._short.data_hash

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T sequences: their classes, the images of each, and, for training, ids and what to remember."""
        if split == "test":
            return self._long.sample(tasks, generator, split)
        episode = self._short.sample(tasks, generator, split)
        assert episode.labels is not None
        ids = torch.rand(tasks, self.ways, generator=generator).argsort(1)[:, : self.train_ways]
        labels = torch.full((tasks, self.ways), -1).scatter(1, ids, episode.labels)
        support, query = (replace(part, y=ids.gather(1, part.y)) for part in (episode.support, episode.query))  # type: ignore[arg-type]
        remember = self._remembered(tasks, generator) if split == "train" and self.remember else None
        return Episode(support, query, torch.full((tasks,), self.ways), labels, remember=remember)

    def _remembered(self, tasks: int, generator: torch.Generator) -> Examples:
        pool = self._short.resident("train")
        classes = torch.randint(len(pool.images), (tasks, self.remember), generator=generator)
        which = (torch.rand(classes.shape, generator=generator) * pool.counts[classes]).long()
        return Examples(pool.images[classes, which].to(torch.float32).div_(255), classes)
