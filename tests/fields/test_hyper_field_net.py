"""The network that writes fields: what its weights depend on, and what they share."""

import pytest
import torch

from metaprior.errors import MetapriorError
from metaprior.fields import HyperFieldNet


def test_activations_have_a_say_only_if_dynamic(prior, told):
    for dynamic in (True, False):
        own = told(prior(dynamic=dynamic))
        before = own.start(1, about=["a red ball"]).weights
        with torch.no_grad():
            own.net.planes.add_(0.1 * torch.randn(own.net.planes.shape))
        after = own.start(1, about=["a red ball"]).weights
        torch.testing.assert_close(before["layers.0.weight"], after["layers.0.weight"])
        assert bool(torch.allclose(before["layers.1.weight"], after["layers.1.weight"])) != dynamic


@pytest.mark.parametrize("stop", [True, False])
def test_gradients_stop_at_activations(stop, prior, told):
    own = told(prior(stop_gradient=stop))
    own.start(1, about=["a red ball"]).weights["layers.1.weight"].square().sum().backward()
    assert (own.net.planes.grad is None) == stop


def test_activations_at_probes_tell_of_directions_too(prior, told):
    """What the layers that know the view are written by follows what reaches them along the probe directions."""
    own = told(prior(directions=True))
    before = own.start(1, about=["a red ball"]).weights
    own.net.probe_directions = -own.net.probe_directions
    after = own.start(1, about=["a red ball"]).weights
    torch.testing.assert_close(before["view.0.weight"], after["view.0.weight"])  # the normal, for all directions
    assert not torch.allclose(before["view.1.weight"], after["view.1.weight"])


def test_one_network_for_all_differs_by_biases_alone(prior):
    own = prior(writes="biases", dynamic=False)
    with torch.no_grad():
        own.net.writers[1].heads.normal_()  # which begin as nothing, as biases do
    weights = own.start(2, about=["a red ball", "a green box"]).weights
    assert torch.equal(weights["layers.1.weight"][0], weights["layers.1.weight"][1])
    assert not torch.equal(weights["layers.1.bias"][0], weights["layers.1.bias"][1])


def test_wrong_settings_are_named():
    with pytest.raises(MetapriorError, match="unknown generator 'templates'"):
        HyperFieldNet(64, generator="templates")
    with pytest.raises(MetapriorError, match="code_size: expected a multiple of heads, 4; got 10"):
        HyperFieldNet(64, code_size=10)
