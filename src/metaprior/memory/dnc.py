"""The differentiable neural computer's cell: rows that are allocated, freed, and remembered in the order of writing.

Axis letters: T streams, S steps, F features, K numbers of feedback, R read heads, M rows, W numbers of a row.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.memory.cells import Carried, Cell, linear, run_steps
from metaprior.memory.external import addressed

__all__ = ["DNC", "Linked"]


class Linked(NamedTuple):
    """What the cell carries from step to step.

    Args:
        controller: of the recurrent controller.
        rows: `(T, M, W)`.
        usage: `(T, M)`, from 0 for a free row to 1.
        writes: `(T, M)`, where was written at the step before.
        reads: `(T, R, M)`, where each head read at the step before.
        last: `(T, M)`, how much each row was the last one written.
        links: `(T, M, M)`, how much a row was written right after another.
        read: `(T, R * W)`, what was read at the step before.
    """

    controller: Carried
    rows: Tensor
    usage: Tensor
    writes: Tensor
    reads: Tensor
    last: Tensor
    links: Tensor
    read: Tensor


class DNC(nn.Module):
    """A recurrent controller that writes to rows by content or to free ones, and reads by content or in order.

    Maps are taken as vectors.

    Args:
        shape: of what the cell takes and gives: `(F,)` or `(F, H, W)`.
        feedback: K; 0 for a cell that is told nothing.
        generator: of the initial weights.
        rows: M.
        width: W.
        heads: R.

    Source: Graves et al. 2016, "Hybrid computing using a neural network with dynamic external memory", Nature 538,
    methods. Differs: the controller is the library's own recurrent cell.

    Example:
        >>> cell = DNC((8,), feedback=3, generator=torch.Generator().manual_seed(0))
        >>> outputs, carried = cell(torch.zeros(2, 7, 8), cell.start(2), torch.zeros(2, 7, 3))
        >>> outputs.shape, carried.links.shape
        (torch.Size([2, 7, 8]), torch.Size([2, 64, 64]))
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        feedback: int,
        generator: torch.Generator,
        rows: int = 64,
        width: int = 32,
        heads: int = 4,
    ):
        super().__init__()
        self.shape = shape
        self.rows = rows
        self.width = width
        self.heads = heads
        features, read = math.prod(shape), heads * width
        hidden = features + read
        self.controller = Cell((hidden,), feedback, generator)
        # For each head a key, its sharpness, how much it frees, and three ways to read; to write, a key, its sharpness,
        # what to erase, what to add, and gates of allocation and of writing.
        self._asked = [read, heads, heads, 3 * heads, width, 1, width, width, 1, 1]
        self.interface = linear(hidden, sum(self._asked), generator)
        self.output = linear(hidden + read, features, generator)

    def start(self, tasks: int) -> Linked:
        """Return what is carried before the first step: empty rows."""
        zeros = self.output.bias.new_zeros
        return Linked(
            self.controller.start(tasks),
            rows=zeros(tasks, self.rows, self.width),
            usage=zeros(tasks, self.rows),
            writes=zeros(tasks, self.rows),
            reads=zeros(tasks, self.heads, self.rows),
            last=zeros(tasks, self.rows),
            links=zeros(tasks, self.rows, self.rows),
            read=zeros(tasks, self.heads * self.width),
        )

    def forward(
        self, x: Tensor, carried: Linked, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Linked]:
        """Take S steps; see `Cell.forward`."""
        return run_steps(self._step, x, carried, feedback, real)

    def trace(
        self, x: Tensor, carried: Linked, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Linked]:
        """Take S steps; see `Cell.trace`."""
        return run_steps(self._step, x, carried, feedback, real, every=True)

    def _step(self, features: Tensor, carried: Linked, told: Tensor | None) -> tuple[Tensor, Linked]:
        hidden, controller = self.controller(
            torch.cat([features, carried.read], dim=-1)[:, None], carried.controller, told
        )
        hidden = hidden[:, 0]
        keys, sharpness, frees, ways, key, sharp, erase, add, allocate, write = self.interface(hidden).split(
            self._asked, dim=-1
        )
        freed = (1 - frees.sigmoid()[..., None] * carried.reads).prod(1)
        usage = (carried.usage + carried.writes - carried.usage * carried.writes) * freed
        alike = addressed(key[:, None], carried.rows, functional.softplus(sharp) + 1)[:, 0]
        writes = write.sigmoid() * torch.lerp(alike, free_first(usage), allocate.sigmoid())
        outer = writes[..., None]
        rows = carried.rows * (1 - outer * erase.sigmoid()[:, None]) + outer * add[:, None]
        links = (1 - outer - writes[:, None]) * carried.links + outer * carried.last[:, None]
        links = links * (1 - torch.eye(self.rows, dtype=links.dtype, device=links.device))
        last = (1 - writes.sum(-1, keepdim=True)) * carried.last + writes
        found = addressed(keys.unflatten(-1, (self.heads, self.width)), rows, functional.softplus(sharpness) + 1)
        after, before = carried.reads @ links.transpose(1, 2), carried.reads @ links
        mode = ways.unflatten(-1, (self.heads, 3)).softmax(-1)[..., None]
        reads = mode[..., 0, :] * before + mode[..., 1, :] * found + mode[..., 2, :] * after
        read = (reads @ rows).flatten(1)
        output = self.output(torch.cat([hidden, read], dim=-1))
        return output, Linked(controller, rows, usage, writes, reads, last, links, read)


def free_first(usage: Tensor) -> Tensor:
    """Return how a write is shared among rows, `(T, M)`: the least used take what they can, the next what is left.

    Source: Graves et al. 2016, methods, dynamic memory allocation.

    Example:
        >>> free_first(torch.tensor([[1.0, 0.0, 0.5]])).round(decimals=3)
        tensor([[0., 1., 0.]])
    """
    # No gradient passes through the order; a little is added lest that of the product be infinite at rows of no use.
    ordered, order = (1e-6 + (1 - 1e-6) * usage).sort(-1)
    before = functional.pad(ordered.cumprod(-1)[..., :-1], (1, 0), value=1.0)
    return torch.zeros_like(usage).scatter(-1, order, (1 - ordered) * before)
