"""Ordered examples that arrive one at a time, their labels some steps later.

Axis letters: T tasks, S stream steps, D target features.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metaprior.errors import ShapeError
from metaprior.metrics.streams import presentations
from metaprior.tasks.episode import Examples, _Value
from metaprior.tree import map_tensors, tensors

__all__ = ["EVERY", "Stream"]

EVERY = slice(None)
"""All steps of a stream."""


@dataclass(frozen=True, eq=False)
class Stream(_Value):
    """T streams of S steps: at step s a prior predicts `x[:, s]`, before it is told the label.

    Args:
        examples: `x` is `(T, S, *x)`, `y` is `(T, S)` class ids or `(T, S, D)` targets; the mask ends shorter streams.
        delay: after how many steps a label arrives; 1 means right after the prediction. Or `(T, S)`, how many for each
            label; 0 where it never arrives.
        shifts: `(T, S)`, True where the context changes, or None where that is not known.
        unknown: the class id that a prediction should say until a label of the class has arrived, and that no label
            ever says; None where classes are to be guessed.
        ways: `(T,)`, the number of classes of each stream; None where all have as many as the source says.

    Raises:
        ShapeError: if the examples carry no labels, or there are none, `delay` is no positive whole number, or longer
            than the streams, `delay`, `shifts` or `ways` is of another shape, or `unknown` is no class id.

    Example:
        >>> import torch
        >>> Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), delay=2).steps
        7
    """

    examples: Examples
    delay: int | Tensor = 1
    shifts: Tensor | None = None
    unknown: int | None = None
    ways: Tensor | None = None

    def __post_init__(self) -> None:
        if self.examples.y is None:
            raise ShapeError("examples: expected labelled examples, got y = None")
        if not self.steps:
            raise ShapeError("examples: expected at least one step, got an empty stream")
        if self.unknown is not None and (self.unknown < 0 or self.examples.y.is_floating_point()):
            raise ShapeError(f"unknown: expected the id of a class, and labels that are class ids; got {self.unknown}")
        expected = (self.tasks, self.steps)
        if isinstance(self.delay, Tensor):
            whole = not (self.delay.is_floating_point() or self.delay.dtype == torch.bool)
        else:
            whole = isinstance(self.delay, int) and not isinstance(self.delay, bool)
        if not whole:
            got = self.delay.dtype if isinstance(self.delay, Tensor) else repr(self.delay)
            raise ShapeError(f"delay: expected whole steps, got {got}")
        for name, each in (("delay", self.delay), ("shifts", self.shifts)):
            if isinstance(each, Tensor) and tuple(each.shape) != expected:
                raise ShapeError(f"{name}: expected shape (T, S) = {expected}, got {tuple(each.shape)}")
        if self.ways is not None and tuple(self.ways.shape) != (self.tasks,):
            raise ShapeError(f"ways: expected shape (T,) = ({self.tasks},), got {tuple(self.ways.shape)}")
        if isinstance(self.delay, Tensor):
            if self.delay.numel() and not 0 <= int(self.delay.min()) <= int(self.delay.max()) <= self.steps:
                outside = self.delay[(self.delay < 0) | (self.delay > self.steps)][0]
                raise ShapeError(f"delay: expected 0 to {self.steps} steps for each label, got {int(outside)}")
        elif not 1 <= self.delay <= self.steps:
            raise ShapeError(f"delay: expected 1 to {self.steps} steps, as many as the stream has, got {self.delay}")

    @property
    def delays(self) -> Tensor:
        """`(T, S)`, after how many steps each label arrives; 0 where it never does."""
        if isinstance(self.delay, Tensor):
            return self.delay
        return torch.full((self.tasks, self.steps), self.delay, device=tensors(self.examples.x)[0].device)

    @property
    def tasks(self) -> int:
        """T, the number of streams."""
        return self.examples.tasks

    @property
    def steps(self) -> int:
        """S, the number of steps."""
        return self.examples.size

    @property
    def at_once(self) -> bool:
        """Whether each label arrives right after its prediction."""
        return not isinstance(self.delay, Tensor) and self.delay == 1

    @property
    def asked(self) -> Examples:
        """The examples with what predictions should say: their labels, or `unknown` if none of the class has arrived.

        Example:
            >>> Stream(Examples(torch.zeros(1, 3, 1), torch.tensor([[4, 4, 2]])), unknown=9).asked.y
            tensor([[9, 4, 9]])
        """
        if self.unknown is None:
            return self.examples
        assert self.examples.y is not None
        return replace(
            self.examples, y=self.examples.y.masked_fill((self.told == 0) & self.examples.real, self.unknown)
        )

    @property
    def told(self) -> Tensor:
        """`(T, S)`, how many labels of its class have arrived before each step; 0 for padding.

        Example:
            >>> Stream(Examples(torch.zeros(1, 5, 1), torch.tensor([[4, 4, 4, 2, 4]])), delay=2).told
            tensor([[0, 0, 1, 0, 3]])
        """
        assert self.examples.y is not None
        if self.at_once:
            return (presentations(self.examples.y, self.examples.mask) - 1).clamp(min=0)
        index = torch.arange(self.steps, device=self.delays.device)
        comes = (self.delays > 0) & self.examples.real
        arrived = comes[:, None] & ((index + self.delays)[:, None] <= index[:, None])
        same = self.examples.y[:, :, None] == self.examples.y[:, None]
        return (same & arrived).sum(-1) * self.examples.real

    def part(self, steps: slice) -> tuple["Stream", int]:
        """Return what matters to some steps: these, and earlier ones whose labels have not arrived before the first.

        Args:
            steps: one after another.

        Returns:
            The stream of them, and how many of its steps are earlier ones.

        Raises:
            ShapeError: if there are no such steps.

        Example:
            >>> stream = Stream(Examples(torch.zeros(1, 9, 1), torch.zeros(1, 9, 1)), delay=3)
            >>> part, earlier = stream.part(slice(6, 8))
            >>> part.delays, earlier
            (tensor([[3, 3, 0, 0]]), 2)
        """
        first, last, by = steps.indices(self.steps)
        if by != 1 or first >= last:
            raise ShapeError(f"steps: expected some of the {self.steps} steps, one after another; got {steps}")
        if (first, last) == (0, self.steps):
            return self, 0
        index = torch.arange(self.steps, device=self.delays.device)
        due = index + self.delays
        comes = (self.delays > 0) & self.examples.real & (due > first) & (due <= last)
        waiting = comes[:, :first].any(0).nonzero()
        oldest = int(waiting[0]) if len(waiting) else first
        cut = slice(oldest, last)
        return replace(
            self,
            examples=self.examples.take(cut),
            delay=1 if self.at_once else self.delays.where(comes, 0)[:, cut],
            shifts=None if self.shifts is None else self.shifts[:, cut],
        ), first - oldest

    def arriving(self, step: int) -> Examples | None:
        """Return the examples whose labels arrive after the prediction of a step, in order; None if none does.

        Example:
            >>> stream = Stream(Examples(torch.tensor([[[7.0], [8.0], [9.0]]]), torch.tensor([[0, 1, 1]])), delay=2)
            >>> stream.arriving(0), stream.arriving(1).x.item()
            (None, 7.0)
        """
        if not isinstance(self.delay, Tensor):
            first = step + 1 - self.delay
            return None if first < 0 else self.examples.take(slice(first, first + 1))
        due = (torch.arange(self.steps, device=self.delay.device) + self.delay == step + 1) & (self.delay > 0)
        due = due & self.examples.real
        most = int(due.sum(1).max())
        if not most:
            return None
        order = (~due).to(torch.int8).argsort(dim=1, stable=True)[:, :most]
        rows = torch.arange(self.tasks, device=order.device)[:, None]
        chosen = map_tensors(lambda leaf: leaf[rows, order], self.examples)
        return Examples(chosen.x, chosen.y, due[rows, order])
