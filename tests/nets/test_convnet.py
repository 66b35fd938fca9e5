import pytest
import torch

from metaprior.errors import MetapriorError
from metaprior.nets import ConvNet, default_net, net_for
from metaprior.tasks import TaskSpec


@pytest.mark.parametrize("size", [1, 7, 8, 10, 28])
@pytest.mark.parametrize("widths", [(4,), (4, 8, 8)])
def test_images_of_any_size(size, widths):
    net = ConvNet(3, size, 5, widths=widths, hidden=6)
    assert net(torch.rand(2, 3, size, size)).shape == (2, 5)
    assert ConvNet(3, size, None, widths=widths, hidden=6)(torch.rand(2, 3, size, size)).shape == (2, net.features)


def test_weights_are_those_of_the_seed():
    first, second, third = (ConvNet(1, 10, 3, seed=seed).head.weight for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_it_is_known_by_name():
    spec = TaskSpec("classification", (1, 10, 10), 3)
    assert net_for("convnet", spec, headless=False).outputs == 3
    assert isinstance(default_net(spec, 3), ConvNet)


def test_widths_are_positive():
    for widths in ((), (8, 0)):
        with pytest.raises(MetapriorError, match="widths: expected the features of one convolution or more"):
            ConvNet(1, 10, 3, widths=widths)
