"""Recurrent cells for vectors and for maps, told the labels that arrive; written from products and convolutions.

Axis letters: T streams, S steps, F features or channels, K numbers of feedback, H and W places.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.memory.recurrence import recur
from metaprior.nets.initialise import uninitialised
from metaprior.nets.layout import channels_last
from metaprior.tree import map_tensors

__all__ = ["Carried", "Cell", "Means", "keep_if", "linear", "run_steps"]

Means = Literal["none", "before", "now"]


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
        means: what else a cell of maps that is told masks is told at every place, since what is seen in one place is to
            be known in another: the mean over each class of what it gave at the step "before", if masks come a step
            late, or of what it is given "now", if they come with their images.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000, open at first as Jozefowicz et
    al. 2015 advise; for maps Shi et al. 2015 (arXiv 1506.04214), without peepholes. Written from products because
    torch's own recurrent layers know neither `vmap` nor second derivatives on every device.

    Example:
        >>> cell = Cell((8, 5, 5), feedback=3, generator=torch.Generator().manual_seed(0))
        >>> outputs, carried = cell(torch.zeros(2, 7, 8, 5, 5), cell.start(2), torch.zeros(2, 7, 3))
        >>> outputs.shape, carried.memory.shape
        (torch.Size([2, 7, 8, 5, 5]), torch.Size([2, 8, 5, 5]))
    """

    opened: Tensor

    def __init__(self, shape: tuple[int, ...], feedback: int, generator: torch.Generator, means: Means = "none"):
        super().__init__()
        self.shape = shape
        self.means = means
        features, maps = shape[0], len(shape) > 1

        def weight(*axes: int) -> nn.Parameter:
            values = torch.randn(axes, generator=generator) / math.sqrt(math.prod(axes[1:]))
            return nn.Parameter(channels_last(values) if len(axes) == 4 else values)

        self.from_input = weight(4 * features, features, 1, 1) if maps else weight(4 * features, features)
        self.from_output = weight(4 * features, features, 3, 3) if maps else weight(4 * features, features)
        self.from_label = weight(4 * features, feedback) if feedback else None
        self.from_means = weight(4 * features, feedback * features) if maps and feedback and means != "none" else None
        self.bias = nn.Parameter(torch.zeros(4 * features))
        opened = functional.pad(torch.ones(features), (features, 2 * features))
        self.register_buffer("opened", opened, persistent=False)

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
            feedback: `(T, S, K)`, or, for a cell of maps, of each place `(T, S, K, H, W)`; None for a cell that is told
                nothing.
            real: `(T, S)`, False at steps that are padding and change nothing; None where all are real.

        Returns:
            The outputs of all steps, of the shape of `x`, and what is carried on.
        """
        outputs, carried, _ = self._take(x, carried, feedback, real)
        return outputs, carried

    def trace(
        self, x: Tensor, carried: Carried, feedback: Tensor | None = None, real: Tensor | None = None
    ) -> tuple[Tensor, Carried]:
        """Take S steps as `forward` does; return the outputs, and what is carried after each, `(T, S, F)` and so on."""
        outputs, _, every = self._take(x, carried, feedback, real)
        return outputs, every

    def _take(
        self, x: Tensor, carried: Carried, feedback: Tensor | None, real: Tensor | None
    ) -> tuple[Tensor, Carried, Carried]:
        told = self._told(x, feedback)
        if self.from_means is not None and feedback is not None:
            if self.means == "before":
                return self._with_means(x, told, carried, feedback, real)
            means = _class_means(x.flatten(0, 1), feedback.flatten(0, 1)).flatten(1)
            told = told + functional.linear(means, self.from_means).unflatten(0, x.shape[:2])[..., None, None]
        weights: tuple[Tensor, Tensor] = (self.from_input, self.from_output)
        before: tuple[Tensor, Tensor] = carried
        one_place = self.shape[1:] == (1, 1)
        if one_place:
            # Maps of one place are vectors, and kernels see nothing around it.
            weights = weights[0][..., 0, 0], weights[1][..., 1, 1]
            x, told, before = x.flatten(2), told.flatten(2), (carried.output.flatten(1), carried.memory.flatten(1))
        # Steps come first, so that what belongs to one of them lies together.
        masks = None if real is None else real.transpose(0, 1)
        results = recur(x.transpose(0, 1), told.transpose(0, 1), *weights, *before, masks)
        outputs, memory, memories = (result[..., None, None] for result in results) if one_place else results
        outputs, memories = outputs.transpose(0, 1), memories.transpose(0, 1)
        return outputs, Carried(outputs[:, -1], memory), Carried(outputs, memories)

    def _told(self, x: Tensor, feedback: Tensor | None) -> Tensor:
        """Return what is added: the bias, one more for the forget gate, and what labels say, of all or each place."""
        bias = self.bias + self.opened
        if feedback is None or self.from_label is None:
            return bias.expand(*x.shape[:2], -1)
        if feedback.ndim == 5:
            told = functional.conv2d(feedback.flatten(0, 1), self.from_label[..., None, None], bias)
            return told.unflatten(0, feedback.shape[:2])
        return functional.linear(feedback, self.from_label, bias)

    def _with_means(
        self, x: Tensor, told: Tensor, carried: Carried, masks: Tensor, real: Tensor | None
    ) -> tuple[Tensor, Carried, Carried]:
        """Take steps told, at every place, the means over each class of what was given at the step before."""
        assert self.from_means is not None
        gates = functional.conv2d(x.flatten(0, 1), self.from_input).unflatten(0, x.shape[:2]) + told
        every = []
        for step, gate in enumerate(gates.unbind(1)):
            means = _class_means(carried.output, masks[:, step]).flatten(1)
            gate = gate + functional.conv2d(carried.output, self.from_output, padding=1)
            take, keep, show, new = (gate + functional.linear(means, self.from_means)[..., None, None]).chunk(4, dim=1)
            memory = keep.sigmoid() * carried.memory + take.sigmoid() * new.tanh()
            after = Carried(show.sigmoid() * memory.tanh(), memory)
            carried = after if real is None else keep_if(real[:, step], after, carried)
            every.append(carried)
        all_steps = Carried(*(torch.stack(parts, dim=1) for parts in zip(*every, strict=True)))
        return all_steps.output, carried, all_steps


def _class_means(maps: Tensor, shares: Tensor) -> Tensor:
    """Return the mean `(T, K, F)` of maps `(T, F, H, W)` over each class; of it a place has a share, `(T, K, H, W)`."""
    shares = shares.flatten(2)
    return (shares @ maps.flatten(2).transpose(1, 2)) / shares.sum(-1, keepdim=True).clamp(min=1e-3)


def run_steps(
    step: Callable[[Tensor, Any, Tensor | None], tuple[Tensor, Any]],
    x: Tensor,
    carried: Any,
    feedback: Tensor | None,
    real: Tensor | None,
    every: bool = False,
) -> tuple[Tensor, Any]:
    """Take S steps with a cell of which all depends on the step before; see `Cell.forward` and `Cell.trace`.

    Args:
        step: from features `(T, F)`, what is carried and feedback `(T, 1, K)` to an output `(T, F)` and what is
            carried on.
        x: `(T, S, F)`, or `(T, S, F, H, W)`, taken as vectors.
        carried: from the step before.
        feedback: `(T, S, K)`, or None.
        real: `(T, S)`, or None.
        every: whether to return what is carried after each step, `(T, S, ...)`, instead of after the last.
    """
    outputs, states = [], []
    for index, features in enumerate(x.flatten(2).unbind(1)):
        output, after = step(features, carried, None if feedback is None else feedback[:, index : index + 1])
        carried = after if real is None else keep_if(real[:, index], after, carried)
        outputs.append(output)
        states.append(carried)
    if every:
        carried = map_tensors(lambda *leaves: torch.stack(leaves, dim=1), *states)
    return torch.stack(outputs, dim=1).view(x.shape), carried


def keep_if(real: Tensor, after: Any, before: Any) -> Any:
    """Return what is carried on, `after` a step that is real and `before` one that is padding; `real` is `(T,)`."""
    return map_tensors(lambda new, old: torch.where(real.view(-1, *[1] * (new.ndim - 1)), new, old), after, before)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer with weights from a generator."""
    layer = uninitialised(nn.Linear, inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, inputs, generator=generator) / math.sqrt(inputs))
        layer.bias.zero_()
    return layer
