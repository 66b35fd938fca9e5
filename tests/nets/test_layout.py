"""The layout in memory that convolutions are fastest in."""

import pytest
import torch

from metaprior.nets import channels_last


@pytest.mark.parametrize("shape", [(2, 1, 4, 5), (2, 3, 4, 5), (7, 2, 3, 4, 5), (3, 4, 5)])
def test_channels_are_neighbours(shape):
    x = torch.arange(torch.Size(shape).numel(), dtype=torch.float32).view(shape)
    laid_out = channels_last(x)
    *_, channels, _, width = shape
    assert torch.equal(laid_out, x)
    assert laid_out.stride()[-3:] == (1, width * channels, channels)
    assert laid_out.movedim(-3, -1).is_contiguous()


def test_what_is_laid_out_already_is_not_copied():
    x = channels_last(torch.zeros(2, 3, 4, 5))
    assert channels_last(x) is x


def test_it_is_differentiable():
    x = torch.ones(2, 3, 4, 5, requires_grad=True)
    (channels_last(x) * 2).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 2))
