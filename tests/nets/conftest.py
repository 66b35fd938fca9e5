import pytest
from torch import nn

from metaprior.nets import pieces


@pytest.fixture
def small_pieces(monkeypatch):
    """Let a few small images count as many, so that work is done in pieces."""
    monkeypatch.setattr(pieces, "PIECE", 200)


@pytest.fixture(
    params=[
        {"in_channels": 1, "kernel_size": 3, "padding": 1},
        {"in_channels": 2, "kernel_size": 3},
        {"in_channels": 1, "kernel_size": (3, 2), "stride": 2, "padding": 2},
        {"in_channels": 1, "kernel_size": 3, "padding": 2, "dilation": 2},
    ],
    ids=str,
)
def convolution(request):
    """A convolution of each kind that sees few values."""
    return nn.Conv2d(out_channels=3, bias=False, **request.param)
