"""Ordinary training on the examples of each task, for the controls.

Axis letters: T tasks, N support.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from metaprior.nets import apply_per_task, best_chunk
from metaprior.nets.norm import Statistics
from metaprior.tasks.episode import Examples
from metaprior.tasks.scores import task_losses
from metaprior.tree import tensors

__all__ = ["tune", "tune_chunk"]

_VALUES = 80_000
"""Input values that are trained on together; beyond that, convolutions of many tasks side by side gain nothing."""


def tune_chunk(net: nn.Module, examples: Examples) -> int | None:
    """Return how many tasks to train side by side; None for all of them.

    Unlike one step of a gradient-based prior, many steps on the few images of one task are mostly overhead.

    Example:
        >>> tune_chunk(nn.Conv2d(1, 4, 3), Examples(torch.zeros(50, 5, 1, 28, 28)))
        20
    """
    return best_chunk(net) and max(1, _VALUES // tensors(examples.x)[0][0].numel())


def tune(
    net: nn.Module,
    weights: dict[str, Tensor],
    examples: Examples,
    steps: int,
    learning_rate: float,
    running: bool = False,
    penalty: Callable[[dict[str, Tensor]], Tensor] | None = None,
) -> tuple[dict[str, Tensor], Statistics]:
    """Train the weights of each task with Adam on all of its examples at each step.

    Args:
        net: from `(N, *x)` to logits or values.
        weights: each `(T, *shape)`; they are left as they were.
        examples: `x` is `(T, N, *x)`.
        steps: of Adam.
        learning_rate: of Adam.
        running: let batch norms use their running averages instead of the statistics of the examples.
        penalty: from weights to what to add to the loss of each task, `(T,)`.

    Returns:
        The trained weights, and the batch statistics of the examples under them (none if `running`).

    Example:
        >>> net = nn.Linear(1, 1)
        >>> weights = {name: p[None] for name, p in net.named_parameters()}
        >>> x = torch.linspace(-1, 1, 8)[None, :, None]
        >>> tuned, _ = tune(net, weights, Examples(x, 2 * x), steps=400, learning_rate=0.05)
        >>> round(tuned["weight"].item(), 2)
        2.0
    """
    # Adam treats every number on its own, so that training all tasks side by side trains each as if it were alone.
    tuned = {name: weight.detach().clone(memory_format=torch.preserve_format) for name, weight in weights.items()}
    mode: Literal["running"] | None = "running" if running else None
    with torch.enable_grad():
        for weight in tuned.values():
            weight.requires_grad_()
        adam = torch.optim.Adam(list(tuned.values()), lr=learning_rate, fused=True)
        for _ in range(steps):
            adam.zero_grad()
            prediction, _ = apply_per_task(net, tuned, examples.x, mode, examples.mask)
            losses = task_losses(prediction, examples)
            if penalty is not None:
                losses = losses + penalty(tuned)
            losses.sum().backward(inputs=list(tuned.values()))
            adam.step()
    tuned = {name: weight.detach() for name, weight in tuned.items()}
    with torch.no_grad():
        return tuned, apply_per_task(net, tuned, examples.x, mode, examples.mask)[1]
