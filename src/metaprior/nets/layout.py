"""The layout in memory that convolutions are fastest in."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["channels_last", "empty_channels_last"]


def channels_last(x: Tensor) -> Tensor:
    """Return the same values `(..., C, H, W)` with the channels next to each other in memory.

    Spells the strides out, since `torch.channels_last` leaves them ambiguous, and convolutions slow, where C is 1.

    Example:
        >>> channels_last(torch.zeros(2, 3, 4, 5)).stride()
        (60, 1, 15, 3)
    """
    return x if x.stride() == _strides(x.shape) else empty_channels_last(x.shape, x).copy_(x)


def empty_channels_last(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return room for values `(..., C, H, W)` in that layout, of the type and on the device of another tensor.

    Example:
        >>> empty_channels_last((3, 4, 5), torch.zeros(())).stride()
        (1, 15, 3)
    """
    return torch.empty_strided(shape, _strides(shape), dtype=like.dtype, device=like.device)


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    *leading, channels, height, width = shape
    outer = []
    stride = channels * height * width
    for size in reversed(leading):
        outer.append(stride)
        stride *= size
    return (*reversed(outer), 1, width * channels, channels)
