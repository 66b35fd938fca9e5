"""Convolve, normalise, pool and rectify with few passes over memory, on which four-block networks spend their time.

Each function is defined by primitives. On a CPU its first derivative is written by hand as well, so that large maps
are worked on in pieces, and those of a layer with few input channels are never kept. Second derivatives, `vmap`,
masks and other devices use the definition.

Axis letters: N examples, C channels, F features, H and W places.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.allocator import keep_some_memory

__all__ = ["convolve_pool", "moments", "moments_pool", "patch_moments", "scale_rectify", "sees_few"]

_PIECE = 600_000
"""Values that are worked on at a time: few enough for the cache, enough for a convolution to be efficient."""
_FEW = 32
"""Up to so many values under a kernel, their covariance is cheaper than a pass over the convolved maps."""


def sees_few(convolution: nn.Conv2d, x: Tensor) -> bool:
    """Whether `convolve_pool` and `patch_moments` apply and pay: on a CPU, with few values under the kernel.

    Example:
        >>> sees_few(nn.Conv2d(1, 64, 3), torch.zeros(1, 1, 28, 28)), sees_few(nn.Conv2d(64, 64, 3), torch.zeros(1))
        (True, False)
    """
    plain = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str) and convolution.groups == 1
    return plain and convolution.weight[0].numel() <= _FEW and x.device.type == "cpu"


def scale_rectify(pooled: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise maps `(N, F, H, W)` by given statistics and rectify; all other tensors are `(F,)`."""
    scale = weight * torch.rsqrt(variance + eps)
    shift = bias - mean * scale
    return torch.addcmul(shift.view(-1, 1, 1), pooled, scale.view(-1, 1, 1)).relu()


