"""What is written by hand for speed has the values and derivatives of its definition."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import vmap
from torch.nn import functional

from metaprior.nets import fused


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Let a few small images count as many, so that work is done in pieces."""
    monkeypatch.setattr(fused, "_PIECE", 200)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_flat(*shape, seed=0):
    """Values of which many are equal, as on a white background, so that maxima tie."""
    return draw(*shape, seed=seed).round().clamp(0, 1)


CONVOLUTIONS = [
    nn.Conv2d(1, 3, 3, padding=1, bias=False),
    nn.Conv2d(2, 3, 3, bias=False),
    nn.Conv2d(1, 3, (3, 2), stride=2, padding=2, bias=False),
    nn.Conv2d(1, 3, 3, padding=2, dilation=2, bias=False),
]


@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("images", [draw, draw_flat])
def test_convolve_pool(convolution, images):
    x, kernel = images(9, convolution.in_channels, 9, 11), draw(*convolution.weight.shape, seed=1)
    x.requires_grad_()
    kernel.requires_grad_()
    how = (convolution.stride, convolution.padding, convolution.dilation)
    expected = functional.max_pool2d(functional.conv2d(x, kernel, None, *how), 2)
    found = fused.convolve_pool(convolution, kernel, x)
    assert "ConvolvePool" in type(found.grad_fn).__name__
    torch.testing.assert_close(found, expected)
    gradient = draw(*expected.shape, seed=2)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, kernel), gradient), torch.autograd.grad(expected, (x, kernel), gradient)
    )


@pytest.mark.parametrize("needed", [(True, True), (False, True), (True, False)])
def test_derivatives_of_convolve_pool(needed):
    convolution = CONVOLUTIONS[0]
    x, kernel = draw(5, 1, 7, 7).requires_grad_(needed[0]), draw(3, 1, 3, 3, seed=1).requires_grad_(needed[1])

    def function(x, kernel):
        return fused.convolve_pool(convolution, kernel, x)

    assert gradcheck(function, (x, kernel))
    assert gradgradcheck(function, (x, kernel))


@pytest.mark.parametrize("shape", [(5, 2, 5, 5), (7, 2, 3, 6)])
def test_derivatives_of_moments_pool(shape):
    x = draw(*shape).requires_grad_()
    assert "MomentsPool" in type(fused.moments_pool(x)[0].grad_fn).__name__
    assert gradcheck(fused.moments_pool, (x,))
    assert gradgradcheck(fused.moments_pool, (x,))


def test_moments_pool_where_maxima_tie():
    x = draw_flat(9, 4, 7, 7).requires_grad_()
    found, expected = fused.moments_pool(x), (functional.max_pool2d(x, 2), *fused.moments(x))
    torch.testing.assert_close(found, expected)
    gradients = [draw(*value.shape, seed=1) for value in expected]
    torch.testing.assert_close(torch.autograd.grad(found, x, gradients), torch.autograd.grad(expected, x, gradients))


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4, 5)])
def test_moments(shape):
    x = (3 + draw(*shape)).requires_grad_()
    over = [axis for axis in range(x.ndim) if axis != 1]
    mean, variance = fused.moments(x)
    torch.testing.assert_close(mean, x.mean(over))
    torch.testing.assert_close(variance, x.var(over, correction=0))
    assert gradcheck(fused.moments, (x,))
    assert gradgradcheck(fused.moments, (x,))


@pytest.mark.parametrize("mask", [None, [True, False, True, True, False, True]])
@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=str)
def test_patch_moments_are_those_of_the_maps(convolution, mask):
    mask = None if mask is None else torch.tensor(mask)
    x = draw(6, convolution.in_channels, 7, 8).requires_grad_()
    kernel = draw(*convolution.weight.shape, seed=1).requires_grad_()
    maps = functional.conv2d(x, kernel, None, convolution.stride, convolution.padding, convolution.dilation)
    found, expected = fused.patch_moments(convolution, kernel, x, mask), fused.moments(maps, mask)
    torch.testing.assert_close(found, expected)
    assert gradcheck(lambda x, kernel: fused.patch_moments(convolution, kernel, x, mask), (x, kernel))
    weights = [draw(3, seed=2), draw(3, seed=3)]
    torch.testing.assert_close(
        torch.autograd.grad(found, kernel, weights), torch.autograd.grad(expected, kernel, weights)
    )


def test_patch_moments_of_edges_in_smooth_images_are_accurate():
    ramp = torch.linspace(0, 1, 28).expand(20, 1, 28, 28)
    edge = torch.tensor([[[[-1.0, 0.0, 1.0]]]])
    convolution = nn.Conv2d(1, 1, (1, 3), bias=False)
    mean, variance = fused.patch_moments(convolution, edge, ramp + 0.001 * draw(20, 1, 28, 28).float())
    expected = fused.patch_moments(convolution, edge.double(), ramp.double() + 0.001 * draw(20, 1, 28, 28))
    torch.testing.assert_close(variance.double(), expected[1], rtol=1e-3, atol=0)
    torch.testing.assert_close(mean.double(), expected[0], rtol=1e-5, atol=0)


def test_padding_has_no_part():
    x = draw(4, 3, 6, 6)
    mask = torch.tensor([True, True, True, False])
    torch.testing.assert_close(fused.moments_pool(x, mask)[1:], fused.moments(x[:3]))


def test_under_vmap():
    convolution = CONVOLUTIONS[0]
    x, kernels = draw(2, 9, 1, 8, 8), draw(2, 3, 1, 3, 3, seed=1)

    def run(x, kernel):
        pooled = fused.convolve_pool(convolution, kernel, x)
        return pooled, *fused.patch_moments(convolution, kernel, x), *fused.moments_pool(pooled)

    expected = [torch.stack(values) for values in zip(*map(run, x, kernels), strict=True)]
    torch.testing.assert_close(list(vmap(run)(x, kernels)), expected)
    shared = [torch.stack(values) for values in zip(*(run(x[0], kernel) for kernel in kernels), strict=True)]
    torch.testing.assert_close(list(vmap(run, in_dims=(None, 0))(x[0], kernels)), shared)


def test_maps_of_few_channels_are_not_kept():
    saved = []
    convolution = nn.Conv2d(1, 16, 3, padding=1, bias=False)
    with torch.autograd.graph.saved_tensors_hooks(lambda value: saved.append(value.numel()), lambda value: value):
        fused.convolve_pool(convolution, convolution.weight, torch.zeros(20, 1, 8, 8))
    assert max(saved) == 20 * 16 * 4 * 4


@pytest.mark.parametrize(
    ("convolution", "expected"),
    [
        (nn.Conv2d(3, 64, 3), True),
        (nn.Conv2d(64, 64, 3), False),
        (nn.Conv2d(4, 4, 3, groups=2), False),
        (nn.Conv2d(1, 4, 3, padding="same"), False),
        (nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"), False),
    ],
)
def test_sees_few(convolution, expected):
    assert fused.sees_few(convolution, torch.zeros(1)) is expected
    assert not fused.sees_few(convolution, torch.zeros(1, device="meta"))
