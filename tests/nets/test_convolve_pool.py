"""Convolving and pooling in pieces has the values and derivatives of doing it at once."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import vmap
from torch.nn import functional

from metaprior.nets.convolve_pool import convolve_pool, sees_few


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_flat(*shape):
    """Values of which many are equal, as on a white background, so that maxima tie."""
    return draw(*shape).round().clamp(0, 1)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("images", [draw, draw_flat])
def test_in_pieces_as_at_once(convolution, images):
    x, kernel = images(9, convolution.in_channels, 9, 11), draw(*convolution.weight.shape, seed=1)
    x.requires_grad_()
    kernel.requires_grad_()
    how = (convolution.stride, convolution.padding, convolution.dilation)
    expected = functional.max_pool2d(functional.conv2d(x, kernel, None, *how), 2)
    found = convolve_pool(convolution, kernel, x)
    assert "ConvolvePool" in type(found.grad_fn).__name__
    torch.testing.assert_close(found, expected)
    gradient = draw(*expected.shape, seed=2)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, kernel), gradient), torch.autograd.grad(expected, (x, kernel), gradient)
    )


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("needed", [(True, True), (False, True), (True, False)])
def test_derivatives(needed):
    convolution = nn.Conv2d(1, 3, 3, padding=1, bias=False)
    x, kernel = draw(5, 1, 7, 7).requires_grad_(needed[0]), draw(3, 1, 3, 3, seed=1).requires_grad_(needed[1])

    def function(x, kernel):
        return convolve_pool(convolution, kernel, x)

    assert gradcheck(function, (x, kernel))
    assert gradgradcheck(function, (x, kernel))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("shared", [False, True])
def test_under_vmap(shared):
    convolution = nn.Conv2d(1, 3, 3, padding=1, bias=False)
    x, kernels = draw(2, 9, 1, 8, 8), draw(2, 3, 1, 3, 3, seed=1)
    images = x[:1].expand_as(x) if shared else x
    found = vmap(lambda x, kernel: convolve_pool(convolution, kernel, x), in_dims=(None if shared else 0, 0))(
        x[0] if shared else x, kernels
    )
    for task in range(2):
        torch.testing.assert_close(found[task], convolve_pool(convolution, kernels[task], images[task]))


@pytest.mark.usefixtures("small_pieces")
def test_maps_are_not_kept():
    saved = []
    convolution = nn.Conv2d(1, 16, 3, padding=1, bias=False)
    with torch.autograd.graph.saved_tensors_hooks(lambda value: saved.append(value.numel()), lambda value: value):
        convolve_pool(convolution, convolution.weight, torch.zeros(20, 1, 8, 8))
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
    def images(examples, device="cpu"):
        return torch.empty(examples, convolution.in_channels, 100, 100, device=device)

    assert sees_few(convolution, images(20)) is expected
    assert not sees_few(convolution, images(20, "meta"))


def test_small_maps_are_no_burden():
    assert not sees_few(nn.Conv2d(1, 64, 3), torch.zeros(5, 1, 28, 28))
