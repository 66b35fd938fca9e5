"""Derivatives written by hand are those of the definition, the second ones among them."""

import pytest
import torch
from torch.autograd import gradgradcheck

from metaprior.memory.recurrence import _Recur, _recur, recur
from metaprior.tree import map_tensors

SHAPES = pytest.mark.parametrize("shape", [(3,), (3, 4, 5), (2, 1, 1)], ids=["vector", "map", "place"])
REAL = torch.tensor([[True, True], [False, True], [True, True], [True, False], [False, False]])


def inputs(shape, steps=5, tasks=2, places=()):
    random = torch.Generator().manual_seed(0)
    features, kernel = shape[0], [1, 1] if len(shape) > 1 else []
    shapes = [
        (steps, tasks, *shape),
        (steps, tasks, 4 * features, *places),
        (4 * features, features, *kernel),
        (4 * features, features, *[3 * side for side in kernel]),
        (tasks, *shape),
        (tasks, *shape),
    ]
    return [torch.randn(s, generator=random, dtype=torch.float64).requires_grad_() for s in shapes]


@SHAPES
@pytest.mark.parametrize("real", [None, REAL], ids=["all", "some"])
@pytest.mark.parametrize("asked", [["outputs", "last"], ["every"], ["outputs", "last", "every"]], ids="+".join)
def test_values_and_first_derivatives(shape, real, asked):
    found = []
    for function in (_Recur.apply, _recur):
        given = inputs(shape)
        outputs, memory, memories = function(*given, real)
        weights = torch.linspace(1, 2, outputs.numel(), dtype=torch.float64).view(outputs.shape)
        of = {"outputs": outputs * weights, "last": memory.square(), "every": memories * weights}
        gradients = torch.autograd.grad(sum(of[name].sum() for name in asked), given)
        found.append((outputs, memory, memories, *gradients))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_what_is_told_may_differ_from_place_to_place():
    found = []
    for function in (_Recur.apply, _recur):
        given = inputs((3, 4, 5), places=(4, 5))
        outputs, memory, _ = function(*given, REAL)
        gradients = torch.autograd.grad(outputs.square().sum() + memory.sum(), given)
        found.append((outputs, memory, *gradients))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


@SHAPES
def test_only_what_is_needed_has_a_gradient(shape):
    given = inputs(shape)
    given[0] = given[0].detach()
    outputs = recur(*given)[0]
    outputs.sum().backward()
    assert given[0].grad is None
    assert all(value.grad is not None for value in given[1:])


@SHAPES
def test_second_derivatives(shape):
    given = inputs((2, *shape[1:])[: len(shape)], steps=2, tasks=1)
    assert gradgradcheck(lambda *given: recur(*given, REAL[1:3, :1]), given)


@SHAPES
def test_without_gradients_nothing_is_kept(shape, monkeypatch):
    given = inputs(shape)
    expected = recur(*given)[0]
    monkeypatch.setattr(_Recur, "apply", lambda *_: pytest.fail("kept what only a gradient needs"))
    with torch.no_grad():
        torch.testing.assert_close(recur(*given)[0], expected)


def test_inputs_are_left_as_they_were():
    given = inputs((3, 4, 5))
    before = map_tensors(torch.clone, tuple(given))
    recur(*given, REAL)[0].sum().backward()
    assert all(torch.equal(value, copy) for value, copy in zip(given, before, strict=True))
