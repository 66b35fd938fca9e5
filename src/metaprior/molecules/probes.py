"""Probes: small models in closed form, or nearly so, from the features of a task's support to predictions.

Each is a pure function of features, targets and queries, computed for all tasks at once.

Axis letters: T tasks, N support, Q query, F features, C classes, D target features.
"""

import math

import torch
from torch import Tensor

__all__ = ["logistic", "quadratic", "ridge"]

_NEWTON_STEPS = 20
_NOISES = torch.logspace(-2, 1, 13, dtype=torch.float64)
"""The shares of noise to signal that the ridge chooses from."""
_ODDS = 2.0
"""How much more evidence, in nats, another scale of features must have than the one that is expected."""


def logistic(features: Tensor, targets: Tensor, real: Tensor, queries: Tensor, moderate: bool = True) -> Tensor:
    """Return logits `(T, Q, C)` of a penalised logistic regression; of one class against the rest if C is not 2.

    Args:
        features: `(T, N, F)`; half the squared length of the weights is the penalty.
        targets: `(T, N, C)`, ones and zeros.
        real: `(T, N)`, 0 for padding.
        queries: `(T, Q, F)`.
        moderate: divide a logit z of variance v by sqrt(1 + pi v / 8), v by Laplace's approximation.

    Source: Newton's method in the space of examples, Rasmussen & Williams 2006, algorithms 3.1 and 3.2, with the kernel
    of a linear model; moderation is MacKay 1992, "The evidence framework applied to classification networks".

    Example:
        >>> x, y = torch.tensor([[[-1.0], [2.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> logistic(x, y, torch.ones(1, 2), x).argmax(-1)
        tensor([[0, 1]])
    """
    if targets.shape[-1] != 2:
        each = [
            logistic(features, torch.stack([1 - target, target], -1) * real[..., None], real, queries, moderate)[..., 1]
            for target in targets.unbind(-1)
        ]
        return 2 * torch.stack(each, dim=-1)
    if features.shape[1] == 0:
        return queries.new_zeros(*queries.shape[:2], 2)
    length = features.square().sum(-1).amax(1)[:, None, None].clamp(min=1)
    # A constant feature as long as the others is an intercept that is hardly penalised beside them.
    kernel = (features @ features.transpose(1, 2) + length) * real[:, :, None] * real[:, None]
    label = targets[..., 1]
    latent = torch.zeros_like(label)
    for _ in range(_NEWTON_STEPS):
        probability = latent.sigmoid()
        weight = probability * (1 - probability) * real
        root = weight.sqrt()
        factor = _factor(kernel, root)
        step = weight * latent + (label - probability) * real
        dual = step - root * _solved(factor, root * _times(kernel, step))
        latent = _times(kernel, dual)
    across = features @ queries.transpose(1, 2) + length
    across = across * real[..., None]
    mean = (dual[:, None] @ across).squeeze(1)
    if moderate:
        inner = torch.linalg.solve_triangular(factor, root[..., None] * across, upper=False)
        variance = queries.square().sum(-1) + length[..., 0] - inner.square().sum(1)
        mean = mean / (1 + math.pi / 8 * variance.clamp(min=0)).sqrt()
    return torch.stack([-mean / 2, mean / 2], dim=-1)


def quadratic(features: Tensor, targets: Tensor, real: Tensor, queries: Tensor) -> Tensor:
    """Return logits `(T, Q, C)`: minus half the squared Mahalanobis distance to each class.

    The covariance of a class of n examples is n / (n + 1) of its own and the rest of all classes together, plus the
    mean variance of a feature on the diagonal.

    Takes what `logistic` does.

    Source: Bateni et al. 2020 (Simple CNAPS, arXiv 1912.03432), eq. 2. Differs: their diagonal is 1, which asks for
    features of a certain scale.

    Example:
        >>> x, y = torch.tensor([[[-1.0], [2.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> quadratic(x, y, torch.ones(1, 2), x).argmax(-1)
        tensor([[0, 1]])
    """
    if features.shape[1] == 0:
        return queries.new_zeros(*queries.shape[:2], targets.shape[-1])
    counts = targets.sum(1)
    total = real.sum(1)[:, None, None].clamp(min=1)
    means = targets.transpose(1, 2) @ features / counts.clamp(min=1)[..., None]
    overall = (features * real[..., None]).sum(1, keepdim=True) / total
    centred = (features - overall) * real[..., None]
    shared = centred.transpose(1, 2) @ centred / total
    ridge_ = torch.eye(features.shape[-1], dtype=features.dtype, device=features.device)
    ridge_ = ridge_ * shared.diagonal(dim1=1, dim2=2).mean(1)[:, None, None].clamp(min=1e-6)
    logits = []
    for label, (count, mean) in enumerate(zip(counts.unbind(-1), means.unbind(1), strict=True)):
        own = (features - mean[:, None]) * targets[..., label, None]
        weight = (count / (count + 1))[:, None, None]
        covariance = weight * (own.transpose(1, 2) @ own / count.clamp(min=1)[:, None, None]) + (1 - weight) * shared
        factor = torch.linalg.cholesky(covariance + ridge_)
        away = torch.linalg.solve_triangular(factor, (queries - mean[:, None]).transpose(1, 2), upper=False)
        logits.append(-0.5 * away.square().sum(1))
    stacked = torch.stack(logits, dim=-1)
    return stacked.where((counts > 0)[:, None], stacked.amin(-1, keepdim=True) - 1e4)


