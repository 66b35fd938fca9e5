"""Ordered examples that arrive one at a time, their labels some steps later.

Axis letters: T tasks, S stream steps, D target features.
"""

from dataclasses import dataclass

from torch import Tensor

from metaprior.errors import ShapeError
from metaprior.tasks.episode import Examples, _Value

__all__ = ["Stream"]


@dataclass(frozen=True, eq=False)
class Stream(_Value):
    """T streams of S steps: at step s a prior predicts `x[:, s]` and is then told the label of step `s + 1 - delay`.

    Args:
        examples: `x` is `(T, S, *x)`, `y` is `(T, S)` class ids or `(T, S, D)` targets; the mask ends shorter streams.
        delay: after how many steps a label arrives; 1 means right after the prediction.
        shifts: `(T, S)`, True where the context changes, or None where that is not known.

    Raises:
        ShapeError: if the examples carry no labels, `delay` is not positive, or `shifts` is of another shape.

    Example:
        >>> import torch
        >>> Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), delay=2).steps
        7
    """

    examples: Examples
    delay: int = 1
    shifts: Tensor | None = None

    def __post_init__(self) -> None:
        if self.examples.y is None:
            raise ShapeError("examples: expected labelled examples, got y = None")
        if self.delay < 1:
            raise ShapeError(f"delay: expected at least 1 step, got {self.delay}")
        if self.shifts is not None and tuple(self.shifts.shape) != (self.tasks, self.steps):
            expected = f"(T, S) = ({self.tasks}, {self.steps})"
            raise ShapeError(f"shifts: expected shape {expected}, got {tuple(self.shifts.shape)}")

    @property
    def tasks(self) -> int:
        """T, the number of streams."""
        return self.examples.tasks

    @property
    def steps(self) -> int:
        """S, the number of steps."""
        return self.examples.size
