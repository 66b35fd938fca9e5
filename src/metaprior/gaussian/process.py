"""Exact Gaussian-process regression of many tasks at once, padding left out.

Axis letters: T tasks, N support, Q query, K targets, each of them a process of its own with the same covariance.
"""

import math

import torch
from torch import Tensor

__all__ = ["condition", "evidence"]

_ROUNDING = 1e3
"""By how many units of rounding of its mean a variance is raised."""


def evidence(covariance: Tensor, noise: Tensor, targets: Tensor, real: Tensor) -> Tensor:
    """Return the logarithm of the density of the targets of each task, a mean over targets: `(T,)`.

    Args:
        covariance: `(T, N, N)`, without noise.
        noise: `(T,)` or `(1,)`, its variance.
        targets: `(T, N, K)`, zero for padding.
        real: `(T, N)`, 0 for padding.

    Source: Rasmussen & Williams 2006, eq. 2.30.

    Example:
        >>> evidence(torch.zeros(1, 1, 1), torch.ones(1), torch.zeros(1, 1, 1), torch.ones(1, 1))
        tensor([-0.9189])
    """
    factor = _factor(covariance, noise, real)
    inner = torch.linalg.solve_triangular(factor, targets, upper=False).square().sum(1).mean(-1)
    logarithm = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(-1)
    return -0.5 * (inner + logarithm + real.sum(1) * math.log(2 * math.pi))


def condition(
    covariance: Tensor, noise: Tensor, targets: Tensor, real: Tensor, across: Tensor, own: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean `(T, Q, K)` and variance `(T, Q, 1)` of the processes at queries, noise left out.

    Args:
        covariance: `(T, N, N)`, of what was seen, without noise.
        noise: `(T,)` or `(1,)`, its variance.
        targets: `(T, N, K)`, zero for padding.
        real: `(T, N)`, 0 for padding.
        across: `(T, N, Q)`, the covariance of what was seen and the queries.
        own: `(T, Q)`, the variance of each query before anything was seen.

    Source: Rasmussen & Williams 2006, algorithm 2.1.

    Example:
        >>> one = torch.ones(1, 1, 1)
        >>> mean, variance = condition(one, torch.ones(1), 4 * one, one[0], one, one[0])
        >>> round(float(mean), 3), round(float(variance), 3)
        (2.0, 0.5)
    """
    factor = _factor(covariance, noise, real)
    inner = torch.linalg.solve_triangular(factor, torch.cat([across * real[..., None], targets], dim=2), upper=False)
    left, right = inner.split([across.shape[2], targets.shape[2]], dim=2)
    return left.mT @ right, (own - left.square().sum(1)).clamp(min=0)[..., None]


def _factor(covariance: Tensor, noise: Tensor, real: Tensor) -> Tensor:
    """Return the Cholesky factor of the covariance of what is measured; padding is independent and of variance 1."""
    own = covariance.detach().diagonal(dim1=1, dim2=2) * real
    # What rounding takes away from the variances, so that rows that are all alike can be factorised.
    rounding = (
        _ROUNDING * torch.finfo(own.dtype).eps * own.sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
    )
    diagonal = (noise[:, None] + rounding) * real + (1 - real)
    return torch.linalg.cholesky(covariance * real[:, :, None] * real[:, None] + torch.diag_embed(diagonal))
