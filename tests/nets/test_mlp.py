"""The multi-layer perceptron."""

import pytest
import torch
from torch.nn import functional

from metaprior.nets import MLP


@pytest.mark.parametrize(
    ("inputs", "outputs", "hidden"), [(1, 1, (40, 40)), (6, 3, (5,)), (4, None, (7, 2)), (3, 2, ())]
)
def test_shapes(inputs, outputs, hidden):
    net = MLP(inputs, outputs, hidden)
    assert net(torch.zeros(8, inputs)).shape == (8, net.features if outputs is None else outputs)


def test_inputs_are_flattened():
    assert MLP(12, 2)(torch.zeros(5, 3, 4)).shape == (5, 2)


def test_is_linear_layers_with_rectifiers_between():
    net, x = MLP(3, 2, (4,)), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    layer = net.layers[0]
    expected = (x @ layer.weight.T + layer.bias).clamp(min=0) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(x), expected)


def test_hidden_layers_are_normalised_before_the_rectifier():
    net, x = MLP(3, 2, (4,), norm="batch"), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    hidden = functional.batch_norm(x @ net.layers[0].weight.T, None, None, training=True).clamp(min=0)
    torch.testing.assert_close(net(x), net.head(hidden))
    assert MLP(3, 2, (16,), norm="group")(x).shape == (5, 2)


def test_the_seed_decides_the_weights():
    assert torch.equal(MLP(3, 2, seed=1).head.weight, MLP(3, 2, seed=1).head.weight)
    assert not torch.equal(MLP(3, 2, seed=1).head.weight, MLP(3, 2, seed=2).head.weight)
