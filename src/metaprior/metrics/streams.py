"""Scores of what a prior predicted in streams, before it was told.

Axis letters: T streams, S steps, C classes.
"""

import torch
from torch import Tensor

from metaprior.errors import ShapeError, check_positive

__all__ = ["accuracy_by_presentation", "average_precision", "first_sights", "presentations", "running_accuracy"]


def presentations(y: Tensor, real: Tensor | None = None) -> Tensor:
    """Return which presentation of its class each step is, `(T, S)`: 1 the first time, 2 the second; 0 for padding.

    Args:
        y: `(T, S)`, class ids.
        real: `(T, S)`, False for padding; None where all are real.

    Example:
        >>> presentations(torch.tensor([[4, 7, 4, 4]]))
        tensor([[1, 1, 2, 3]])
    """
    # Sorted by class, a step's number is its place among those of its class; padding is a class of its own.
    kept = torch.ones_like(y, dtype=torch.bool) if real is None else real
    ids, order = y.where(kept, y.min() - 1).sort(dim=1, stable=True)
    places = torch.arange(y.shape[1], device=y.device).expand_as(y)
    begins = torch.nn.functional.pad(ids[:, 1:] != ids[:, :-1], (1, 0), value=True)
    numbers = places - places.where(begins, 0).cummax(1).values + 1
    return torch.empty_like(numbers).scatter_(1, order, numbers).where(kept, 0)


def first_sights(y: Tensor, real: Tensor | None = None) -> Tensor:
    """Return `(T, S)`, True where a class comes for the first time, which nobody could know."""
    return presentations(y, real) == 1


def accuracy_by_presentation(hits: Tensor, y: Tensor, most: int = 10, real: Tensor | None = None) -> Tensor:
    """Return the accuracy at the first, second, ... presentation of a class, over all streams.

    Args:
        hits: `(T, S)`, whether the prediction was right.
        y: `(T, S)`, class ids.
        most: how many presentations to score. "N-shot accuracy" is that at presentation N + 1.
        real: `(T, S)`, False for padding.

    Returns:
        `(most,)`; NaN for a presentation that no class had.

    Source: Santoro et al. 2016 (arXiv 1605.06065), table 1.

    Example:
        >>> accuracy_by_presentation(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 1, 0, 0]]), most=3)
        tensor([0., 1., 1.])
    """
    _same_shape(hits=hits, y=y, real=real)
    check_positive(most=most)
    which = presentations(y, real)
    return torch.stack([hits[which == number].float().mean() for number in range(1, most + 1)])


def running_accuracy(hits: Tensor, window: int, real: Tensor | None = None) -> Tensor:
    """Return the accuracy over the last `window` steps up to each step, `(T, S)`; over fewer at the beginning.

    Example:
        >>> running_accuracy(torch.tensor([[1, 0, 1, 1]]), window=2)
        tensor([[1.0000, 0.5000, 0.5000, 1.0000]])
    """
    check_positive(window=window)
    _same_shape(hits=hits, real=real)
    counted = torch.ones_like(hits, dtype=torch.float64) if real is None else real.double()
    right, seen = (torch.nn.functional.pad(part.cumsum(1), (window, 0)) for part in (hits.double() * counted, counted))
    steps = hits.shape[1]
    return ((right[:, -steps:] - right[:, :steps]) / (seen[:, -steps:] - seen[:, :steps])).float()


def average_precision(unknown: Tensor, hits: Tensor, known: Tensor, real: Tensor | None = None) -> Tensor:
    """Return how well a prior tells known classes from unknown ones and names the known, all steps ranked together.

    Steps are ranked by how unknown they were said to be, the best known first. Of the first k, those of a known class
    that were rightly named are true positives; precision is their share of k, recall that of all steps of known
    classes; the score is the area under the curve of precision against recall.

    Args:
        unknown: `(T, S)`, how likely the class was said to be a new one; any score that ranks.
        hits: `(T, S)`, whether the class was rightly named, were it known.
        known: `(T, S)`, whether the class was known.
        real: `(T, S)`, False for padding.

    Source: Ren et al. 2021 (arXiv 2007.04546), section 4. Differs: the area is of steps, not of trapezia.

    Example:
        >>> average_precision(torch.tensor([[0.9, 0.2]]), torch.tensor([[0, 1]]), torch.tensor([[False, True]]))
        tensor(1.)
    """
    _same_shape(unknown=unknown, hits=hits, known=known, real=real)
    if real is not None:
        unknown, hits, known = unknown[real], hits[real], known[real]
    order = unknown.double().flatten().argsort(stable=True)
    right = (hits.bool() & known).flatten()[order].double()
    precision = right.cumsum(0) / torch.arange(1, len(right) + 1, device=right.device)
    return ((precision * right).sum() / known.sum().clamp(min=1)).float()


def _same_shape(**parts: Tensor | None) -> None:
    shapes = {name: tuple(part.shape) for name, part in parts.items() if part is not None}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ShapeError(f"{', '.join(shapes)}: expected one shape (T, S), got {shapes}")
