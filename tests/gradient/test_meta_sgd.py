"""Meta-SGD: step sizes are acquired, one for each weight."""

import torch

from metaprior import MAML, MetaSGD, acquire
from metaprior.nets import MLP
from metaprior.tasks import Sinusoid


def test_begins_as_maml():
    episode = Sinusoid().sample(3, torch.Generator().manual_seed(0))
    settings = {"inner_steps": 2, "step_size": 0.01}
    ours, maml = MetaSGD(MLP(1, 1), **settings), MAML(MLP(1, 1), **settings)
    assert torch.equal(ours.loss(episode), maml.loss(episode))


def test_a_step_multiplies_each_gradient_by_its_own_size():
    episode = Sinusoid().sample(1, torch.Generator().manual_seed(0))
    prior, unit = MetaSGD(MLP(1, 1), step_size=1.0), MAML(MLP(1, 1), step_size=1.0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for size in prior.sizes:
            size.copy_(torch.randn(size.shape, generator=generator))
    start = prior.start(1).weights
    moved, plain = prior.observe(prior.start(1), episode.support), unit.observe(unit.start(1), episode.support)
    for (name, weight), size in zip(start.items(), prior.sizes, strict=True):
        expected = weight + size * (plain.weights[name] - weight)
        torch.testing.assert_close(moved.weights[name], expected, rtol=1e-4, atol=1e-5)


def test_acquisition_changes_the_sizes():
    prior = MetaSGD(MLP(1, 1), step_size=0.01)
    acquire(prior, Sinusoid(), steps=20, validations=0)
    assert all(bool((size != 0.01).any()) for size in prior.sizes)


def test_only_adapted_parameters_have_sizes():
    assert len(MetaSGD(MLP(1, 1), adapted="^head").sizes) == 2
