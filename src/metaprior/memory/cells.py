"""Recurrent cells for vectors and for maps, told the labels that arrive; written from products and convolutions.

Axis letters: T streams, S steps, F features or channels, K numbers of feedback, H and W places.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.memory.recurrence import recur

__all__ = ["Carried", "Cell"]


class Carried(NamedTuple):
    """What a cell carries from step to step.

    Args:
        output: `(T, F)`, or `(T, F, H, W)` for maps.
        memory: of the same shape.
    """

    output: Tensor
    memory: Tensor


class Cell(nn.Module):
    """A long short-term memory; for maps, its products are convolutions, and each place has a memory.

    At each step `z = Wx u + Wh h + P e + b` is split into `i, f, o, g`; `c = sigmoid(f + 1) c + sigmoid(i) tanh(g)` and
    `h = sigmoid(o) tanh(c)` follow. For maps, `Wx` looks at one place and `Wh` at 3 x 3 of them.

    Args:
        shape: of what the cell takes and gives: `(F,)` or `(F, H, W)`.
        feedback: K; 0 for a cell that is told nothing.
        generator: of the initial weights.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000, open at first as Jozefowicz et
    al. 2015 advise; for maps Shi et al. 2015 (arXiv 1506.04214), without peepholes. Written from products because
    torch's own recurrent layers know neither `vmap` nor second derivatives on every device.

    Example:
        >>> cell = Cell((8, 5, 5), feedback=3, generator=torch.Generator().manual_seed(0))
        >>> outputs, carried = cell(torch.zeros(2, 7, 8, 5, 5), cell.start(2), torch.zeros(2, 7, 3))
        >>> outputs.shape, carried.memory.shape
        (torch.Size([2, 7, 8, 5, 5]), torch.Size([2, 8, 5, 5]))
    """

    def __init__(self, shape: tuple[int, ...], feedback: int, generator: torch.Generator):
        super().__init__()
        self.shape = shape
        features, maps = shape[0], len(shape) > 1

        def weight(*axes: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(axes, generator=generator) / math.sqrt(math.prod(axes[1:])))

        self.from_input = weight(4 * features, features, 1, 1) if maps else weight(4 * features, features)
        self.from_output = weight(4 * features, features, 3, 3) if maps else weight(4 * features, features)
        self.from_label = weight(4 * features, feedback) if feedback else None
        self.bias = nn.Parameter(torch.zeros(4 * features))

    def start(self, tasks: int) -> Carried:
        """Return what is carried before the first step: zeros."""
        zeros = self.bias.new_zeros(tasks, *self.shape)
        return Carried(zeros, zeros)

    def forward(
        self, x: Tensor, carried: Carried, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Carried]:
        """Take S steps.

        Args:
            x: `(T, S, F)` or `(T, S, F, H, W)`.
            carried: from the step before.
            feedback: `(T, S, K)`; None for a cell that is told nothing.
            real: `(T, S)`, False at steps that are padding and change nothing; None where all are real.

        Returns:
            The outputs of all steps, of the shape of `x`, and what is carried on.
        """
        # Steps come first, so that what belongs to one of them lies together.
        told = self._told(x, feedback).transpose(0, 1)
        real = None if real is None else real.transpose(0, 1)
        weights: tuple[Tensor, Tensor] = (self.from_input, self.from_output)
        before = carried.output, carried.memory
        if self.shape[1:] == (1, 1):
            # Maps of one place are vectors, and kernels see nothing around it.
            weights = self.from_input[..., 0, 0], self.from_output[..., 1, 1]
            before = carried.output.flatten(1), carried.memory.flatten(1)
        outputs, memory = recur(
            x.view(*x.shape[:2], *before[0].shape[1:]).transpose(0, 1), told, *weights, *before, real
        )
        outputs, memory = outputs.view(*outputs.shape[:2], *self.shape), memory.view(-1, *self.shape)
        return outputs.transpose(0, 1), Carried(outputs[-1], memory)

    def _told(self, x: Tensor, feedback: Tensor | None) -> Tensor:
        """Return what is added at all places: the bias, one more for the forget gate, and what labels say."""
        features = self.shape[0]
        bias = self.bias + functional.pad(self.bias.new_ones(features), (features, 2 * features))
        if feedback is None or self.from_label is None:
            return bias.expand(*x.shape[:2], -1)
        return functional.linear(feedback, self.from_label, bias)
