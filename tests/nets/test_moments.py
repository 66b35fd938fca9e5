"""Mean and variance, from features or from what a convolution sees."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import vmap
from torch.nn import functional

from metaprior.nets.moments import moments, patch_moments

pytestmark = pytest.mark.usefixtures("small_pieces")


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4, 5)])
def test_moments(shape):
    x = (3 + draw(*shape)).requires_grad_()
    over = [axis for axis in range(x.ndim) if axis != 1]
    mean, variance = moments(x)
    torch.testing.assert_close(mean, x.mean(over))
    torch.testing.assert_close(variance, x.var(over, correction=0))
    assert gradcheck(moments, (x,))
    assert gradgradcheck(moments, (x,))


def test_padding_has_no_part():
    x, mask = draw(4, 3, 6, 6), torch.tensor([True, True, True, False])
    torch.testing.assert_close(moments(x, mask), moments(x[:3]))


@pytest.mark.parametrize("mask", [None, [True, False, True, True, False, True]])
def test_patch_moments_are_those_of_the_maps(convolution, mask):
    mask = None if mask is None else torch.tensor(mask)
    x = draw(6, convolution.in_channels, 7, 8).requires_grad_()
    kernel = draw(*convolution.weight.shape, seed=1).requires_grad_()
    maps = functional.conv2d(x, kernel, None, convolution.stride, convolution.padding, convolution.dilation)
    found, expected = patch_moments(convolution, kernel, x, mask), moments(maps, mask)
    torch.testing.assert_close(found, expected)
    assert gradcheck(lambda x, kernel: patch_moments(convolution, kernel, x, mask), (x, kernel))
    weights = [draw(3, seed=2), draw(3, seed=3)]
    torch.testing.assert_close(
        torch.autograd.grad(found, kernel, weights), torch.autograd.grad(expected, kernel, weights)
    )


def test_patch_moments_of_edges_in_smooth_images_are_accurate():
    ramp = torch.linspace(0, 1, 28).expand(20, 1, 28, 28)
    edge = torch.tensor([[[[-1.0, 0.0, 1.0]]]])
    convolution = nn.Conv2d(1, 1, (1, 3), bias=False)
    mean, variance = patch_moments(convolution, edge, ramp + 0.001 * draw(20, 1, 28, 28).float())
    expected = patch_moments(convolution, edge.double(), ramp.double() + 0.001 * draw(20, 1, 28, 28))
    torch.testing.assert_close(variance.double(), expected[1], rtol=1e-3, atol=0)
    torch.testing.assert_close(mean.double(), expected[0], rtol=1e-5, atol=0)


def test_patch_moments_under_vmap():
    convolution = nn.Conv2d(1, 3, 3, padding=1, bias=False)
    x, kernels = draw(2, 9, 1, 8, 8), draw(2, 3, 1, 3, 3, seed=1)
    found = vmap(lambda x, kernel: patch_moments(convolution, kernel, x))(x, kernels)
    for task in range(2):
        expected = patch_moments(convolution, kernels[task], x[task])
        torch.testing.assert_close([part[task] for part in found], list(expected))
