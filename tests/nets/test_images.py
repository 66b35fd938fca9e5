"""Images of another size are refused by every network that knows its own."""

import pytest
import torch

from metaprior.errors import ShapeError
from metaprior.nets import MLP, Conv4, ConvNet, ResNet12, UNet
from metaprior.nets.images import check_images


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (Conv4(1, 28), (1, 20, 20)),
        (Conv4(1, 28), (1, 32, 32)),
        (ConvNet(1, 10, 3), (1, 12, 12)),
        (ResNet12(3), (1, 32, 32)),
        (UNet(1, 2, (4,)), (3, 8, 8)),
        (MLP(4), (5,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_inputs_are_refused(net, shape):
    with pytest.raises(ShapeError, match="x: expected"):
        net(torch.zeros(2, *shape))


def test_any_size_will_do_where_none_is_asked_for():
    check_images(torch.zeros(2, 3, 9, 7), channels=3)
    with pytest.raises(ShapeError, match=r"x: expected images of the shape \(3, height, width\), got \(9, 7\)"):
        check_images(torch.zeros(2, 9, 7), channels=3)
