"""Molecules of like size together, so that little of a batch is padding.

Axis letters: N molecules.
"""

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

__all__ = ["Padded", "by_size"]


class Padded(Protocol):
    """Molecules in padded tensors: `Conformers`, `Tokens`."""

    @property
    def sizes(self) -> Tensor:
        """`(N,)`, how large each is."""

    def take(self, index: Any) -> Self:
        """Return some of them, by positions or by a mask."""

    def trimmed(self) -> Self:
        """Return the same with no more padding than the largest of them asks for."""


Molecules = TypeVar("Molecules", bound=Padded)


def by_size(function: Callable[[Molecules, Tensor], Tensor], molecules: Molecules, at_once: int) -> Tensor:
    """Apply a function to some molecules at a time, those of like sizes together, and return its results in order.

    The work of a network on all pairs of atoms grows with the square of the padded size, and tensors that leave the
    cache of a processor take several times as long.

    Args:
        function: from molecules without needless padding, and their positions among all, to a row for each.
        molecules: N of them.
        at_once: the most that the function is given.

    Example:
        >>> from metaprior.molecules.conformers import stacked
        >>> molecules = stacked([([8, 1, 1], [[0.0] * 3] * 3), ([2], [[0.0] * 3]), ([1, 1], [[0.0] * 3] * 2)])
        >>> by_size(lambda part, index: part.elements.sum(1), molecules, at_once=2)
        tensor([10,  2,  2])
    """
    order = molecules.sizes.argsort(stable=True)
    parts = [function(molecules.take(index).trimmed(), index) for index in order.split(at_once)]
    return torch.cat(parts)[order.argsort()]
