"""Normalise, pool and rectify the maps of a convolution, with first and second derivatives written by hand.

Left to automatic differentiation, the dozens of tiny operations of a normalisation and of its two derivatives take as
long as the convolutions of a small task.

Axis letters: N examples, F features, H and W places.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.nets import pieces
from metaprior.nets.moments import moments

__all__ = ["normalise_pool", "scale_rectify"]


def normalise_pool(
    maps: Tensor, weight: Tensor, bias: Tensor, eps: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each feature by its own moments, scale and shift it, pool 2x2 by maximum and rectify.

    Args:
        maps: `(N, F, H, W)`.
        weight: the scale, `(F,)`.
        bias: the shift, `(F,)`.
        eps: added to the variance.
        mask: `(N,)`, True where an example is real; None where all are.

    Returns:
        `(N, F, H // 2, W // 2)`, and the mean and variance `(F,)` that the maps had.

    Example:
        >>> maps = torch.tensor([[[[1.0, 1.0], [1.0, 5.0]]]])
        >>> normalise_pool(maps, torch.ones(1), torch.zeros(1), eps=1.0)
        (tensor([[[[1.5000]]]]), tensor([2.]), tensor([3.]))
    """
    if mask is None and pieces.by_hand(maps):
        return _NormalisePool.apply(maps, weight, bias, eps)
    return _normalise_pool(maps, weight, bias, eps, mask)


