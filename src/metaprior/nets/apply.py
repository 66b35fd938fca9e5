"""Run a network over the examples of many tasks: with the same weights for all, or with weights of each task's own.

Axis letters: T tasks, N examples, F outputs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from torch import Tensor, nn
from torch.func import functional_call, vmap

from metaprior.allocator import keep_some_memory
from metaprior.nets.layout import channels_last
from metaprior.nets.norm import Statistics, task_statistics
from metaprior.tree import Tree, map_tensors, tensors

__all__ = ["apply", "apply_per_task", "best_chunk", "has_convolutions", "padding"]


def has_convolutions(net: nn.Module) -> bool:
    """Whether a network holds a two-dimensional convolution."""
    return any(isinstance(module, nn.Conv2d) for module in net.modules())


def best_chunk(net: nn.Module) -> int | None:
    """Return how many tasks with weights of their own to compute at once: 1, or None for all of them.

    Convolutions on a CPU are faster, and take a fraction of the memory, one task at a time; small matrices are several
    times faster together.
    """
    parameter = next(net.parameters(), None)
    return 1 if parameter is not None and parameter.device.type == "cpu" and has_convolutions(net) else None


def _suited(net: nn.Module, x: Tree) -> Tree:
    """Lay images out as CPU convolutions want them, and leave out the places that no sequence fills."""
    trimmed = getattr(net, "trimmed", None)
    if trimmed is not None:
        return trimmed(x)
    if not has_convolutions(net):
        return x
    return map_tensors(lambda leaf: channels_last(leaf) if leaf.ndim >= 5 and leaf.device.type == "cpu" else leaf, x)


_padded: ContextVar[tuple[Tree, Tensor | None] | None] = ContextVar("padded", default=None)


@contextmanager
def padding(x: Tree, mask: Tensor | None) -> Iterator[None]:
    """Inside, `apply` knows which of some inputs are padding, for methods that are told no mask, such as `predict`.

    Args:
        x: `(T, N, *x)`, the very object that will be passed on.
        mask: `(T, N)`, True where an example is real; None if all are.
    """
    token = _padded.set((x, mask))
    try:
        yield
    finally:
        _padded.reset(token)


def apply(net: nn.Module, x: Tree, mask: Tensor | None = None) -> Tensor:
    """Run a network with one set of weights over the examples of all tasks, in one batch.

    Args:
        net: from `(N, *x)` to `(N, F)`.
        x: `(T, N, *x)`.
        mask: `(T, N)`, True where an example is real; padding has no part in what the network computes of a batch.

    Returns:
        `(T, N, F)`, zero for padding.

    Example:
        >>> import torch
        >>> apply(nn.Linear(3, 2), torch.zeros(4, 5, 3)).shape
        torch.Size([4, 5, 2])
    """
    tasks, size = tensors(x)[0].shape[:2]
    known = _padded.get()
    if mask is None and known is not None and known[0] is x:
        mask = known[1]
    flat = map_tensors(lambda leaf: leaf.flatten(0, 1), _suited(net, x))
    if mask is None or bool(mask.all()):
        return net(flat).unflatten(0, (tasks, size))
    real = mask.flatten().nonzero().flatten()
    output = net(map_tensors(lambda leaf: leaf[real], flat))
    return output.new_zeros(tasks * size, *output.shape[1:]).index_copy(0, real, output).unflatten(0, (tasks, size))


def apply_per_task(
    net: nn.Module,
    weights: dict[str, Tensor],
    x: Tree,
    statistics: Statistics | Literal["running"] | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Statistics]:
    """Run a network over the examples of each task with that task's own weights.

    Args:
        net: from `(N, *x)` to `(N, F)`.
        weights: the parameters that differ by task, each `(T, *shape)`, by their names in the network.
        x: `(T, N, *x)`.
        statistics: mean and variance, each `(T, F)`, for every `BatchNorm` to normalise by; None to use those of `x`;
            "running" for the network's running averages, which stay as they are.
        mask: `(T, N)`, True where an example is real.

    Returns:
        Outputs `(T, N, F)`, and the statistics that were used.

    Example:
        >>> import torch
        >>> net = nn.Linear(3, 2)
        >>> weights = {name: p.expand(4, *p.shape) for name, p in net.named_parameters()}
        >>> apply_per_task(net, weights, torch.zeros(4, 5, 3))[0].shape
        torch.Size([4, 5, 2])
    """
    running: Literal["running"] | None = "running" if statistics == "running" else None
    given = None if statistics == "running" else statistics

    def run(
        weights: dict[str, Tensor], x: Tree, statistics: Statistics | None, mask: Tensor | None
    ) -> tuple[Tensor, Statistics]:
        with task_statistics(running or statistics, mask) as seen:
            return functional_call(net, weights, (x,)), () if running else tuple(seen)

    x = _suited(net, x)
    arguments = (weights, x, given, mask)
    if tensors(x)[0].shape[0] == 1:
        # One task needs no vmap, under which convolutions are slower and take several times the memory.
        # The gradient of `squeeze` is a view; that of `leaf[0]` would be a copy.
        alone = {name: weight.squeeze(0) for name, weight in weights.items()}
        output, seen = run(alone, *map_tensors(lambda leaf: leaf.squeeze(0), arguments[1:]))
        return output[None], tuple((mean[None], variance[None]) for mean, variance in seen)
    keep_some_memory()
    present = tuple(None if part is None else 0 for part in arguments)
    return vmap(run, in_dims=present, randomness="different")(*arguments)
