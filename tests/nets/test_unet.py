"""The network that labels pixels."""

import pytest
import torch

from metaprior.errors import MetapriorError
from metaprior.nets import Conv4, UNet, default_net, net_for
from metaprior.tasks import TaskSpec

PIXELS = TaskSpec("segmentation", (3, 16, 16), 2)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("outputs", [None, 3])
@pytest.mark.parametrize("widths", [(4,), (4, 6, 8, 8)])
def test_each_pixel_has_outputs(norm, outputs, widths):
    net = UNet(3, outputs, widths, norm)
    for size in ((16, 16), (21, 13)):
        assert net(torch.zeros(2, 3, *size)).shape == (2, net.features if outputs is None else outputs, *size)


def test_stages_stand_at_scales_that_halve_and_double():
    seen = {}
    net = UNet(1, 2, (4, 6, 8))
    for name, module in net.named_modules():
        if name.count(".") == 1:
            module.register_forward_hook(lambda m, i, output, name=name: seen.update({name: tuple(output.shape[1:])}))
    net(torch.zeros(1, 1, 16, 16))
    stages = {"encoder.0": (4, 16, 16), "encoder.1": (6, 8, 8), "encoder.2": (8, 4, 4)}
    assert {name: seen[name] for name in seen if "coder" in name and name.count(".") == 1} == stages | {
        "decoder.0": (6, 8, 8),
        "decoder.1": (4, 16, 16),
    }


def test_every_parameter_gets_a_gradient_and_the_seed_decides_them():
    net, x = UNet(3, 2, (4, 8)), torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    net(x).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in net.parameters())
    assert torch.equal(UNet(3, 2, (4, 8))(x), net(x))
    assert not torch.equal(UNet(3, 2, (4, 8), seed=1)(x), net(x))


def test_far_pixels_matter_through_the_coarse_scales():
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    flat, deep = (UNet(1, 1, widths, "none") for widths in ((8,), (8, 8, 8, 8)))
    reach = []
    for net in (flat, deep):
        (gradient,) = torch.autograd.grad(net(x)[0, 0, :, 16].sum(), x)
        columns = gradient[0, 0].abs().sum(0).nonzero().flatten()
        reach.append(int((columns - 16).abs().max()))
    assert reach[0] <= 2 < 12 < reach[1]


def test_it_is_what_segmentation_gets():
    assert isinstance(default_net(PIXELS, 2), UNet)
    assert isinstance(default_net(TaskSpec("classification", (3, 16, 16), 2), 2), Conv4)
    assert net_for("unet", PIXELS, headless=True, widths=(4, 8)).outputs is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(MetapriorError, match="net: 'conv4' does not label pixels; these are segmentation tasks"):
        net_for("conv4", PIXELS, headless=False)
    with pytest.raises(MetapriorError, match="net: 'unet' labels pixels; these are classification tasks"):
        net_for("unet", TaskSpec("classification", (3, 16, 16), 2), headless=False)
    with pytest.raises(MetapriorError, match="widths: 4 scales need images of at least 8 pixels a side, got"):
        UNet(1, 2, (4, 4, 4, 4))(torch.zeros(1, 1, 7, 9))
    with pytest.raises(MetapriorError, match="widths: expected the features of one scale or more, got none"):
        UNet(1, 2, ())
