"""Recurrent cells for vectors and for maps, told the labels that arrive; written from products and convolutions.

Axis letters: T streams, S steps, F features or channels, K numbers of feedback, H and W places.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

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
        # What does not depend on the step before is computed for all steps at once.
        flat = x.flatten(0, 1)
        gates = self._product(flat, self.from_input, self.bias).unflatten(0, x.shape[:2])
        if feedback is not None and self.from_label is not None:
            told = functional.linear(feedback, self.from_label)
            gates = gates + told.view(*told.shape, *[1] * (x.ndim - 3))
        outputs = []
        for step, gate in enumerate(gates.unbind(1)):
            gate = gate + self._product(carried.output, self.from_output, None)
            take, keep, show, new = gate.chunk(4, dim=1)
            memory = (keep + 1).sigmoid() * carried.memory + take.sigmoid() * new.tanh()
            after = Carried(show.sigmoid() * memory.tanh(), memory)
            if real is not None:
                here = real[:, step].view(-1, *[1] * (x.ndim - 2))
                after = Carried(
                    torch.where(here, after.output, carried.output), torch.where(here, after.memory, carried.memory)
                )
            carried = after
            outputs.append(carried.output)
        return torch.stack(outputs, dim=1), carried

    @staticmethod
    def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if weight.ndim == 2:
            return functional.linear(x, weight, bias)
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
