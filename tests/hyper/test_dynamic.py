"""Dynamic hypernetworks: layers answer to what reaches them, queries do not answer to each other."""

import pytest
import torch
from torch import nn

from metaprior import Hypernet
from metaprior.errors import MetapriorError, ShapeError
from metaprior.hyper import DynamicHypernetwork, Hypernetwork
from metaprior.hyper.generators import GENERATORS
from metaprior.nets import MLP, Conv4
from metaprior.testing import ToyTasks, conformance_checks

CHECKS = dict(conformance_checks())
SHARED = [name for name in GENERATORS if name != "templates"]


def told(hypernetwork, spread=0.1):
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in hypernetwork.told:
            part.copy_(torch.randn(part.shape, generator=random) * spread)
    return hypernetwork


def prior_for(spec):
    prior = Hypernet(MLP(4, spec.outputs, hidden=(8,)), code_size=3, hidden=4, dynamic=True, inner_steps=2)
    told(prior.net)
    return prior


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in ("memory", "arguments")])
def test_contract(check):
    CHECKS[check](prior_for, ToyTasks("regression", (4,), outputs=2, shots=5, queries=4))


@pytest.mark.parametrize("generator", SHARED)
@pytest.mark.parametrize("net", [MLP(3, 2), Conv4(1, 16, 2, width=8, norm="group")], ids=["mlp", "conv4"])
def test_it_runs_the_network_with_the_weights_it_wrote(generator, net):
    hypernetwork = DynamicHypernetwork(net, generator)
    x = torch.rand(4, 3) if isinstance(net, MLP) else torch.rand(4, 1, 16, 16)
    expected = torch.func.functional_call(net, hypernetwork.weights(), (x,))
    torch.testing.assert_close(hypernetwork(x), expected)
    assert hypernetwork.weights().keys() == dict(net.named_parameters()).keys()
    assert not torch.allclose(told(hypernetwork)(x), expected)


def test_the_first_layer_has_the_code_alone():
    net = nn.Sequential(nn.Linear(3, 5))
    hypernetwork = DynamicHypernetwork(net)
    assert len(hypernetwork.told) == 0
    both = Hypernetwork(net)
    both.load_state_dict(
        {name.replace("writer.0", "writer"): value for name, value in hypernetwork.state_dict().items()}
    )
    x = torch.rand(4, 3)
    assert torch.equal(hypernetwork(x), both(x))


def test_an_error_on_the_way_leaves_nothing_behind():
    hypernetwork = DynamicHypernetwork(MLP(3, 2))
    before = dict(hypernetwork.net.named_buffers())
    with pytest.raises(ShapeError):
        hypernetwork(torch.rand(4, 7))
    assert all(value is before[name] for name, value in hypernetwork.net.named_buffers())
    assert not any(module._forward_pre_hooks for module in hypernetwork.net.modules())


def test_templates_are_refused():
    with pytest.raises(MetapriorError, match="generator: 'templates' has a code for each layer"):
        DynamicHypernetwork(MLP(3, 2), "templates")


def test_a_layer_that_is_not_called_is_named():
    with pytest.raises(MetapriorError, match=r"net: 'blocks.0.conv' has generated parameters, but was not called"):
        DynamicHypernetwork(Conv4(1, 16, 2, width=4))(torch.rand(4, 1, 16, 16))


def test_a_layer_of_another_kind_is_refused():
    net = nn.Sequential(nn.Linear(3, 3), nn.Bilinear(3, 3, 2))
    with pytest.raises(
        MetapriorError, match="expected linear layers, convolutions and norms to generate, got Bilinear"
    ):
        DynamicHypernetwork(net)
