"""What a task is: immutable values with a leading task axis, and masks where tasks differ in size.

Axis letters: T tasks, N examples, C classes, D target features, H and W places.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from metaprior.errors import ShapeError
from metaprior.tree import Tree, concatenate, map_tensors, tensors

__all__ = ["Episode", "Examples", "Kind", "TaskSpec", "check_tasks"]

Kind = Literal["classification", "regression", "segmentation", "rays"]
"""What is to be predicted of an input: a class, numbers, or the class of each of its pixels."""


class _Value:
    """A frozen dataclass of trees that can be sliced by task, moved, and mapped over."""

    def __init_subclass__(cls) -> None:
        def flatten(value: Any) -> tuple[list[Any], None]:
            return [getattr(value, field.name) for field in fields(value)], None

        def unflatten(children: Any, _: None) -> Any:
            value = object.__new__(cls)
            for field, child in zip(fields(cls), children, strict=True):  # type: ignore[arg-type]
                object.__setattr__(value, field.name, child)
            return value

        pytree.register_pytree_node(cls, flatten, unflatten)

    def __getitem__(self, tasks: slice) -> Self:
        return map_tensors(lambda leaf: leaf[tasks], self)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return a copy on another device or, for its floating-point parts, of another dtype."""

        def moved(leaf: Tensor) -> Tensor:
            target = leaf.to(*args, **kwargs)
            return target if leaf.is_floating_point() else leaf.to(device=target.device)

        return map_tensors(moved, self)


@dataclass(frozen=True, eq=False)
class Examples(_Value):
    """Examples of T tasks.

    Args:
        x: inputs, `(T, N, *x)`; any tree of tensors with those leading axes.
        y: class ids `(T, N)` of any integer dtype, kept as int64, or those of each pixel `(T, N, H, W)`, or targets
            `(T, N, D)` of a floating dtype, or None for unlabelled examples.
        mask: `(T, N)`, True where an example is real and False where it is padding; None where all are real.

    Raises:
        ShapeError: if the leading axes disagree.

    Example:
        >>> examples = Examples(torch.zeros(4, 10, 3), torch.zeros(4, 10, 1))
        >>> examples.tasks, examples.size
        (4, 10)
    """

    x: Tree
    y: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        leaves = tensors(self.x)
        if not leaves or any(leaf.ndim < 2 for leaf in leaves):
            raise ShapeError(f"x: expected tensors of shape (T, N, ...), got {[tuple(leaf.shape) for leaf in leaves]}")
        leading = leaves[0].shape[:2]
        named = [("x", leaf) for leaf in leaves] + [("y", self.y), ("mask", self.mask)]
        for name, leaf in named:
            if leaf is not None and leaf.shape[:2] != leading:
                raise ShapeError(
                    f"{name}: expected leading axes (T, N) = {tuple(leading)} as in x, got shape {tuple(leaf.shape)}"
                )
        if self.y is not None and self.y.is_floating_point() and self.y.ndim != 3:
            raise ShapeError(f"y: expected targets of shape (T, N, D), got {tuple(self.y.shape)}")
        if self.y is not None and not self.y.is_floating_point():
            if self.y.ndim not in (2, 4):
                raise ShapeError(f"y: expected class ids of shape (T, N) or (T, N, H, W), got {tuple(self.y.shape)}")
            # One type for all class ids, since torch's losses and gathers take no other.
            object.__setattr__(self, "y", self.y.to(torch.int64))
        if self.mask is not None and (self.mask.ndim != 2 or self.mask.dtype != torch.bool):
            raise ShapeError(
                f"mask: expected booleans of shape (T, N), got {self.mask.dtype} of shape {tuple(self.mask.shape)}"
            )

    @property
    def tasks(self) -> int:
        """T, the number of tasks."""
        return tensors(self.x)[0].shape[0]

    @property
    def size(self) -> int:
        """N, the number of examples of each task, padding counted."""
        return tensors(self.x)[0].shape[1]

    @property
    def real(self) -> Tensor:
        """`(T, N)` mask of the examples that are not padding, whether a mask was given or not."""
        if self.mask is not None:
            return self.mask
        return torch.ones(self.tasks, self.size, dtype=torch.bool, device=tensors(self.x)[0].device)

    def take(self, positions: slice) -> "Examples":
        """Return the examples at some positions of every task.

        Example:
            >>> Examples(torch.zeros(4, 10, 3)).take(slice(0, 2)).size
            2
        """
        return map_tensors(lambda leaf: leaf[:, positions], self)

    def joined(self, other: "Examples") -> "Examples":
        """Return these examples followed by those of `other`, task by task."""
        mask = None if self.mask is None and other.mask is None else torch.cat([self.real, other.real], dim=1)
        joined = map_tensors(
            lambda left, right: torch.cat([left, right], dim=1), replace(self, mask=None), replace(other, mask=None)
        )
        return replace(joined, mask=mask)