def ridge(
    features: Tensor, targets: Tensor, real: Tensor, queries: Tensor, scales: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return values `(T, Q, D)` of a ridge regression with an intercept, its penalty chosen for each task by evidence.

    With them comes the variance `(T, Q, D)` of what will be measured: of the weights, and of the noise.

    Args:
        features: `(T, N, F)`.
        targets: `(T, N, D)`.
        real: `(T, N)`, 0 for padding.
        queries: `(T, Q, F)`.
        scales: `(G, F)`, factors of the features to choose from for each task: the first, unless the evidence for
            another is greater by 2 nats.

    Source: the evidence of a linear model with Gaussian noise, MacKay 1992, "Bayesian interpolation", on a grid of
    ratios of noise to signal; the signal has its best variance for each.

    Example:
        >>> x = torch.tensor([[[0.0], [1.0], [2.0], [3.0]]])
        >>> ridge(x, 2 * x, torch.ones(1, 4), torch.tensor([[[4.0]]]))[0].round(decimals=1)
        tensor([[[8.]]])
    """
    if features.shape[1] == 0:
        nothing = queries.new_zeros(*queries.shape[:2], targets.shape[-1])
        return nothing, nothing + 1
    if scales is None:
        return _ridge(features, targets, real, queries)[:2]
    fitted = [_ridge(features * scale, targets, real, queries * scale) for scale in scales]
    evidence = torch.stack([own for _, _, own in fitted])
    evidence[1:] -= _ODDS
    best, task = evidence.argmax(0), torch.arange(len(features), device=features.device)
    means, variances, _ = (torch.stack(part) for part in zip(*fitted, strict=True))
    return means[best, task], variances[best, task]


def _ridge(features: Tensor, targets: Tensor, real: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return values and variances as `ridge` does, and the logarithm of the evidence `(T,)`."""
    total = real.sum(1)[:, None, None].clamp(min=1)
    mean = (features * real[..., None]).sum(1, keepdim=True) / total
    offset = (targets * real[..., None]).sum(1, keepdim=True) / total
    x = (features - mean) * real[..., None]
    y = (targets - offset) * real[..., None]
    scale = x.square().sum((1, 2), keepdim=True) / total
    scale = scale.clamp(min=1e-12)
    kernel = x @ x.transpose(1, 2) / scale
    values, vectors = torch.linalg.eigh(kernel)
    rotated = vectors.transpose(1, 2) @ y
    noises = _NOISES.to(y)
    spectrum = values.clamp(min=0)[:, None] + noises[:, None]
    # Padding and the mean that was taken away leave directions without any targets: the first, as values ascend.
    outputs, size = targets.shape[-1], (real.sum(1)[:, None] - 1).clamp(min=1)
    used = torch.arange(x.shape[1], device=x.device) >= x.shape[1] - size
    explained = (rotated.square().sum(-1)[:, None] / spectrum).sum(-1).clamp(min=1e-12)
    each = size * (explained / (size * outputs)).log() + (spectrum.log() * used[:, None]).sum(-1)
    evidence = -0.5 * outputs * each
    best, chosen = evidence.max(-1, keepdim=True)
    noise = noises[chosen][..., None]
    shrunk = values.clamp(min=0)[..., None] + noise
    asked = queries - mean
    across = asked @ x.transpose(1, 2) / scale
    signal = ((rotated.square() / shrunk).sum(1, keepdim=True) / size[..., None]).clamp(min=1e-12)
    rotated_across = across @ vectors
    left = asked.square().sum(-1, keepdim=True) / scale - (rotated_across.square() / shrunk.transpose(1, 2)).sum(
        -1, True
    )
    predicted = across @ (vectors @ (rotated / shrunk)) + offset
    return predicted, signal * (left.clamp(min=0) + noise), best[:, 0]


def _factor(kernel: Tensor, root: Tensor) -> Tensor:
    """Return the Cholesky factor of 1 + root kernel root."""
    inner = root[:, :, None] * kernel * root[:, None]
    return torch.linalg.cholesky(inner + torch.eye(kernel.shape[1], dtype=kernel.dtype, device=kernel.device))


def _solved(factor: Tensor, right: Tensor) -> Tensor:
    return torch.cholesky_solve(right[..., None], factor).squeeze(-1)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None]).squeeze(-1)
