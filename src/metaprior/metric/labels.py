"""Class ids as rows of zeros and ones.

Axis letters: T tasks, N support, C classes.
"""

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError
from metaprior.tasks.episode import Examples

__all__ = ["memberships"]


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
