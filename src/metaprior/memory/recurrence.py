"""The recurrence of a long short-term memory, with first derivatives written by hand.

Left to automatic differentiation, each step takes some thirty small operations, and the gradient of the weights is
summed step by step; here it is one product for all steps.

Axis letters: S steps, T streams, F features, H and W places.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.nets import pieces
from metaprior.nets.layout import channels_last, empty_channels_last

__all__ = ["recur"]


def recur(
    x: Tensor,
    told: Tensor,
    from_input: Tensor,
    from_output: Tensor,
    output: Tensor,
    memory: Tensor,
    real: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take S steps of `z = Wx x + Wh h + told`, `c = sigmoid(f) c + sigmoid(i) tanh(g)`, `h = sigmoid(o) tanh(c)`.

    Args:
        x: `(S, T, F)` or `(S, T, F, H, W)`.
        told: `(S, T, 4 F)`, the same for all places, or `(S, T, 4 F, H, W)`; z, and so told, is `i, f, o, g` in this
            order.
        from_input: Wx, `(4 F, F)`, or a kernel `(4 F, F, height, width)`.
        from_output: Wh, likewise.
        output: h before the first step, `(T, F)` or `(T, F, H, W)`.
        memory: c before the first step, of the same shape.
        real: `(S, T)`, False where a step changes nothing; None where all do.

    Returns:
        h after every step, of the shape of x, c after the last, and c after every step.

    Example:
        >>> x, before, weight = torch.ones(7, 2, 3), torch.zeros(2, 3), torch.ones(12, 3)
        >>> outputs, memory, _ = recur(x, torch.zeros(7, 2, 12), weight, weight, before, before)
        >>> outputs.shape, memory.shape
        (torch.Size([7, 2, 3]), torch.Size([2, 3]))
    """
    # Without a gradient, the definition keeps less.
    if pieces.by_hand(x) and torch.is_grad_enabled():
        return _Recur.apply(x, told, from_input, from_output, output, memory, real)
    return _recur(x, told, from_input, from_output, output, memory, real)


