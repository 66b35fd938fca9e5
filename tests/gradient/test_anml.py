"""Gates: features times what the neuromodulatory network says, both acquired."""

import pytest
import torch
from torch import nn

from metaprior import ANML, OML, acquire, follow
from metaprior.errors import MetapriorError
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Examples, Roaming, Streams, Strokes, TaskSpec

X = torch.rand(2, 9, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (2, 9), generator=torch.Generator().manual_seed(1))


class Gated(nn.Module):
    features = 8

    def __init__(self, net, gate):
        super().__init__()
        self.net, self.gate = net, gate

    def forward(self, x):
        return self.net(x) * torch.sigmoid(self.gate(x))


def test_it_is_oml_on_gated_features():
    net, gate = MLP(4, hidden=(8,)), MLP(4, 8, hidden=(5,), seed=1)
    prior, same = ANML(net, gate, outputs=3, step_size=0.3), OML(Gated(net, gate), outputs=3, step_size=0.3)
    states = [learner.observe(learner.start(2), Examples(X, Y)) for learner in (prior, same)]
    torch.testing.assert_close(states[0], states[1])
    torch.testing.assert_close(prior.predict(states[0], X), same.predict(states[1], X))


def test_both_networks_are_acquired():
    source = Streams(Strokes(ways=3, shots=6, queries=1))
    prior = ANML.for_tasks(source.spec, MLP(100, hidden=(64,)), step_size=0.3)
    before = {name: value.clone() for name, value in prior.state_dict().items()}
    acquire(prior, source, steps=80, learning_rate=3e-3, tasks_per_step=8, validations=0)
    for part in ("net.", "gate."):
        assert any(not torch.equal(prior.state_dict()[name], before[name]) for name in before if name.startswith(part))
    accuracy = follow(prior, Streams(source, delay=2), streams=50).by_presentation()
    assert accuracy[1] < 0.6 < 0.75 < accuracy[4]


def test_it_follows_roaming_streams():
    source = Roaming("strokes", steps=20, classes=10)
    log = follow(ANML.for_tasks(source.spec, MLP(100, hidden=(16,))), Streams(source, delay=3), streams=4)
    assert log.average_precision() is not None


def test_gates_of_images_are_a_network_half_as_wide():
    prior = ANML.for_tasks(TaskSpec("classification", (1, 28, 28), 5))
    assert isinstance(prior.gate, Conv4)
    assert (prior.gate.width, prior.gate.outputs, prior.gate.norm) == (32, 64, "group")


def test_gates_that_see_the_batch_are_refused():
    with pytest.raises(MetapriorError, match="gate: expected a network without batch norm"):
        ANML(MLP(4, hidden=(8,)), MLP(4, 8, norm="batch"), outputs=3)
