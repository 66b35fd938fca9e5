"""A cell with fast weights: a matrix that maps keys to what was told of them, corrected at every step.

Axis letters: T streams, S steps, F features, K numbers of feedback, W numbers of a key and of what is stored under it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.memory.cells import linear

__all__ = ["Fast", "FastWeights"]


class Fast(NamedTuple):
    """What the cell carries from step to step.

    Args:
        weights: `(T, W, W)`, from keys to values.
    """

    weights: Tensor


class FastWeights(nn.Module):
    """Store values under keys, in a matrix M: find `M k`, then add `b (v - M k) k'` to M.

    The key k, of length one, and the strength b, from 0 to 1, come from the features, the value v from the features
    and the feedback. What is found under a key gives the output; it is what the matrix held before the step, so that an
    example that is stored and one that is asked for go through a network in the same way. For maps the output is the
    same at every place.

    Args:
        shape: of what the cell takes and gives: `(F,)` or `(F, H, W)`.
        feedback: K; 0 for a cell that is told nothing.
        generator: of the initial weights.
        width: W.

    Raises:
        MetapriorError: if `width` is not positive.

    Source: Schlag et al. 2021, "Linear transformers are secretly fast weight programmers" (arXiv 2102.11174), eq. 23
    to 25, the delta rule of Widrow and Hoff. Differs: keys are not mapped to positive features, nor by a softmax.

    Example:
        >>> cell = FastWeights((8,), feedback=3, generator=torch.Generator().manual_seed(0))
        >>> outputs, carried = cell(torch.rand(2, 7, 8), cell.start(2), torch.zeros(2, 7, 3))
        >>> outputs.shape, carried.weights.shape
        (torch.Size([2, 7, 8]), torch.Size([2, 64, 64]))
    """

    def __init__(self, shape: tuple[int, ...], feedback: int, generator: torch.Generator, width: int = 64):
        super().__init__()
        check_positive(width=width)
        self.shape = shape
        self.width = width
        features = math.prod(shape)
        # A key, a value and a strength.
        self.from_input = linear(features, 2 * width + 1, generator)
        self.from_label = nn.Parameter(torch.randn(width, feedback, generator=generator)) if feedback else None
        self.output = linear(width, shape[0], generator)
        with torch.no_grad():
            # At first, what is stored is the label alone, and what is found does not disturb the network.
            self.from_input.weight[width:] = 0
            self.output.weight.zero_()
            self.from_input.bias[-1] = 1.0

    def start(self, tasks: int) -> Fast:
        """Return what is carried before the first step: zeros."""
        return Fast(self.output.bias.new_zeros(tasks, self.width, self.width))

    def forward(
        self, x: Tensor, carried: Fast, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Fast]:
        """Take S steps; see `Cell.forward`."""
        found, weights = self._take(x, carried, feedback, real)
        return self._shown(found, x), Fast(weights[-1])

    def trace(
        self, x: Tensor, carried: Fast, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Fast]:
        """Take S steps; see `Cell.trace`."""
        found, weights = self._take(x, carried, feedback, real)
        return self._shown(found, x), Fast(torch.stack(weights, dim=1))

    def _take(
        self, x: Tensor, carried: Fast, feedback: Tensor | None, real: Tensor | None
    ) -> tuple[Tensor, list[Tensor]]:
        keys, values, strengths = self.from_input(x.flatten(2)).split([self.width, self.width, 1], dim=-1)
        keys, strengths = functional.normalize(keys, dim=-1, eps=1e-6), strengths.sigmoid()
        if feedback is not None and self.from_label is not None:
            values = values + functional.linear(feedback, self.from_label)
        if real is not None:
            strengths = strengths * real[..., None]
        found, weights = [], [carried.weights]
        for key, value, strength in zip(keys.unbind(1), values.unbind(1), strengths.unbind(1), strict=True):
            held = (weights[-1] @ key[..., None])[..., 0]
            weights.append(torch.baddbmm(weights[-1], (strength * (value - held))[..., None], key[:, None]))
            found.append(held)
        return torch.stack(found, dim=1), weights[1:]

    def _shown(self, found: Tensor, x: Tensor) -> Tensor:
        output = self.output(found)
        return output.view(*output.shape, *[1] * (x.ndim - output.ndim)).expand_as(x)
