"""Labelled examples as rows of numbers: class ids as zeros and ones, values as they are.

Axis letters: T tasks, N support, C classes, D target features, F features, K classes or target features.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError
from metaprior.tasks.episode import Examples, check_tasks

__all__ = ["Labelled", "added", "memberships", "nothing", "outcomes"]


def memberships(examples: Examples, at_least: int, dtype: torch.dtype) -> Tensor:
    """Return 1 where an example belongs to a class and 0 elsewhere; padding belongs to none.

    Args:
        examples: `y` is `(T, N)` class ids.
        at_least: the least C; a larger class id makes room for itself.
        dtype: of the result.

    Returns:
        `(T, N, C)`.

    Raises:
        ShapeError: if the examples carry no class ids.

    Example:
        >>> memberships(Examples(torch.zeros(1, 2, 1), torch.tensor([[1, 0]])), 2, torch.float32)
        tensor([[[0., 1.],
                 [1., 0.]]])
    """
    if examples.y is None or examples.y.is_floating_point():
        raise ShapeError(f"examples: expected class ids, got y of dtype {getattr(examples.y, 'dtype', None)}")
    ids = examples.y.masked_fill(~examples.real, 0)
    if ids.numel() and int(ids.min()) < 0:
        raise ShapeError(f"y: expected class ids of 0 or more, got {int(ids.min())}")
    classes = max(at_least, int(ids.max()) + 1 if ids.numel() else 0)
    return functional.one_hot(ids, classes).to(dtype) * examples.real[..., None]


def outcomes(examples: Examples, at_least: int, dtype: torch.dtype) -> Tensor:
    """Return what is to be predicted of labelled examples as numbers `(T, N, K)`: memberships, or values.

    Padding is zero. Takes what `memberships` does, or targets `(T, N, D)`.

    Example:
        >>> outcomes(Examples(torch.zeros(1, 2, 1), torch.tensor([[[3.0], [4.0]]])), 1, torch.float32).flatten()
        tensor([3., 4.])
    """
    if examples.y is not None and examples.y.is_floating_point():
        return examples.y.masked_fill(~examples.real[..., None], 0)
    return memberships(examples, at_least, dtype)


class Labelled(NamedTuple):
    """The belief of a prior that fits a model to all that it has seen: the features and targets of that.

    Args:
        features: `(T, N, F)`, zero for padding.
        targets: `(T, N, K)`: ones and zeros for classes, values for regression; zero for padding.
        real: `(T, N)`, 0 for padding.
        classes: `(T,)`, whether the targets are classes.
    """

    features: Tensor
    targets: Tensor
    real: Tensor
    classes: Tensor


def nothing(tasks: int, outputs: int, like: Tensor) -> Labelled:
    """Return that nothing has been seen; the width of a feature is settled by the first example.

    Example:
        >>> nothing(2, 3, torch.zeros(())).targets.shape
        torch.Size([2, 0, 3])
    """
    empty = like.new_zeros(tasks, 0, 1)
    unknown = torch.zeros(tasks, dtype=torch.bool, device=like.device)
    return Labelled(empty, like.new_zeros(tasks, 0, outputs), empty[..., 0], unknown)


def added(state: Labelled, examples: Examples) -> Labelled:
    """Add labelled examples, whose `x` is features `(T, N, F)`.

    Raises:
        ShapeError: if they are of another number of tasks, or carry no labels.

    Example:
        >>> examples = Examples(torch.ones(1, 3, 4), torch.tensor([[0, 1, 1]]))
        >>> added(nothing(1, 2, torch.zeros(())), examples).targets.argmax(-1)
        tensor([[0, 1, 1]])
    """
    check_tasks(state.features, examples)
    real = examples.real
    features = examples.x.masked_fill(~real[..., None], 0)
    targets = outcomes(examples, state.targets.shape[-1], features.dtype)
    before = functional.pad(state.targets, (0, targets.shape[-1] - state.targets.shape[-1]))
    values = examples.y is not None and examples.y.is_floating_point()
    return Labelled(
        torch.cat([state.features.expand(-1, -1, features.shape[-1]), features], dim=1),
        torch.cat([before, targets], dim=1),
        torch.cat([state.real, real.to(features.dtype)], dim=1),
        torch.full_like(state.classes, not values),
    )
