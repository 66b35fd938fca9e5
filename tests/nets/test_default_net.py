"""The network that a prior gets when none is asked for."""

import pytest
import torch

from metaprior.errors import MetapriorError
from metaprior.nets import MLP, Conv4, default_net, net_for
from metaprior.tasks import TaskSpec


@pytest.mark.parametrize(
    ("shape", "kind"), [((1, 28, 28), Conv4), ((3, 32, 32), Conv4), ((1,), MLP), ((7,), MLP), ((5, 4), MLP)]
)
@pytest.mark.parametrize("outputs", [None, 4])
def test_it_fits_the_tasks(shape, kind, outputs):
    net = default_net(TaskSpec("classification", shape, 4), outputs)
    assert isinstance(net, kind)
    assert net(torch.zeros(3, *shape)).shape == (3, net.features if outputs is None else outputs)


def test_the_seed_decides_the_weights():
    spec = TaskSpec("regression", (2,), 1)
    assert not torch.equal(default_net(spec, 1, seed=0).head.weight, default_net(spec, 1, seed=1).head.weight)


def test_a_network_made_of_another_is_refused_by_name_alone():
    with pytest.raises(MetapriorError, match="net: 'hypernetwork' is made of another network; name that one"):
        net_for("hypernetwork", TaskSpec("regression", (1,), 1), headless=False)
