"""The residual network."""

import pytest
import torch

from metaprior.nets import ResNet12

WIDTHS = (4, 4, 8, 8)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("outputs", [None, 3])
def test_shapes(norm, outputs):
    net = ResNet12(3, outputs, WIDTHS, norm)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, net.features if outputs is None else outputs)


def test_published_number_of_parameters():
    """12.4 million, as Lee et al. state for widths of 64 to 640."""
    assert sum(parameter.numel() for parameter in ResNet12(3).parameters()) == pytest.approx(12.4e6, rel=0.01)


def test_every_parameter_gets_a_gradient():
    net = ResNet12(3, 2, WIDTHS)
    net(torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_no_example_sees_another_without_batch_norm():
    net, x = ResNet12(3, 2, WIDTHS, "group"), torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4, atol=1e-5)
