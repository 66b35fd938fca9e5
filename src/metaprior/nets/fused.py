"""Normalise, pool and rectify maps in one pass over memory, which is what four-block networks spend their time on.

Axis letters: N examples, F features, H and W places.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["moments", "normalised_pool", "scale_pool"]

_CACHED = 300_000
"""Values that fit the second-level cache of one core; longer work is done in pieces of so many."""


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
    mean = _average(x.mean(places) if places else x, mask)
    squares = (x - mean.view(-1, *[1] * len(places))).square()
    return mean, _average(squares.mean(places) if places else squares, mask)


def _average(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean(0)
    share = mask.to(values.dtype) / mask.sum().clamp(min=1)
    return share @ torch.where(mask[:, None], values, 0)


def scale_pool(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise by given statistics, pool 2x2 by maximum, and rectify; no weight may be negative.

    A non-negative scale commutes with the maximum, so pooling comes first and the rest is a quarter of the work.

    Args:
        x: `(N, F, H, W)`.
        mean: `(F,)`; variance, weight and bias likewise.
        variance: of each feature.
        weight: of each feature, not negative.
        bias: of each feature.
        eps: added to the variance.

    Returns:
        `(N, F, H // 2, W // 2)`.
    """
    scale = weight * torch.rsqrt(variance + eps)
    shift = bias - mean * scale
    return torch.addcmul(shift.view(-1, 1, 1), functional.max_pool2d(x, 2), scale.view(-1, 1, 1)).relu()


def _definition(
    x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    mean, variance = moments(x, mask)
    return scale_pool(x, mean, variance, weight, bias, eps), mean, variance


def _piece(x: Tensor) -> int:
    return max(1, _CACHED * len(x) // x.numel())


def normalised_pool(
    x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise by the statistics of the batch, pool 2x2 by maximum, and rectify; no weight may be negative.

    Args:
        x: `(N, F, H, W)`.
        weight: `(F,)`, not negative.
        bias: `(F,)`.
        mask: `(N,)`, True where an example is real; None where all are.
        eps: added to the variance.

    Returns:
        Maps `(N, F, H // 2, W // 2)`, and the mean and variance `(F,)` of the batch.

    Example:
        >>> maps, mean, variance = normalised_pool(torch.ones(2, 3, 4, 4), torch.ones(3), torch.zeros(3))
        >>> maps.shape, mean
        (torch.Size([2, 3, 2, 2]), tensor([1., 1., 1.]))
    """
    if mask is not None or x.device.type != "cpu":
        return _definition(x, weight, bias, mask, eps)
    return _NormalisedPool.apply(x, weight, bias, eps)[:3]


class _NormalisedPool(torch.autograd.Function):
    """`_definition` without a mask: the same values and derivatives, in pieces that stay in the cache."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        pooled, places = functional.max_pool2d(x, 2, return_indices=True)
        flat = x.permute(0, 2, 3, 1).flatten(1, 2)
        ones = flat.new_ones(1, 1, flat.shape[1]).div_(flat.shape[1])
        mean = (ones.expand(len(flat), -1, -1) @ flat).mean((0, 1))
        squares = [ones.expand(len(part), -1, -1) @ (part - mean).square_() for part in flat.split(_piece(x))]
        variance = torch.cat(squares).mean((0, 1))
        scale = weight * torch.rsqrt(variance + eps)
        output = torch.addcmul((bias - mean * scale).view(-1, 1, 1), pooled, scale.view(-1, 1, 1)).relu_()
        return output, mean, variance, pooled, places

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, bias, ctx.eps = inputs
        ctx.mark_non_differentiable(*output[3:])
        ctx.save_for_backward(x, weight, bias, *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, output, mean, variance, pooled, places = ctx.saved_tensors
        if torch.is_grad_enabled():
            # A second derivative is wanted: differentiate the definition instead.
            inputs = [value for value in (x, weight, bias) if value.requires_grad]
            outputs = _definition(x, weight, bias, None, ctx.eps)
            found = iter(torch.autograd.grad(outputs, inputs, gradients[:3], create_graph=True))
            return (*[next(found) if value.requires_grad else None for value in (x, weight, bias)], None)

        root = torch.rsqrt(variance + ctx.eps)
        scale = weight * root
        through = torch.where(output > 0, gradients[0], 0)
        to_shift = through.sum((2, 3)).sum(0)
        products = zip(through.split(_piece(through)), pooled.split(_piece(through)), strict=True)
        to_scale = torch.stack([(left * right).sum((0, 2, 3)) for left, right in products]).sum(0) - mean * to_shift
        to_variance = gradients[2] - 0.5 * to_scale * scale * root.square()
        to_mean = gradients[1] - scale * to_shift

        values = x.numel() // x.shape[1]
        slope = (2 * to_variance / values).view(-1, 1, 1)
        offset = (to_mean / values).view(-1, 1, 1) - slope * mean.view(-1, 1, 1)
        to_x = torch.empty_like(x)
        for part, part_x, part_places, part_to_x in zip(
            *[whole.split(_piece(x)) for whole in (through, x, places, to_x)], strict=True
        ):
            spread = torch.ops.aten.max_pool2d_with_indices_backward(
                part * scale.view(-1, 1, 1), part_x, [2, 2], [2, 2], [0, 0], [1, 1], False, part_places
            )
            torch.add(spread.addcmul_(part_x, slope), offset, out=part_to_x)
        return to_x, to_scale * root, to_shift, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        def definition(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return _definition(x, weight, bias, None, inputs[3])

        mapped = torch.vmap(definition, in_dims=in_dims[:3])(*inputs[:3])
        nothing = torch.empty(0)
        return (*mapped, nothing, nothing), (0, 0, 0, None, None)
