"""Convolve and pool the images of the first layer, whose maps are the largest of all, without keeping them.

Axis letters: N examples, C channels, F features, H and W places.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.allocator import keep_some_memory
from metaprior.nets import pieces

__all__ = ["convolve_pool", "sees_few"]

_FEW = 32
"""Up to so many values under a kernel, their covariance is cheaper than a pass over the convolved maps."""


def sees_few(convolution: nn.Conv2d, x: Tensor) -> bool:
    """Whether `convolve_pool` and `patch_moments` pay: on a CPU, with few values under a kernel and large maps.

    Example:
        >>> images = torch.zeros(75, 1, 28, 28)
        >>> sees_few(nn.Conv2d(1, 64, 3), images), sees_few(nn.Conv2d(1, 64, 3), images[:5])
        (True, False)
    """
    plain = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str) and convolution.groups == 1
    few = convolution.weight[0].numel() <= _FEW
    return plain and few and x.device.type == "cpu" and len(x) > _images_in_piece(convolution, x)


def _images_in_piece(convolution: nn.Conv2d, x: Tensor) -> int:
    return max(1, pieces.PIECE // (convolution.out_channels * x.shape[2] * x.shape[3]))


def convolve_pool(convolution: nn.Conv2d, kernel: Tensor, x: Tensor) -> Tensor:
    """Convolve and pool 2x2 by maximum, without keeping the maps in between.

    Args:
        convolution: says how; its weight is not used, and a bias not added.
        kernel: `(F, C, height, width)`, to use instead.
        x: `(N, C, H, W)`; its gradient costs as much as that of the kernel.

    Returns:
        `(N, F, H // 2, W // 2)`.

    Example:
        >>> convolution = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        >>> convolve_pool(convolution, convolution.weight, torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 4, 4, 4])
    """
    how = (convolution.stride, convolution.padding, convolution.dilation)
    size = _images_in_piece(convolution, x)
    if len(x) <= size or not pieces.by_hand(x):
        return _convolve_pool(x, kernel, *how)
    keep_some_memory()
    return _ConvolvePool.apply(x, kernel, size, *how)


def _convolve_pool(x: Tensor, kernel: Tensor, *how: Any) -> Tensor:
    return functional.max_pool2d(functional.conv2d(x, kernel, None, *how), 2)


class _ConvolvePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, size: int, *how: Any) -> Tensor:
        features, height, width = functional.conv2d(x[:1], kernel, None, *how).shape[1:]
        shape = (len(x), features, height // 2, width // 2)
        pooled = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        places = torch.empty(shape, dtype=torch.int64, memory_format=torch.channels_last)
        for part, out, indices in zip(*[whole.split(size) for whole in (x, pooled, places)], strict=True):
            maps = functional.conv2d(part, kernel, None, *how)
            torch.ops.aten.max_pool2d_with_indices.out(maps, [2, 2], [2, 2], out=out, indices=indices)
        ctx.save_for_backward(x, kernel, places)
        ctx.size, ctx.how, ctx.shape = size, how, (features, height, width)
        return pooled

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, places = ctx.saved_tensors
        nothing = (None,) * (1 + len(ctx.how))
        if torch.is_grad_enabled():
            return *pieces.differentiate(_convolve_pool, (x, kernel), ctx.how, outer), *nothing
        to_x, to_kernel = [], torch.zeros_like(kernel)
        needed = [ctx.needs_input_grad[0], True, False]
        wholes = (x, outer, places)
        for part, gradient, part_places in zip(*[whole.split(ctx.size) for whole in wholes], strict=True):
            maps = torch.empty((len(part), *ctx.shape), dtype=x.dtype, memory_format=torch.channels_last)
            to_maps = pieces.spread_maxima(gradient, maps, part_places)
            found = torch.ops.aten.convolution_backward(to_maps, part, kernel, None, *ctx.how, False, [0, 0], 1, needed)
            to_x.append(found[0])
            to_kernel += found[1]
        return torch.cat(to_x) if needed[0] else None, to_kernel, *nothing
