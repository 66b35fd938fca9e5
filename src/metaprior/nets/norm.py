"""Batch normalisation that adapts: accurate, right under second-order differentiation, and honest about its batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.nets.convolve_pool import convolve_pool, sees_few
from metaprior.nets.group_norm import GroupNorm
from metaprior.nets.moments import moments, patch_moments
from metaprior.nets.normalise_pool import normalise_pool, scale_rectify

__all__ = [
    "BatchNorm",
    "Norm",
    "Statistics",
    "builtin_norms",
    "norm_layer",
    "replace_builtin_norms",
    "seen_moments",
    "sees_batch",
    "task_statistics",
]

Statistics = tuple[tuple[Tensor, Tensor], ...]
"""Mean and variance, each `(F,)`, that every batch normalisation of a network saw, in the order of the forward pass."""

Norm = Literal["batch", "group", "layer", "none"]


class _Frame:
    def __init__(self, given: Statistics | Literal["running"] | None, mask: Tensor | None):
        self.running = given == "running"
        self.given = None if given is None or given == "running" else iter(given)
        self.mask = mask
        self.seen: list[tuple[Tensor, Tensor]] = []


_frame: ContextVar[_Frame | None] = ContextVar("frame", default=None)


@contextmanager
def task_statistics(
    given: Statistics | Literal["running"] | None = None, mask: Tensor | None = None
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Inside, every `BatchNorm` normalises one task's batch by that batch, or by the statistics given.

    So does whatever else asks `seen_moments`.

    Args:
        given: statistics recorded earlier, to normalise by; "running" for the running averages, which stay as they are;
            None to use those of the batch itself.
        mask: `(N,)`, True where an example is real; padding has no part in the statistics.

    Yields:
        A list that fills with the statistics used.

    Example:
        >>> norm = BatchNorm(2)
        >>> with task_statistics() as seen:
        ...     output = norm(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> seen[0][0]
        tensor([1., 1.])
    """
    frame = _Frame(given, mask)
    token = _frame.set(frame)
    try:
        yield frame.seen
    finally:
        _frame.reset(token)


def seen_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance, each `(F,)`, of a batch `(N, F, ...)`; inside `task_statistics`, as a `BatchNorm` does.

    For modules other than norms that depend on the whole batch: let them have an attribute `sees_batch = True`, so that
    the statistics of the support are kept for the queries.

    Example:
        >>> with task_statistics() as seen:
        ...     mean, variance = seen_moments(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        >>> with task_statistics(tuple(seen)):
        ...     seen_moments(torch.tensor([[9.0, 9.0]]))[0]
        tensor([1., 1.])
    """
    frame = _frame.get()
    given = None if frame is None or frame.given is None else next(frame.given)
    mean, variance = moments(x, None if frame is None else frame.mask) if given is None else given
    if frame is not None:
        frame.seen.append((mean, variance))
    return mean, variance


def sees_batch(net: nn.Module) -> bool:
    """Whether what a network computes for an example depends on the others of its batch, as a `BatchNorm` makes it."""
    return any(getattr(module, "sees_batch", False) for module in net.modules())


class BatchNorm(nn.Module):
    """Batch normalisation of vectors `(N, F)` or maps `(N, F, H, W)`.

    Inside `task_statistics` it uses the statistics of one task. Outside, it behaves as torch's own does: batch
    statistics in training mode, running averages in evaluation mode.

    Args:
        features: F.
        eps: added to the variance.
        momentum: the weight of a new batch in the running averages.

    Source: Ioffe and Szegedy 2015 (arXiv 1502.03167). Differs from `torch.nn.BatchNorm2d`: sums are accurate
    and second derivatives right. On a CPU the built-in one loses three digits in channels-last layout, and under `vmap`
    its second derivatives are wrong without any warning, as are its third ones anywhere.

    Example:
        >>> BatchNorm(3)(torch.zeros(4, 3, 5, 5)).shape
        torch.Size([4, 3, 5, 5])
    """

    sees_batch = True
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.features = features
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(N, F)` or `(N, F, H, W)`, feature by feature."""
        given, mask = self._sources()
        mean, variance = moments(x, mask) if given is None else given
        self._record(mean, variance, given is None)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        across = (-1, *[1] * (x.ndim - 2))
        return (x - mean.view(across)) * scale.view(across) + self.bias.view(across)

    def after(self, convolution: nn.Conv2d, x: Tensor) -> Tensor:
        """Convolve, normalise, pool 2x2 by maximum and rectify: what `forward` in between would give, but faster.

        Args:
            convolution: without a bias, which a normalisation would undo.
            x: `(N, features before, H, W)`.

        Returns:
            `(N, F, H // 2, W // 2)`.
        """
        given, mask = self._sources()
        few = sees_few(convolution, x)
        if given is None and not few:
            maps = convolution._conv_forward(x, convolution.weight, None)
            output, mean, variance = normalise_pool(maps, self.weight, self.bias, self.eps, mask)
            self._record(mean, variance, True)
            return output
        # Pooling may come before a scale that is not negative; the sign of one that is goes into the convolution.
        sign = torch.where(self.weight.detach() < 0, -1.0, 1.0).to(x.dtype)
        kernel = convolution.weight * sign.view(-1, 1, 1, 1)
        given = given and (given[0] * sign, given[1])
        if few:
            pooled = convolve_pool(convolution, kernel, x)
            mean, variance = given or patch_moments(convolution, kernel, x, mask)
        else:
            assert given is not None
            pooled = functional.max_pool2d(convolution._conv_forward(x, kernel, None), 2)
            mean, variance = given
        self._record(mean * sign, variance, given is None)
        return scale_rectify(pooled, mean, variance, self.weight * sign, self.bias, self.eps)

    def _sources(self) -> tuple[tuple[Tensor, Tensor] | None, Tensor | None]:
        """Return the statistics to normalise by, None for those of the batch, and the mask of the batch."""
        frame = _frame.get()
        if frame is not None and not frame.running:
            return (None if frame.given is None else next(frame.given)), frame.mask
        batch = self.training and frame is None
        return (None if batch else (self.running_mean, self.running_var)), None

    def _record(self, mean: Tensor, variance: Tensor, of_batch: bool) -> None:
        frame = _frame.get()
        if frame is not None:
            frame.seen.append((mean, variance))
        elif of_batch:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)

    def extra_repr(self) -> str:
        """Show the number of features."""
        return str(self.features)


def norm_layer(norm: Norm, features: int) -> nn.Module:
    """Return a normalisation of F features: batch, group (of at most 8 features each), layer, or none."""
    if norm == "batch":
        return BatchNorm(features)
    if norm == "layer":
        return GroupNorm(1, features)
    if norm == "group":
        return GroupNorm(max(1, features // 8), features)
    return nn.Identity()


def builtin_norms(net: nn.Module) -> list[str]:
    """Return the names of torch's own batch and instance norms in a network.

    Example:
        >>> builtin_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
        ['1']
    """
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return [name for name, module in net.named_modules() if isinstance(module, kinds)]


def replace_builtin_norms(net: nn.Module) -> nn.Module:
    """Replace torch's own batch norms in a network by `BatchNorm`, weights and running averages kept, in place.

    Returns:
        The same network.

    Example:
        >>> replace_builtin_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))[1]
        BatchNorm(2)
    """
    for parent in list(net.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                norm = BatchNorm(module.num_features, module.eps, module.momentum or 0.1)
                norm.load_state_dict(module.state_dict(), strict=False)
                setattr(parent, name, norm.train(module.training))
    return net