def _recur(
    x: Tensor,
    told: Tensor,
    from_input: Tensor,
    from_output: Tensor,
    output: Tensor,
    memory: Tensor,
    real: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    gates = _of_inputs(x, from_input) + _everywhere(told, x)
    features = x.shape[2]
    outputs, memories = [], []
    for step, gate in enumerate(gates.unbind(0)):
        opened, new = (gate + _product(output, from_output)).split([3 * features, features], dim=1)
        take, keep, show = opened.sigmoid().chunk(3, dim=1)
        after = keep * memory + take * new.tanh()
        shown = show * after.tanh()
        if real is not None:
            here = _everywhere(real[step], output)
            after, shown = torch.where(here, after, memory), torch.where(here, shown, output)
        output, memory = shown, after
        outputs.append(output)
        memories.append(memory)
    return torch.stack(outputs), memory, torch.stack(memories)


class _Recur(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        told: Tensor,
        from_input: Tensor,
        from_output: Tensor,
        output: Tensor,
        memory: Tensor,
        real: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        # tanh(g) = 2 sigmoid(2 g) - 1, so that all gates are opened by one operation on neighbours in memory.
        twice = _factors(x, (1, 1, 1, 2))
        given = from_input, from_output
        from_input, from_output = (_scaled(weight, twice) for weight in given)
        # What each step computes takes the place of what went into it.
        gates = _of_inputs(x, from_input).add_(_everywhere(told * _along(twice, told), x))
        outputs, memories = _room(x, len(x) + 1), _room(x, len(x) + 1)
        outputs[0], memories[0] = output, memory
        for step, gate in enumerate(gates):
            torch.sigmoid(_product(outputs[step], from_output).add_(gate), out=gate)
            take, keep, show, new = gate.chunk(4, dim=1)
            after, shown = memories[step + 1], outputs[step + 1]
            torch.mul(keep, memories[step], out=after).addcmul_(take, new, value=2).sub_(take)
            torch.tanh(after, out=shown).mul_(show)
            if real is not None and not bool(real[step].all()):
                here = _everywhere(real[step], shown)
                after.copy_(torch.where(here, after, memories[step]))
                shown.copy_(torch.where(here, shown, outputs[step]))
        ctx.save_for_backward(x, told, *given, output, memory, gates, outputs, memories)
        ctx.real = real
        # Who asks only for the last memory should not pay for gradients, all zero, of the others.
        ctx.set_materialize_grads(False)
        return outputs[1:], memories[-1].clone(), memories[1:]

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, gates, outputs, memories = ctx.saved_tensors
        real = ctx.real
        if torch.is_grad_enabled():
            outer = [
                torch.zeros_like(like) if of is None else of
                for of, like in zip(given, (outputs[1:], inputs[5], memories[1:]), strict=True)
            ]
            return *pieces.differentiate(_recur, tuple(inputs), (real,), outer), None
        x, factors = inputs[0], _factors(inputs[0], (2, 1, 1, 4))
        from_input, from_output = (_scaled(weight, factors) for weight in inputs[2:4])
        to_gates = torch.empty_like(gates)
        to_outputs, to_last, to_memories = given
        to_output = torch.zeros_like(inputs[5])
        to_memory = torch.zeros_like(inputs[5]) if to_last is None else to_last.clone()
        for step in reversed(range(len(x))):
            gate, to_gate = gates[step], to_gates[step]
            take, keep, show, new = gate.chunk(4, dim=1)
            to_take, to_keep, to_show, to_new = to_gate.chunk(4, dim=1)
            if to_outputs is not None:
                to_output = to_output + to_outputs[step]
            if to_memories is not None:
                to_memory = to_memory + to_memories[step]
            passed = None
            if real is not None and not bool(real[step].all()):
                here = _everywhere(real[step], to_output)
                passed = to_output.masked_fill(here, 0), to_memory.masked_fill(here, 0)
                to_output, to_memory = to_output.masked_fill(~here, 0), to_memory.masked_fill(~here, 0)
            shown = memories[step + 1].tanh()
            torch.mul(to_output, shown, out=to_show)
            to_memory.add_(torch.ops.aten.tanh_backward(to_output.mul_(show), shown))
            torch.mul(to_memory, memories[step], out=to_keep)
            # A quarter of that of g, and half of that of i; the weights make up for it.
            torch.mul(to_memory, take, out=to_new)
            torch.sub(new, 0.5, out=to_take).mul_(to_memory)
            torch.ops.aten.sigmoid_backward(to_gate, gate, grad_input=to_gate)
            to_memory.mul_(keep)
            to_output = _gradient(to_gate, outputs[step], from_output, to_weight=False)
            if passed is not None:
                to_output, to_memory = to_output + passed[0], to_memory + passed[1]
        all_steps, all_x = to_gates.flatten(0, 1), x.flatten(0, 1)
        to_x = _gradient(all_steps, all_x, from_input, to_weight=False) if ctx.needs_input_grad[0] else None
        to_told = to_gates if inputs[1].ndim == x.ndim else to_gates.flatten(3).sum(-1)
        return (
            to_x if to_x is None else to_x.unflatten(0, x.shape[:2]),
            to_told * _along(factors, to_told),
            _scaled(_gradient(all_steps, all_x, from_input, to_weight=True), factors),
            _scaled(_gradient(all_steps, outputs[:-1].flatten(0, 1), from_output, to_weight=True), factors),
            to_output,
            to_memory,
            None,
        )


def _product(x: Tensor, weight: Tensor) -> Tensor:
    if weight.ndim == 2:
        return functional.linear(x, weight)
    return functional.conv2d(x, weight, padding=weight.shape[-1] // 2)


def _gradient(outer: Tensor, x: Tensor, weight: Tensor, to_weight: bool) -> Tensor:
    """Return the gradient of a product with regard to the weight or to x, given that of the product."""
    if weight.ndim == 2:
        return outer.t() @ x if to_weight else outer @ weight
    padding, needed = [weight.shape[-1] // 2] * 2, [not to_weight, to_weight, False]
    how = ([1, 1], padding, [1, 1], False, [0, 0], 1)
    return torch.ops.aten.convolution_backward(outer, x, weight, None, *how, needed)[int(to_weight)]


def _of_inputs(x: Tensor, from_input: Tensor) -> Tensor:
    """Return what the inputs of all steps say, `(S, T, 4 F)` or `(S, T, 4 F, H, W)`."""
    return _product(x.flatten(0, 1), from_input).unflatten(0, x.shape[:2])


def _factors(x: Tensor, each: tuple[int, int, int, int]) -> Tensor:
    """Return a factor for each of the four gates, `(4 F,)`."""
    return x.new_tensor(each).repeat_interleave(x.shape[2])


def _along(factors: Tensor, like: Tensor) -> Tensor:
    return factors.view(-1, *[1] * (like.ndim - 3))


def _scaled(weight: Tensor, factors: Tensor) -> Tensor:
    """Return a weight with scaled rows, a kernel in the layout of the maps, lest every step copy it."""
    scaled = weight * _everywhere(factors, weight)
    return scaled if weight.ndim == 2 else channels_last(scaled)


def _room(x: Tensor, steps: int) -> Tensor:
    shape = (steps, *x.shape[1:])
    return x.new_empty(shape) if x.ndim == 3 else empty_channels_last(shape, x)


def _everywhere(values: Tensor, like: Tensor) -> Tensor:
    """Return values that are the same along the last axes of another tensor."""
    return values.view(*values.shape, *[1] * (like.ndim - values.ndim))
