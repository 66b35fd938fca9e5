"""Which molecules of a task are its support, and which its queries.

Axis letters: T tasks, M molecules of a task, N support, Q query.
"""

import numpy as np
import torch
from torch import Tensor

from metaprior.molecules.splits import Splits
from metaprior.tasks.source import Split

__all__ = ["QUERY", "SUPPORT", "deal", "roles_of"]

SUPPORT, QUERY = 1, 2
"""Roles: what may only be support, or only query."""


def deal(
    labels: Tensor,
    shots: Tensor,
    generator: torch.Generator,
    queries: int | None = None,
    balanced: bool = False,
    roles: Tensor | None = None,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Deal the molecules of each task to support and query.

    Each class has its share of the support, at least one molecule of each where both exist.

    Args:
        labels: `(T, M)`, 0 or 1; -1 for padding.
        shots: `(T,)`, support molecules of each task.
        generator: the only source of randomness.
        queries: the most query molecules; None for all that are left.
        balanced: give both classes the same share.
        roles: `(T, M)`, what may only be support or query; None where all may be either.

    Returns:
        Positions `(T, N)` of the support and `(T, Q)` of the query among M, each with a mask of those that are real.

    Example:
        >>> labels = torch.tensor([[1, 0, 0, 0, 1, 0]])
        >>> (support, _), (query, _) = deal(labels, torch.tensor([3]), torch.Generator().manual_seed(0))
        >>> labels.gather(1, support).sum().item(), query.shape
        (1, torch.Size([1, 3]))
    """
    real = labels >= 0
    order, real = _shuffled(real, generator)
    shuffled = labels.gather(1, order)
    role = torch.zeros_like(shuffled) if roles is None else roles.gather(1, order)
    may_support = real & (role != QUERY)
    sizes = may_support.sum(1)
    active = (may_support & (shuffled == 1)).sum(1)
    share = torch.full_like(active, 0.5, dtype=torch.float64) if balanced else active / sizes.clamp(min=1)
    wanted = (shots * share).round().long().clamp(min=1).minimum(shots - 1)
    wanted = wanted.minimum(active).maximum(shots - (sizes - active)).clamp(min=0)
    quota = torch.stack([shots - wanted, wanted], dim=1)
    in_support = torch.zeros_like(real)
    for label in (0, 1):
        mine = may_support & (shuffled == label)
        in_support |= mine & (mine.cumsum(1) <= quota[:, label : label + 1])
    left = real & ~in_support & (role != SUPPORT)
    return _compact(order, in_support, int(shots.max())), _compact(order, left, queries)


def _shuffled(real: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return positions `(T, M)` whose first are of what is real, in random order, and which of them are these."""
    drawn = torch.rand(real.shape, generator=generator)
    # One sort of what is real: a sort of each padded row takes many times as long where one assay is far the largest.
    rows, columns = real.nonzero(as_tuple=True)
    by_row = (rows + drawn[rows, columns].double()).argsort()
    first = torch.arange(real.shape[1]) < real.sum(1, keepdim=True)
    order = torch.zeros_like(first, dtype=torch.long)
    order[first] = columns[by_row]
    return order, first


def _compact(order: Tensor, member: Tensor, most: int | None) -> tuple[Tensor, Tensor]:
    """Return the members of each row of `order` next to each other, at most so many, and which of them are real."""
    sizes = member.sum(1)
    width = int(sizes.max()) if most is None else min(most, int(sizes.max()))
    rows, columns = member.nonzero(as_tuple=True)
    rank = member.cumsum(1)[rows, columns] - 1
    rows, columns, rank = (part[rank < width] for part in (rows, columns, rank))
    chosen = torch.zeros(len(member), width, dtype=torch.long)
    chosen[rows, rank] = order[rows, columns]
    return chosen, torch.arange(width) < sizes[:, None]


def roles_of(splits: Splits, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the molecules of a split of one task's molecules by position, and what each is for.

    Training molecules are for all; in another split they are for the support alone, and its own for queries.
    """
    members = splits["train"] + ([] if split == "train" else splits[split])
    roles = np.zeros(len(members), dtype=np.int64)
    if split != "train":
        roles[:] = np.where(np.isin(members, splits["train"]), SUPPORT, QUERY)
    return np.array(members, dtype=np.int64), roles
