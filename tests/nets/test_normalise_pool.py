"""Normalising, pooling and rectifying has the values and derivatives of doing one after the other."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap
from torch.nn import functional

from metaprior.nets.normalise_pool import normalise_pool, scale_rectify

pytestmark = pytest.mark.usefixtures("small_pieces")
EPS = 1e-3


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affine(needed=True):
    """A scale of each sign, and shifts."""
    return torch.tensor([1.3, -0.7]).double().requires_grad_(needed), torch.tensor([0.2, 0.1]).double().requires_grad_()


def one_after_the_other(maps, weight, bias, eps=EPS):
    # torch's own batch norm is no reference: its third derivatives are wrong.
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=0)
    mean_map, scale_map, bias_map = (value[:, None, None] for value in (mean, weight * (variance + eps).rsqrt(), bias))
    return functional.max_pool2d((maps - mean_map) * scale_map + bias_map, 2).relu(), mean, variance


def run(maps, weight, bias):
    return normalise_pool(maps, weight, bias, EPS)


# More than a piece, and less; odd sizes, of which pooling leaves a border out
SHAPES = [(5, 2, 5, 5), (7, 2, 4, 6), (3, 2, 4, 4)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_derivatives(shape, layout):
    maps = draw(*shape).to(memory_format=layout).requires_grad_()
    inputs = (maps, *affine())
    found, expected = run(*inputs), one_after_the_other(*inputs)
    assert "NormalisePool" in type(found[0].grad_fn).__name__
    torch.testing.assert_close(found, expected)
    gradients = [draw(*value.shape, seed=1) for value in expected]
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, gradients), torch.autograd.grad(expected, inputs, gradients)
    )
    assert gradcheck(run, inputs)


@pytest.mark.parametrize("outputs", [slice(0, 1), slice(0, 3), slice(1, 3)], ids=["maps", "all", "moments"])
@pytest.mark.parametrize("shape", SHAPES)
def test_second_derivatives(shape, outputs):
    inputs = (draw(*shape).requires_grad_(), *affine())
    assert gradgradcheck(lambda *given: run(*given)[outputs], inputs)


@pytest.mark.parametrize("fixed", [0, 1, 2])
def test_second_derivatives_where_an_input_needs_none(fixed):
    inputs = [draw(3, 2, 4, 4).requires_grad_(), *affine()]
    inputs[fixed] = inputs[fixed].detach()
    assert gradgradcheck(lambda *given: run(*given)[0], tuple(inputs))


def test_third_derivative():
    def third(function):
        maps = draw(3, 2, 4, 4).requires_grad_()
        value = (function(maps, *affine())[0] * draw(3, 2, 2, 2, seed=1)).sum()
        for order in range(3):
            (gradient,) = torch.autograd.grad(value, maps, create_graph=True)
            value = (gradient * draw(3, 2, 4, 4, seed=2 + order)).sum()
        return value

    torch.testing.assert_close(third(run), third(one_after_the_other))


def test_maxima_that_tie():
    inputs = (draw(9, 2, 7, 7).round().clamp(0, 1).requires_grad_(), *affine())
    found, expected = run(*inputs), one_after_the_other(*inputs)
    torch.testing.assert_close(found, expected)
    gradients = [draw(*value.shape, seed=1) for value in expected]
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, gradients), torch.autograd.grad(expected, inputs, gradients)
    )


def test_padding_has_no_part_in_the_moments():
    maps, mask = draw(4, 2, 6, 6), torch.tensor([True, True, True, False])
    found = normalise_pool(maps, *affine(), EPS, mask)
    expected = normalise_pool(maps[:3], *affine(), EPS)
    torch.testing.assert_close((found[0][:3], *found[1:]), expected)


def test_under_vmap():
    weight, bias = (value.detach() for value in affine())
    maps = draw(3, 5, 2, 4, 4)

    def value(maps):
        return run(maps, weight, bias)[0].square().sum()

    found = vmap(grad(value))(maps)
    for task in range(3):
        alone = maps[task].clone().requires_grad_()
        torch.testing.assert_close(found[task], torch.autograd.grad(value(alone), alone)[0])


def test_scaling_by_given_moments():
    given = [draw(9, 2, 4, 5), draw(2, seed=1), draw(2, seed=2).square(), *affine(needed=False)]
    inputs = [value.detach().requires_grad_() for value in given]

    def scaled(*given):
        return scale_rectify(*given, EPS)

    pooled, mean, variance, weight, bias = inputs
    expected = functional.batch_norm(pooled, mean.detach(), variance.detach(), weight, bias, eps=EPS).relu()
    torch.testing.assert_close(scaled(*inputs), expected)
    assert gradcheck(scaled, inputs)
    assert gradgradcheck(scaled, inputs)
    mapped = vmap(scaled, in_dims=(0, None, None, None, None))(pooled[:, None], *inputs[1:])
    torch.testing.assert_close(mapped[:, 0], expected)
