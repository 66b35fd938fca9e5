"""Scores of what a prior predicted in streams, before it was told.

Axis letters: T streams, S steps, C classes.
"""

import torch
from torch import Tensor

from metaprior.errors import DataError, ShapeError, check_positive

__all__ = [
    "accuracy_by_number",
    "accuracy_by_presentation",
    "average_precision",
    "first_sights",
    "gaps_of",
    "presentations",
    "running_accuracy",
]


def presentations(y: Tensor, real: Tensor | None = None) -> Tensor:
    """Return which presentation of its class each step is, `(T, S)`: 1 the first time, 2 the second; 0 for padding.

    Args:
        y: `(T, S)`, class ids.
        real: `(T, S)`, False for padding; None where all are real.

    Example:
        >>> presentations(torch.tensor([[4, 7, 4, 4]]))
        tensor([[1, 1, 2, 3]])
    """
    _same_shape(y=y, real=real)
    if not y.numel():
        return torch.zeros_like(y)
    # Sorted by class, a step's number is its place among those of its class; padding is a class of its own.
    kept = torch.ones_like(y, dtype=torch.bool) if real is None else real
    ids, order = y.where(kept, y.min() - 1).sort(dim=1, stable=True)
    places = torch.arange(y.shape[1], device=y.device).expand_as(y)
    begins = torch.nn.functional.pad(ids[:, 1:] != ids[:, :-1], (1, 0), value=True)
    numbers = places - places.where(begins, 0).cummax(1).values + 1
    return torch.empty_like(numbers).scatter_(1, order, numbers).where(kept, 0)


def gaps_of(y: Tensor, real: Tensor | None = None) -> Tensor:
    """Return how many steps ago the class of each step came last, `(T, S)`; 0 at its first presentation, and padding.

    Args:
        y: `(T, S)`, class ids.
        real: `(T, S)`, False for padding; None where all are real.

    Example:
        >>> gaps_of(torch.tensor([[4, 7, 4, 4]]))
        tensor([[0, 0, 2, 1]])
    """
    _same_shape(y=y, real=real)
    if not y.numel():
        return torch.zeros_like(y)
    kept = torch.ones_like(y, dtype=torch.bool) if real is None else real
    ids, order = y.where(kept, y.min() - 1).sort(dim=1, stable=True)
    again = torch.nn.functional.pad(ids[:, 1:] == ids[:, :-1], (1, 0), value=False)
    gaps = torch.nn.functional.pad(order.diff(dim=1), (1, 0)).where(again, 0)
    return torch.empty_like(gaps).scatter_(1, order, gaps).where(kept, 0)


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
    return accuracy_by_number(hits, presentations(y, real), most)


def accuracy_by_number(hits: Tensor, numbers: Tensor, most: int) -> Tensor:
    """Return the accuracy of the steps of number 1, 2, ... `most`; NaN for a number that no step has.

    Args:
        hits: `(T, S)`, whether the prediction was right.
        numbers: `(T, S)`, whole numbers; steps of others are left out.
        most: the last number.

    Example:
        >>> accuracy_by_number(torch.tensor([[0, 1, 1]]), torch.tensor([[1, 1, 2]]), most=2)
        tensor([0.5000, 1.0000])
    """
    _same_shape(hits=hits, numbers=numbers)
    found = [hits[numbers == number].float().mean() for number in range(1, most + 1)]
    return torch.stack(found) if found else hits.new_zeros(0, dtype=torch.float32)


def running_accuracy(hits: Tensor, window: int, real: Tensor | None = None) -> Tensor:
    """Return the accuracy over the last `window` steps up to each step, `(T, S)`; over fewer at the beginning.

    Example:
        >>> running_accuracy(torch.tensor([[1, 0, 1, 1]]), window=2)
        tensor([[1.0000, 0.5000, 0.5000, 1.0000]])
    """
    check_positive(window=window)
    _same_shape(hits=hits, real=real)
    steps = hits.shape[1]
    window = min(window, steps)
    counted = torch.ones_like(hits, dtype=torch.float64) if real is None else real.double()
    right, seen = (torch.nn.functional.pad(part.cumsum(1), (window, 0)) for part in (hits.double() * counted, counted))
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

    Raises:
        DataError: if `unknown` is no number somewhere.

    Source: Ren et al. 2021 (arXiv 2007.04546), section 4. Differs: the area is of steps, not of trapezia, and steps of
    equal scores are one.

    Example:
        >>> average_precision(torch.tensor([[0.9, 0.2]]), torch.tensor([[0, 1]]), torch.tensor([[False, True]]))
        tensor(1.)
    """
    _same_shape(unknown=unknown, hits=hits, known=known, real=real)
    if real is not None:
        unknown, hits, known = unknown[real], hits[real], known[real]
    if unknown.is_floating_point() and bool(unknown.isnan().any()):
        raise DataError("unknown: expected numbers, got NaN: were the inputs or the weights finite?")
    scores, order = unknown.double().flatten().sort()
    right = (hits.bool() & known.bool()).flatten()[order].double()
    alike = torch.searchsorted(scores, scores, right=True)
    precision = right.cumsum(0)[alike - 1] / alike
    return ((precision * right).sum() / known.sum().clamp(min=1)).float()


def _same_shape(**parts: Tensor | None) -> None:
    shapes = {name: tuple(part.shape) for name, part in parts.items() if part is not None}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ShapeError(f"{', '.join(shapes)}: expected one shape (T, S), got {shapes}")