def _normalise_pool(
    maps: Tensor, weight: Tensor, bias: Tensor, eps: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    mean, variance = moments(maps, mask)
    scale = weight * torch.rsqrt(variance + eps)
    scaled = torch.addcmul(_across(bias - mean * scale), maps, _across(scale))
    return functional.max_pool2d(scaled, 2).relu(), mean, variance


def scale_rectify(pooled: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Normalise maps `(N, F, H, W)` by given statistics, scale, shift and rectify; all other tensors are `(F,)`.

    Example:
        >>> one = torch.ones(1)
        >>> scale_rectify(torch.tensor([[[[0.0, 4.0]]]]), one, one, 2 * one, one, eps=3.0)
        tensor([[[[0., 4.]]]])
    """
    definition = _ScaleRectify.apply if pieces.by_hand(pooled) else _scale_rectify
    return definition(pooled, mean, variance, weight, bias, eps)


def _scale_rectify(pooled: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    scale = weight * torch.rsqrt(variance + eps)
    return torch.addcmul(_across(bias - mean * scale), pooled, _across(scale)).relu()


class _ScaleRectify(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, pooled: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        rectified = functional.batch_norm(pooled, mean, variance, weight, bias, eps=eps).relu_()
        ctx.save_for_backward(pooled, mean, variance, weight, bias, rectified)
        ctx.eps = eps
        return rectified

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, rectified = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *pieces.differentiate(_scale_rectify, tuple(inputs), (ctx.eps,), outer), None
        pooled, mean, variance, weight, _ = inputs
        inverse = torch.rsqrt(variance + ctx.eps)
        scale = weight * inverse
        centre, across = _across(mean), _across(scale)
        to_pooled = torch.empty_like(pooled)
        totals = []
        for part, values, output, to_part in pieces.split(pooled, outer, pooled, rectified, to_pooled):
            passed = _where_open(part, output)
            torch.mul(passed, across, out=to_part)
            totals.append((_total(passed), _total(passed.mul_(values - centre))))
        to_bias, first = (torch.stack(values).sum(0) for values in zip(*totals, strict=True))
        to_weight = inverse * first
        return to_pooled, -scale * to_bias, -0.5 * scale * inverse * to_weight, to_weight, to_bias, None


def _across(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1)


def _total(maps: Tensor) -> Tensor:
    return maps.sum((0, 2, 3))


class _NormalisePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        mean = maps.mean((0, 2, 3))
        centre = _across(mean)
        squares = [_total((part - centre).square_()) for (part,) in pieces.split(maps, maps)]
        variance = (squares[0] if len(squares) == 1 else torch.stack(squares).sum(0)) / (maps.numel() // len(mean))
        # Pooling may come before a scale that is not negative.
        sign = None if weight.min().item() >= 0 else _across(torch.where(weight < 0, -1, 1))
        pooled, places = functional.max_pool2d(maps if sign is None else maps * sign, 2, return_indices=True)
        pooled = pooled if sign is None else pooled * sign
        rectified = functional.batch_norm(pooled, mean, variance, weight, bias, eps=eps).relu_()
        inverse = torch.rsqrt(variance + eps)
        ctx.save_for_backward(maps, weight, bias, rectified, mean, inverse, pooled, places)
        ctx.set_materialize_grads(False)
        ctx.eps = eps
        return rectified, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        maps, weight, bias, rectified, mean, inverse, pooled, places = ctx.saved_tensors
        output = (rectified, mean, inverse, pooled, places)
        outer, to_mean, to_variance = gradients
        if outer is None:
            outer = torch.zeros_like(rectified)
        if not torch.is_grad_enabled():
            return *_gradient(outer, maps, weight, *output, to_mean, to_variance), None
        if to_mean is None and to_variance is None:
            detached = [value.detach() for value in output]
            return *_Gradient.apply(outer, maps, weight, bias, ctx.eps, *detached), None
        nothing = torch.zeros_like(weight)
        filled = [outer, *[nothing if gradient is None else gradient for gradient in (to_mean, to_variance)]]
        return *pieces.differentiate(_normalise_pool, (maps, weight, bias), (ctx.eps,), filled), None


def _gradient(
    outer: Tensor,
    maps: Tensor,
    weight: Tensor,
    rectified: Tensor,
    mean: Tensor,
    inverse: Tensor,
    pooled: Tensor,
    places: Tensor,
    to_mean: Tensor | None = None,
    to_variance: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    count = maps.numel() // len(mean)
    scale = weight * inverse
    passed = _where_open(outer, rectified)
    to_bias = _total(passed)
    to_weight = inverse * _total(passed * (pooled - _across(mean)))
    slope = scale * inverse * to_weight / -count
    offset = scale * to_bias / -count
    if to_mean is not None:
        offset = offset + to_mean / count
    if to_variance is not None:
        slope = slope + 2 * to_variance / count
    offset = _across(torch.addcmul(offset, slope, mean, value=-1))
    slope = _across(slope)
    passed = passed * _across(scale)
    to_maps = torch.empty_like(maps)
    for gradient, part, part_places, to_part in pieces.split(maps, passed, maps, places, to_maps):
        torch.add(pieces.spread_maxima(gradient, part, part_places).addcmul_(part, slope), offset, out=to_part)
    return to_maps, to_weight, to_bias


def _where_open(values: Tensor, rectified: Tensor) -> Tensor:
    """Return the values where a rectifier let something pass, zero elsewhere."""
    return torch.ops.aten.threshold_backward(values, rectified, 0)


class _Gradient(torch.autograd.Function):
    """The derivative of `normalise_pool`, so that it can be differentiated once more."""

    @staticmethod
    def forward(
        ctx: Any, outer: Tensor, maps: Tensor, weight: Tensor, bias: Tensor, eps: float, *output: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(outer, maps, weight, bias, *output)
        ctx.eps = eps
        return _gradient(outer, maps, weight, *output)

    @staticmethod
    def backward(ctx: Any, *directions: Tensor) -> tuple[Tensor | None, ...]:
        outer, maps, weight, bias, rectified, mean, inverse, pooled, places = ctx.saved_tensors
        nothing = (None,) * 6
        if torch.is_grad_enabled():
            inputs = (outer, maps, weight, bias)
            return *pieces.differentiate(_defined_gradient, inputs, (ctx.eps,), directions), *nothing
        along_maps, along_weight, along_bias = directions
        count = maps.numel() // len(mean)
        centre = _across(mean)
        passed, above = _where_open(outer, rectified), pooled - centre
        along_pooled = along_maps.flatten(2).gather(2, places.flatten(2)).view_as(places)

        # The derivative times the directions is a function of these sums over examples and places.
        total, first, met = _total(passed), _total(passed * above), _total(passed * along_pooled)
        along_total, along_first = _total(along_maps), _total(along_maps * (maps - centre))
        cube = inverse**3 / count
        by_met = met - total * along_total / count
        by_first = along_weight * inverse - weight * cube * along_first
        by_along_first = -weight * cube * first
        by_inverse = weight * by_met + 3 * by_along_first * along_first / inverse + along_weight * first
        to_weight = inverse * by_met - cube * first * along_first

        slope = -cube * by_inverse
        offset = -(by_along_first * along_total + by_first * total) / count - slope * mean
        to_maps = pieces.spread_maxima(passed * _across(by_first), maps, places)
        to_maps.addcmul_(along_maps, _across(by_along_first)).addcmul_(maps, _across(slope)).add_(_across(offset))
        scale = weight * inverse
        to_outer = torch.addcmul(_across(along_bias - scale * along_total / count), along_pooled, _across(scale))
        return _where_open(to_outer.addcmul_(above, _across(by_first)), rectified), to_maps, to_weight, None, *nothing


def _defined_gradient(
    outer: Tensor, maps: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor | None, ...]:
    inputs = tuple(value if value.requires_grad else value.detach().requires_grad_() for value in (maps, weight, bias))
    return pieces.differentiate(lambda *given: _normalise_pool(*given)[:1], inputs, (eps,), (outer,))
