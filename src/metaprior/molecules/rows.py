"""Rows of features that are mostly zero, resident in memory and drawn by index.

Axis letters: M rows, F features, K numbers that are not zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metaprior.gaussian import kernels

__all__ = ["SparseRows", "tanimoto"]


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A matrix that keeps the numbers of each row that are not zero: a molecule has about 45 of 2,048.

    Args:
        starts: `(M + 1,)`, where the numbers of each row begin; its last is K.
        columns: `(K,)`, int32.
        values: `(K,)`, float32.
        width: F.

    Example:
        >>> rows = SparseRows.of([([0, 2], [1.0, 3.0]), ([], [])], width=3)
        >>> rows.dense(torch.tensor([[1, 0]]))
        tensor([[[0., 0., 0.],
                 [1., 0., 3.]]])
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    width: int

    @staticmethod
    def of(rows: Iterable[tuple[Sequence[int] | np.ndarray, Sequence[float] | np.ndarray]], width: int) -> "SparseRows":
        """Return rows that are given as columns and values."""
        columns, values, sizes = [], [], [0]
        for at, numbers in rows:
            columns.append(np.asarray(at, dtype=np.int32))
            values.append(np.asarray(numbers, dtype=np.float32))
            sizes.append(len(columns[-1]))
        return SparseRows(
            torch.tensor(sizes).cumsum(0),
            torch.from_numpy(np.concatenate([np.empty(0, np.int32), *columns])),
            torch.from_numpy(np.concatenate([np.empty(0, np.float32), *values])),
            width,
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What `data.cached` keeps of them."""
        return {"starts": self.starts, "columns": self.columns, "values": self.values}

    def take(self, index: Tensor) -> "SparseRows":
        """Return the rows at some positions `(m,)`."""
        sizes = (self.starts[1:] - self.starts[:-1])[index]
        return SparseRows(
            torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]),
            self.columns[chosen := _spans(self.starts[index], sizes)],
            self.values[chosen],
            self.width,
        )

    def dense(self, index: Tensor) -> Tensor:
        """Return the rows at positions of any shape `(...)` as `(..., F)`."""
        flat = index.flatten()
        first = self.starts[flat]
        sizes = self.starts[flat + 1] - first
        chosen = _spans(first, sizes)
        out = self.values.new_zeros(len(flat), self.width)
        out[torch.arange(len(flat)).repeat_interleave(sizes), self.columns[chosen].long()] = self.values[chosen]
        return out.unflatten(0, index.shape) if index.ndim != 1 else out


def tanimoto(rows: SparseRows, left: Tensor, right: Tensor, others: SparseRows | None = None) -> Tensor:
    """Return the Tanimoto similarities of rows: of the features that either has, the share that both have.

    Args:
        rows: of the left, and of the right unless there are others.
        left: positions `(m,)`.
        right: positions `(n,)`.
        others: the rows of the right.

    Returns:
        `(m, n)`.

    Example:
        >>> rows = SparseRows.of([([0, 2], [1.0, 3.0]), ([0, 1, 2], [1.0, 1.0, 1.0])], width=3)
        >>> tanimoto(rows, torch.tensor([0]), torch.tensor([0, 1]))
        tensor([[1.0000, 0.6667]])
    """
    mine = (rows.dense(left) > 0).to(torch.float32)
    theirs = (((others or rows).dense(right)) > 0).to(torch.float32)
    return kernels.tanimoto(mine, theirs)


def _spans(first: Tensor, sizes: Tensor) -> Tensor:
    """Return the positions of spans one after another, given where each begins and how long it is."""
    before = sizes.cumsum(0) - sizes
    return torch.arange(int(sizes.sum())) + (first - before).repeat_interleave(sizes)
