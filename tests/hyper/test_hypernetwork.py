"""A generated network is the network itself with other parameters; any module can be one."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.hyper import Hypernetwork
from metaprior.hyper.generators import GENERATORS
from metaprior.nets import MLP, Conv4, ResNet12
from metaprior.registry import build, describe

EVERY = pytest.mark.parametrize("generator", list(GENERATORS))


@EVERY
@pytest.mark.parametrize(
    ("net", "x"),
    [
        (MLP(3, 2), torch.rand(4, 3)),
        (Conv4(1, 16, 2, width=4), torch.rand(4, 1, 16, 16)),
        (Conv4(1, 16, 2, width=8, norm="group"), torch.rand(4, 1, 16, 16)),
        (ResNet12(3, 2, widths=(4, 4, 8, 8)), torch.rand(4, 3, 16, 16)),
        (nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 2)), torch.randint(7, (4, 3))),
    ],
    ids=["mlp", "conv4", "group", "resnet12", "embedding"],
)
def test_the_generated_network_is_the_plain_one_given_the_same_weights(generator, net, x):
    hypernetwork = Hypernetwork(net, generator).eval()
    expected = functional_call(net.eval(), hypernetwork.weights(), (x,))
    torch.testing.assert_close(hypernetwork(x), expected)


def test_the_network_given_is_left_as_it_was():
    net = MLP(3, 2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    hypernetwork = Hypernetwork(net)
    hypernetwork(torch.rand(4, 3)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_only_what_is_generated_leaves_the_network():
    hypernetwork = Hypernetwork(MLP(3, 2), generated=r"^head\.")
    free = {name for name, _ in hypernetwork.net.named_parameters()}
    assert free == {"layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"}
    assert set(hypernetwork.weights()) == {"head.weight", "head.bias"}
    hypernetwork(torch.rand(4, 3)).sum().backward()
    assert all(parameter.grad is not None for parameter in hypernetwork.parameters())


def test_generated_parameters_are_neither_counted_nor_saved():
    hypernetwork = Hypernetwork(MLP(3, 2), "chunked")
    assert not any(name.startswith("net.") for name in hypernetwork.state_dict())
    assert not any(name.startswith("net.") for name, _ in hypernetwork.named_parameters())


def test_another_code_is_another_network():
    hypernetwork, x = Hypernetwork(MLP(3, 2)), torch.rand(4, 3)
    other = functional_call(hypernetwork.net, hypernetwork.weights(torch.zeros(16)), (x,))
    assert not torch.allclose(hypernetwork(x), other)


@EVERY
def test_a_description_rebuilds_it(generator):
    hypernetwork = Hypernetwork(Conv4(1, 16, 2, width=4), generator, code_size=3, hidden=5, generated="head", seed=2)
    again = build(describe(hypernetwork))
    again.load_state_dict(hypernetwork.state_dict())
    x = torch.rand(4, 1, 16, 16)
    assert torch.equal(again(x), hypernetwork(x))


def test_precision_moves_with_it():
    hypernetwork = Hypernetwork(MLP(3, 2)).double()
    assert hypernetwork(torch.rand(4, 3).double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"generator": "low_rnk"}, UnknownNameError, "did you mean 'low_rank'"),
        (
            {"generated": "nothing"},
            MetapriorError,
            r"generated: expected a pattern that matches one of layers",
        ),
        ({"code_size": 0}, MetapriorError, "code_size: expected"),
        ({"hidden": -1}, MetapriorError, "hidden: expected"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        Hypernetwork(MLP(3, 2), **arguments)


def test_a_hypernetwork_of_a_hypernetwork_is_refused():
    with pytest.raises(MetapriorError, match="net: expected a plain network, got a Hypernetwork"):
        Hypernetwork(Hypernetwork(MLP(3, 2)))
