"""The layout in memory that convolutions are fastest in."""

import torch
from torch import Tensor

__all__ = ["channels_last"]


def channels_last(x: Tensor) -> Tensor:
    """Return the same values `(..., C, H, W)` with the channels next to each other in memory.

    Spells the strides out, since `torch.channels_last` leaves them ambiguous, and convolutions slow, where C is 1.

    Example:
        >>> channels_last(torch.zeros(2, 3, 4, 5)).stride()
        (60, 1, 15, 3)
    """
    *leading, channels, height, width = x.shape
    inner = (1, width * channels, channels)
    outer = []
    stride = channels * height * width
    for size in reversed(leading):
        outer.append(stride)
        stride *= size
    strides = (*reversed(outer), *inner)
    if x.stride() == strides:
        return x
    return torch.empty_strided(x.shape, strides, dtype=x.dtype, device=x.device).copy_(x)
