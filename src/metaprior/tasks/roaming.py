"""Roaming: streams that wander between contexts, in which old classes come back and new ones turn up.

Axis letters: T streams, S steps, K contexts.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.registry import sources
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tasks.glyphs import Glyphs
from metaprior.tasks.omniglot import Omniglot
from metaprior.tasks.source import ClassPool, ClassSource, Split
from metaprior.tasks.stream import Stream
from metaprior.tasks.streams import StreamSource
from metaprior.tasks.strokes import Strokes

__all__ = ["Roaming"]

_CHARACTERS: dict[str, Callable[..., ClassSource]] = {
    "omniglot": Omniglot,
    "glyphs": Glyphs,
    "strokes": partial(Strokes, train_classes=200),
}
_OCCLUDED = 0.3
"""The side of an occluder, in sides of the image."""


@sources.register("roaming")
class Roaming(StreamSource):
    """Name characters seen before, and say of others that they are unknown, while contexts come and go.

    Each context has its own characters, which appear by a Chinese restaurant process. At each step the context changes
    with some probability. Where characters belong to alphabets, the first character of every context is of one
    alphabet, the second of another, and so on. Class ids are given in the order of appearance; the last class stands
    for unknown characters. A box hides a part of each image. A stream ends with padding if its contexts run out of
    characters.

    Args:
        characters: "omniglot", "glyphs" or "strokes".
        steps: S.
        contexts: K.
        classes: the most classes of a stream, the same number in each context.
        most: the most images of a class.
        discount: of the restaurant process; the larger it is, the more classes come once.
        strength: of the restaurant process; the larger it is, the sooner new classes come.
        switch: the probability that a context is drawn anew after a step.
        occluders: whether a grey box, 0.3 of the image wide and high, hides a part of it.

    Source: Ren et al. 2021 (arXiv 2007.04546), RoamingOmniglot: section 4 and the paper's code. Differs: which
    characters are for training is ours.

    Example:
        >>> stream = Roaming("strokes", steps=30).sample(2, torch.Generator().manual_seed(0))
        >>> stream.examples.x.shape, stream.unknown, stream.examples.y[0, 0].item()
        (torch.Size([2, 30, 1, 10, 10]), 50, 0)
    """

    def __init__(
        self,
        characters: Literal["omniglot", "glyphs", "strokes"] = "omniglot",
        steps: int = 150,
        contexts: int = 5,
        classes: int = 50,
        most: int = 6,
        discount: float = 0.2,
        strength: float = 1.0,
        switch: float = 0.2,
        occluders: bool = True,
    ):
        check_positive(DataError, steps=steps, contexts=contexts, classes=classes, most=most)
        if characters not in _CHARACTERS:
            raise DataError(f"characters: expected one of {', '.join(_CHARACTERS)}; got '{characters}'")
        if classes % contexts or steps % contexts:
            raise DataError(
                f"classes, steps: expected multiples of the {contexts} contexts, which share them evenly; "
                f"got {classes} and {steps}"
            )
        if not (0 <= discount < 1 and strength > -discount and 0 <= switch <= 1):
            raise DataError(
                "discount, strength, switch: expected a number from 0 to below 1, one above minus that, and a "
                f"probability; got {discount}, {strength} and {switch}"
            )
        self.characters = characters
        self.steps = steps
        self.contexts = contexts
        self.classes = classes
        self.most = most
        self.discount = discount
        self.strength = strength
        self.switch = switch
        self.occluders = occluders
        self._source = _CHARACTERS[characters](ways=1, shots=1, queries=1)

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Images of characters; one class more than a stream can have stands for the unknown."""
        spec = self._source.spec
        return TaskSpec(spec.kind, spec.x_shape, self.classes + 1, spec.pool, unknown=True)

    @property
    def inputs(self) -> dict[str, Any] | None:
        """Those of the characters."""
        return self._source.inputs

    @property
    def data_hash(self) -> str:
        """That of the characters."""
        return self._source.data_hash

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Stream:  # type: ignore[override]
        """Draw T streams: the course of each, characters for its classes, and an image of them at each step."""
        pool = self._source.resident(split)
        if int(pool.counts.min()) < self.most:
            raise DataError(
                f"most: expected at most the {int(pool.counts.min())} images of a character, got {self.most}"
            )
        courses = [self._course(generator) for _ in range(tasks)]
        images = torch.zeros(tasks, self.steps, *pool.images.shape[2:])
        y, real, shifts = torch.zeros(3, tasks, self.steps, dtype=torch.long)
        for task, (context, place) in enumerate(courses):
            length = len(context)
            of = self._characters(pool, generator)[context, place]
            images[task, :length] = pool.images[of, self._drawings(of, pool, generator)] / 255
            y[task, :length] = _by_appearance(of)
            real[task, :length] = 1
            shifts[task, 1:length] = (context[1:] != context[:-1]).long()
        if self.occluders:
            _occlude(images, generator)
        mask = None if bool(real.all()) else real.bool()
        return Stream(Examples(images, y, mask), shifts=shifts.bool(), unknown=self.classes)

    def _course(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return for each step its context, and which class of the context it is."""

        def chance() -> float:
            return torch.rand((), generator=generator).item()

        waiting = [self._seating(generator) for _ in range(self.contexts)]
        here, course = 0, []
        for _ in range(sum(map(len, waiting))):
            while not waiting[here]:
                here = int(chance() * self.contexts)
            course.append((here, waiting[here].pop(0)))
            if chance() < self.switch:
                here = int(chance() * self.contexts)
        context, place = torch.tensor(course).unbind(1)
        return context, place

    def _seating(self, generator: torch.Generator) -> list[int]:
        """Return the classes of one context in order, by a Chinese restaurant process that ends when it is full."""
        counts: list[int] = []
        seated: list[int] = []
        while len(seated) < self.steps // self.contexts:
            free = [count - self.discount if count < self.most else 0.0 for count in counts]
            weights = torch.tensor([*free, self.strength + self.discount * len(counts)])
            seat = int(weights.multinomial(1, generator=generator))
            if seat == self.classes // self.contexts:
                break
            if seat == len(counts):
                counts.append(0)
            counts[seat] += 1
            seated.append(seat)
        return seated

    def _characters(self, pool: ClassPool, generator: torch.Generator) -> Tensor:
        """Return which character each class of each context is, `(K, C / K)`."""
        each = self.classes // self.contexts
        shuffled = torch.randperm(len(pool.counts), generator=generator)
        if pool.groups is not None:
            groups = pool.groups[shuffled]
            large = (groups.bincount() >= self.contexts).nonzero().flatten()
            if len(large) >= each:
                chosen = large[torch.randperm(len(large), generator=generator)[:each]]
                return torch.stack([shuffled[groups == group][: self.contexts] for group in chosen], dim=1)
        if len(shuffled) < self.classes:
            raise DataError(f"classes: expected at most {len(shuffled)}, as many as there are, got {self.classes}")
        return shuffled[: self.classes].view(self.contexts, each)

    @staticmethod
    def _drawings(of: Tensor, pool: ClassPool, generator: torch.Generator) -> Tensor:
        """Return an image of the character of each step; none comes twice."""
        characters, which = of.unique(return_inverse=True)
        order = torch.rand(len(characters), pool.images.shape[1], generator=generator)
        missing = torch.arange(pool.images.shape[1]) >= pool.counts[characters, None]
        before = (of[:, None] == of).tril(-1).sum(1)
        return order.masked_fill_(missing, 2.0).argsort(1)[which, before]


def _by_appearance(of: Tensor) -> Tensor:
    """Number what a sequence has in the order of first appearance: 7, 3, 7 becomes 0, 1, 0."""
    first = (of[:, None] == of).int().argmax(1)
    return (first.unique() < first[:, None]).sum(1)


def _occlude(images: Tensor, generator: torch.Generator) -> None:
    """Put a grey box at a place of its own into each of `(T, S, channels, height, width)`."""
    height, width = images.shape[-2:]
    rows, columns = (
        (torch.rand(*images.shape[:2], 1, generator=generator) * (side - int(_OCCLUDED * side))).long()
        for side in (height, width)
    )
    inside = [
        (torch.arange(side) >= first) & (torch.arange(side) < first + int(_OCCLUDED * side))
        for side, first in ((height, rows), (width, columns))
    ]
    box = inside[0][..., :, None] & inside[1][..., None, :]
    images.masked_fill_(box[:, :, None], 0.5)
