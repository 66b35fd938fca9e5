"""A cell with an external memory: rows that are found by their content and overwritten when they are least used.

Axis letters: T streams, S steps, F features, K numbers of feedback, R read heads, M rows, W numbers of a row.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.memory.cells import Carried, Cell, linear, run_steps

__all__ = ["ExternalMemory", "Written", "addressed"]


class Written(NamedTuple):
    """What a cell with an external memory carries from step to step.

    Args:
        controller: of the recurrent controller.
        rows: `(T, M, W)`.
        reads: `(T, R, M)`, how much each head read of each row at the step before.
        usage: `(T, M)`, how much a row was read or written lately.
        read: `(T, R * W)`, what was read at the step before.
    """

    controller: Carried
    rows: Tensor
    reads: Tensor
    usage: Tensor
    read: Tensor


class ExternalMemory(nn.Module):
    """The memory-augmented network's cell: a recurrent controller that reads and writes rows.

    At each step the controller gives R keys. Each head reads the rows by how much they resemble its key. A key is
    written where its head read at the step before, or to the row least used, which is emptied first; a gate decides.
    Maps are taken as vectors.

    Args:
        shape: of what the cell takes and gives: `(F,)` or `(F, H, W)`.
        feedback: K; 0 for a cell that is told nothing.
        generator: of the initial weights.
        rows: M.
        width: W.
        heads: R.
        decay: by how much usage fades at each step.

    Source: Santoro et al. 2016 (arXiv 1605.06065), section 3.1, eq. 2 to 8. Differs: a key passes through a hyperbolic
    tangent, and what a head resembles is sharpened by an acquired factor, as in neural Turing machines.

    Example:
        >>> cell = ExternalMemory((8,), feedback=3, generator=torch.Generator().manual_seed(0))
        >>> outputs, carried = cell(torch.zeros(2, 7, 8), cell.start(2), torch.zeros(2, 7, 3))
        >>> outputs.shape, carried.rows.shape
        (torch.Size([2, 7, 8]), torch.Size([2, 64, 32]))
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        feedback: int,
        generator: torch.Generator,
        rows: int = 64,
        width: int = 32,
        heads: int = 4,
        decay: float = 0.95,
    ):
        super().__init__()
        self.shape = shape
        self.rows = rows
        self.width = width
        self.heads = heads
        self.decay = decay
        features, read = math.prod(shape), heads * width
        hidden = features + read
        self.controller = Cell((hidden,), feedback, generator)
        # A key, its sharpness and its gate, of each head.
        self.interface = linear(hidden, heads * (width + 2), generator)
        self.output = linear(hidden + read, features, generator)

    def start(self, tasks: int) -> Written:
        """Return what is carried before the first step: empty rows, of which the first is the least used."""
        zeros = self.output.bias.new_zeros
        order = torch.linspace(0, 1e-3, self.rows).to(self.output.bias).expand(tasks, -1)
        return Written(
            self.controller.start(tasks),
            zeros(tasks, self.rows, self.width),
            zeros(tasks, self.heads, self.rows),
            order,
            zeros(tasks, self.heads * self.width),
        )

    def forward(
        self, x: Tensor, carried: Written, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Written]:
        """Take S steps; see `Cell.forward`."""
        return run_steps(self._step, x, carried, feedback, real)

    def trace(
        self, x: Tensor, carried: Written, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Written]:
        """Take S steps; see `Cell.trace`."""
        return run_steps(self._step, x, carried, feedback, real, every=True)

    def _step(self, features: Tensor, carried: Written, told: Tensor | None) -> tuple[Tensor, Written]:
        seen = torch.cat([features, carried.read], dim=-1)
        hidden, controller = self.controller(seen[:, None], carried.controller, told)
        hidden = hidden[:, 0]
        asked = self.interface(hidden).unflatten(-1, (self.heads, self.width + 2))
        keys = asked[..., :-2].tanh()
        gates = asked[..., -1:].sigmoid()
        # Not `one_hot`, which looks at values, as `vmap` cannot.
        places = torch.arange(self.rows, device=keys.device)
        least = (places == carried.usage.argmin(-1, keepdim=True)).to(keys.dtype)
        writes = gates * carried.reads + (1 - gates) * least[:, None]
        rows = carried.rows * (1 - least)[..., None] + writes.transpose(1, 2) @ keys
        reads = addressed(keys, rows, functional.softplus(asked[..., -2]) + 1)
        usage = self.decay * carried.usage + reads.sum(1) + writes.sum(1)
        read = (reads @ rows).flatten(1)
        output = self.output(torch.cat([hidden, read], dim=-1))
        return output, Written(controller, rows, reads, usage, read)


def addressed(keys: Tensor, rows: Tensor, sharpness: Tensor) -> Tensor:
    """Return the softmax of the sharpened cosines between keys and rows.

    Args:
        keys: `(T, R, W)`.
        rows: `(T, M, W)`.
        sharpness: `(T, R)`.

    Returns:
        `(T, R, M)`.

    Source: Graves et al. 2014 (arXiv 1410.5401), eq. 5 and 6.

    Example:
        >>> addressed(torch.tensor([[[1.0, 0.0]]]), torch.eye(2)[None], torch.tensor([[100.0]])).round()
        tensor([[[1., 0.]]])
    """
    return (sharpness[..., None] * (_unit(keys) @ _unit(rows).transpose(1, 2))).softmax(-1)


def _unit(vectors: Tensor) -> Tensor:
    """Return vectors of length 1, zeros left as they are, with derivatives of any order."""
    return vectors * (vectors.square().sum(-1, keepdim=True) + 1e-12).rsqrt()
