"""The four-block convolutional network."""

import pytest
import torch
from torch.nn import functional

from metaprior.nets import Conv4


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize(("channels", "size", "outputs"), [(1, 28, 5), (3, 32, None), (3, 17, 2)])
def test_shapes(norm, channels, size, outputs):
    net = Conv4(channels, size, outputs, width=8, norm=norm)
    expected = net.features if outputs is None else outputs
    assert net(draw(4, channels, size, size)).shape == (4, expected)
    assert net.features == 8 * (size // 16) ** 2


def test_is_the_published_network():
    """Convolution, batch norm, rectifier and pooling, in the published order."""
    net, x = Conv4(channels=1, size=28, outputs=5), draw(6, 1, 28, 28)
    expected = x
    for block in net.blocks:
        maps = functional.conv2d(expected, block.conv.weight, padding=1)
        maps = functional.batch_norm(maps, None, None, block.norm.weight, block.norm.bias, training=True)
        expected = functional.max_pool2d(maps.relu(), 2)
    torch.testing.assert_close(net(x), net.head(expected.flatten(1)), rtol=1e-3, atol=1e-4)


def test_published_number_of_parameters():
    """Less the biases of the convolutions, which the norms undo."""
    assert sum(parameter.numel() for parameter in Conv4(1, 28, 5).parameters()) == 112_261 - 4 * 64


def test_the_seed_decides_the_weights():
    same, other = Conv4(1, 16, 2, seed=3), Conv4(1, 16, 2, seed=4)
    again = Conv4(1, 16, 2, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), again.parameters(), strict=True))
    assert not torch.equal(same.head.weight, other.head.weight)


def test_no_example_sees_another_without_batch_norm():
    x = draw(6, 1, 16, 16)
    for norm in ("group", "none"):
        net = Conv4(1, 16, 3, width=8, norm=norm)
        torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4, atol=1e-5)