def moments(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each feature, summed first within an example and then over examples.

    Args:
        x: `(N, F)` or `(N, F, H, W)`.
        mask: `(N,)`, True where an example is real; None where all are.

    Returns:
        Two tensors `(F,)`.

    Example:
        >>> moments(torch.tensor([[1.0], [3.0]]))
        (tensor([2.]), tensor([1.]))
    """
    places = tuple(range(2, x.ndim))

    def average(values: Tensor) -> Tensor:
        return _average(values.mean(places) if places else values, mask)

    # Derivatives take fewer passes if the centre is a constant; what it is off by is zero, its derivative is not.
    centre = average(x.detach())
    apart = x - centre.view(-1, *[1] * len(places))
    off = average(apart)
    return centre + off, average(apart.square()) - off.square()


def _average(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean(0)
    share = mask.to(values.dtype) / mask.sum().clamp(min=1)
    return share @ torch.where(mask[:, None], values, 0)


def patch_moments(
    convolution: nn.Conv2d, kernel: Tensor, x: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the moments that a convolution's maps have, from those of what its kernel sees: `k'E[p]`, `k'Cov[p]k`.

    Args:
        convolution: says how; its weight is not used.
        kernel: `(F, C, height, width)`, to use instead.
        x: `(N, C, H, W)`.
        mask: `(N,)`, True where an example is real; None where all are.

    Returns:
        Mean and variance, `(F,)`.

    Example:
        >>> convolution = nn.Conv2d(1, 1, 1, bias=False)
        >>> patch_moments(convolution, torch.full((1, 1, 1, 1), 2.0), torch.tensor([[[[1.0, 3.0]]]]))
        (tensor([4.]), tensor([4.]))
    """
    assert not isinstance(convolution.padding, str)
    rows = kernel.flatten(1).double()
    means, products = [], []
    for part in x.split(max(1, _PIECE * len(x) // (x.numel() * rows.shape[1]))):
        # In double precision, since a kernel of mixed signs cancels most of the covariance of a smooth image.
        seen = functional.unfold(
            part.double(), kernel.shape[2:], convolution.dilation, convolution.padding, convolution.stride
        )
        means.append(seen.mean(2))
        products.append((seen @ seen.transpose(1, 2)).flatten(1) / seen.shape[2])
    mean = _average(torch.cat(means), mask)
    square = _average(torch.cat(products), mask).view(len(mean), len(mean))
    covariance = square - mean[:, None] * mean
    return (rows @ mean).to(x.dtype), ((rows @ covariance) * rows).sum(1).to(x.dtype)


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
    size = max(1, _PIECE // (len(kernel) * x.shape[2] * x.shape[3]))
    if len(x) <= size or x.device.type != "cpu":
        return _convolve_pool(x, kernel, *how)
    keep_some_memory()
    return _ConvolvePool.apply(x, kernel, size, *how)[0]


def _convolve_pool(x: Tensor, kernel: Tensor, *how: Any) -> Tensor:
    return functional.max_pool2d(functional.conv2d(x, kernel, None, *how), 2)


def _spread(gradient: Tensor, maps: Tensor, places: Tensor) -> Tensor:
    """Give the gradient of each maximum to the place that it came from."""
    pool = ([2, 2], [2, 2], [0, 0], [1, 1], False)
    return torch.ops.aten.max_pool2d_with_indices_backward(gradient, maps, *pool, places)


class _ConvolvePool(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, kernel: Tensor, size: int, *how: Any) -> tuple[Tensor, ...]:
        pieces = [
            functional.max_pool2d(functional.conv2d(part, kernel, None, *how), 2, return_indices=True)
            for part in x.split(size)
        ]
        return tuple(torch.cat(whole) for whole in zip(*pieces, strict=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, kernel, ctx.size, *ctx.how = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, kernel, output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, places = ctx.saved_tensors
        nothing = (None,) * (1 + len(ctx.how))
        if torch.is_grad_enabled():
            return *_differentiate(_convolve_pool, (x, kernel), ctx.how, gradients[:1]), *nothing
        to_x, to_kernel = [], torch.zeros_like(kernel)
        needed = [ctx.needs_input_grad[0], True, False]
        shape = functional.conv2d(x.to("meta"), kernel.to("meta"), None, *ctx.how).shape[1:]
        wholes = (x, gradients[0], places)
        for part, gradient, part_places in zip(*[whole.split(ctx.size) for whole in wholes], strict=True):
            maps = torch.empty((len(part), *shape), dtype=x.dtype, memory_format=torch.channels_last)
            to_maps = _spread(gradient, maps, part_places)
            found = torch.ops.aten.convolution_backward(to_maps, part, kernel, None, *ctx.how, False, [0, 0], 1, needed)
            to_x.append(found[0])
            to_kernel += found[1]
        return torch.cat(to_x) if needed[0] else None, to_kernel, *nothing

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, kernel: Tensor, size: int, *how: Any) -> tuple[Any, Any]:
        mapped = torch.vmap(lambda x, kernel: _convolve_pool(x, kernel, *how), in_dims=in_dims[:2])(x, kernel)
        return (mapped, torch.empty(0)), (0, None)


def moments_pool(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Pool 2x2 by maximum, and take the `moments` of what is pooled.

    Args:
        x: `(N, F, H, W)`.
        mask: `(N,)`, True where an example is real; None where all are.

    Returns:
        Maps `(N, F, H // 2, W // 2)`, and mean and variance `(F,)`.

    Example:
        >>> moments_pool(torch.tensor([[[[1.0, 1.0], [1.0, 5.0]]]]))
        (tensor([[[[5.]]]]), tensor([2.]), tensor([3.]))
    """
    if mask is not None or x.device.type != "cpu" or x.numel() <= _PIECE // 4:
        return _moments_pool(x, mask)
    return _MomentsPool.apply(x)[:3]


def _moments_pool(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    return functional.max_pool2d(x, 2), *moments(x, mask)


class _MomentsPool(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, ...]:
        pooled, places = functional.max_pool2d(x, 2, return_indices=True)
        flat = x.permute(0, 2, 3, 1).flatten(1, 2)
        ones = flat.new_ones(1, 1, flat.shape[1]).div_(flat.shape[1])
        mean = (ones.expand(len(flat), -1, -1) @ flat).mean((0, 1))
        squares = [ones.expand(len(part), -1, -1) @ (part - mean).square_() for part in flat.split(_examples(x))]
        return pooled, mean, torch.cat(squares).mean((0, 1)), places

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[3])
        ctx.save_for_backward(inputs[0], output[1], output[3])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...] | Tensor:
        x, mean, places = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiate(_moments_pool, (x,), (), gradients[:3])
        values = x.numel() // x.shape[1]
        slope = (2 * gradients[2] / values).view(-1, 1, 1)
        offset = (gradients[1] / values).view(-1, 1, 1) - slope * mean.view(-1, 1, 1)
        to_x = torch.empty_like(x)
        wholes = (gradients[0], x, places, to_x)
        for gradient, part, part_places, to_part in zip(*[whole.split(_examples(x)) for whole in wholes], strict=True):
            torch.add(_spread(gradient, part, part_places).addcmul_(part, slope), offset, out=to_part)
        return to_x

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], x: Tensor) -> tuple[Any, Any]:
        return (*torch.vmap(_moments_pool, in_dims=in_dims)(x), torch.empty(0)), (0, 0, 0, None)


def _examples(x: Tensor) -> int:
    return max(1, _PIECE * len(x) // x.numel())


def _differentiate(definition: Any, inputs: tuple[Tensor, ...], rest: Any, gradients: Any) -> tuple[Tensor | None, ...]:
    """Differentiate a definition, so that its derivative can be differentiated again."""
    needed = [value for value in inputs if value.requires_grad]
    found = iter(torch.autograd.grad(definition(*inputs, *rest), needed, gradients, create_graph=True))
    return tuple(next(found) if value.requires_grad else None for value in inputs)
