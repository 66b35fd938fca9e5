"""Group normalisation that can be differentiated for some of its inputs alone, twice, and under `vmap`.

Axis letters: N examples, F features, G groups.
"""

from typing import Any

import torch
from torch import Tensor, nn

from metaprior.nets import pieces

__all__ = ["GroupNorm"]


class GroupNorm(nn.GroupNorm):
    """Normalisation of groups of features of an example, `(N, F)` or `(N, F, H, W)`.

    Takes the arguments of `torch.nn.GroupNorm`.

    Source: Wu and He 2018 (arXiv 1803.08494). Differs from torch's own (2.13, on a CPU), which in channels-last layout
    knows no `vmap`, and crashes the process where weight and bias need a gradient and the input does not.

    Example:
        >>> GroupNorm(2, 4)(torch.arange(4.0)[None])
        tensor([[-1.0000,  1.0000, -1.0000,  1.0000]], grad_fn=<_GroupNormBackward>)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(N, F, ...)`, group by group."""
        inputs = (x, self.weight, self.bias, self.num_groups, self.eps)
        if not pieces.by_hand(x):
            return _group_norm(*inputs)
        return _GroupNorm.apply(*inputs) if torch.is_grad_enabled() else _normalised(*inputs)[0]


def _group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    variance, mean = torch.var_mean(x.unflatten(1, (groups, -1)).flatten(2), -1, correction=0, keepdim=True)
    each = x.shape[1] // groups
    scale = torch.rsqrt(variance + eps).repeat_interleave(each, dim=1).squeeze(-1) * weight
    shift = bias - mean.repeat_interleave(each, dim=1).squeeze(-1) * scale
    across = (*scale.shape, *[1] * (x.ndim - 2))
    return torch.addcmul(shift.view(across), x, scale.view(across))


def _layout(x: Tensor) -> torch.memory_format:
    """Return the layout of the input, which what follows must have too; torch does not check it."""
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _sizes(x: Tensor, groups: int) -> tuple[int, int, int, int]:
    return x.shape[0], x.shape[1], x[0, 0].numel(), groups


def _normalised(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, and the mean and the inverse of the deviation of each group."""
    x = x.contiguous(memory_format=_layout(x))
    return torch.ops.aten.native_group_norm(x, weight, bias, *_sizes(x, groups), eps)


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        output, mean, inverse = _normalised(x, weight, bias, groups, eps)
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        ctx.rest = groups, eps
        return output

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *pieces.differentiate(_group_norm, (x, weight, bias), ctx.rest, outer), None, None
        layout = _layout(x)
        outer, x = outer.contiguous(memory_format=layout), x.contiguous(memory_format=layout)
        # All three are asked for, needed or not.
        how = (*_sizes(x, ctx.rest[0]), [True, True, True])
        gradients = torch.ops.aten.native_group_norm_backward(outer, x, mean, inverse, weight, *how)
        return *gradients, None, None