def check_tasks(state: Tensor, examples: Examples) -> None:
    """Raise ShapeError if examples are of another number of tasks than a tensor of the state, `(T, ...)`."""
    if examples.tasks != len(state):
        raise ShapeError(f"examples: expected T = {len(state)} tasks as in state, got {examples.tasks}")


@dataclass(frozen=True, eq=False)
class Episode(_Value):
    """T tasks, each with a support set to adapt on and a query set to be scored on.

    Args:
        support: labelled examples, `(T, N, ...)`.
        query: examples to predict, `(T, Q, ...)`.
        ways: `(T,)`, the number of classes of each task; None for regression.
        labels: `(T, C)`, the data set's own id of each class of a task (-1 for padding); None where there is none.
        about: what is known of each task before any example: a tree with leading axis T, or None.
        remember: examples of any classes of the data set, with its own ids for classes, of which nothing should be
            forgotten while a task is learned; None where there are none.

    Raises:
        ShapeError: if the parts disagree about T.

    Example:
        >>> x, y = torch.zeros(4, 10, 3), torch.zeros(4, 10, 1)
        >>> episode = Episode(Examples(x, y), Examples(x, y))
        >>> episode[:2].tasks
        2
    """

    support: Examples
    query: Examples
    ways: Tensor | None = None
    labels: Tensor | None = None
    about: Tree = None
    remember: Examples | None = None

    def __post_init__(self) -> None:
        for name, part in (("query", self.query), ("remember", self.remember)):
            if part is not None and part.tasks != self.support.tasks:
                raise ShapeError(f"{name}: expected T = {self.support.tasks} tasks as in support, got {part.tasks}")

    @property
    def tasks(self) -> int:
        """T, the number of tasks."""
        return self.support.tasks

    @staticmethod
    def concatenate(episodes: "list[Episode]") -> "Episode":
        """Return one episode of all the tasks of several; their shapes must agree."""
        return concatenate(episodes)


@dataclass(frozen=True)
class TaskSpec:
    """What all tasks of a source have in common; enough to choose a network for them.

    Args:
        kind: whether targets are class ids, real numbers, or the class ids of each pixel; "rays" are a regression of
            what rays see.
        x_shape: the shape of one input, `(channels, height, width)` for images, `(features,)` for vectors.
        outputs: C, the most classes that a task can have (in segmentation, the background is one), or D, the number of
            target features.
        pool: how many classes the training tasks draw from together; None where classes are not shared by tasks.
        unknown: whether the last of the classes stands for all that have not been seen; see `Stream`.
        about: A, how many numbers describe a task in `Episode.about`; None where nothing does.
        tokens: where an input is a row of token ids, what the ids from 1 stand for, 0 being padding; else None.
        net: the one network that inputs are for, by its registered name, as rows of graphs are; None if any will do.
        text: where `Episode.about` is prompts, the name of the frozen text encoder that read them; else None.
        text_size: how many features it gives each token.

    Example:
        >>> TaskSpec("classification", (1, 28, 28), outputs=5, pool=1200).is_image
        True
    """

    kind: Kind
    x_shape: tuple[int, ...]
    outputs: int
    pool: int | None = None
    unknown: bool = False
    about: int | None = None
    tokens: tuple[str, ...] | None = None
    net: str | None = None
    text: str | None = None
    text_size: int | None = None

    @property
    def is_image(self) -> bool:
        """Whether an input has the shape (channels, height, width)."""
        return len(self.x_shape) == 3
