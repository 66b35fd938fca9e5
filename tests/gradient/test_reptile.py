"""Reptile: an outer step moves the initial weights to the mean of the adapted ones."""

import torch

from metaprior import MAML, Reptile, acquire, evaluate
from metaprior.nets import MLP
from metaprior.tasks import Sinusoid


def test_a_full_step_lands_on_the_mean_of_the_adapted_weights():
    episode = Sinusoid().sample(4, torch.Generator().manual_seed(0))
    prior = Reptile(MLP(1, 1), inner_steps=3, step_size=0.01)
    one_step, state = MAML(prior.net, step_size=0.01, first_order=True), prior.start(4)
    for step in range(3):
        state = one_step.observe(state, episode.support.joined(episode.query).take(slice(step, None, 3)))
    prior.loss(episode).backward()
    for name, parameter in prior.net.named_parameters():
        landed = parameter - parameter.grad
        torch.testing.assert_close(landed, state.weights[name].mean(0), rtol=1e-4, atol=1e-6)


def test_what_it_acquires_adapts_better_than_initial_weights():
    source = Sinusoid(shots=10, queries=20)
    settings = {"inner_steps": 3, "step_size": 0.005, "test_steps": 10}
    untrained = evaluate(Reptile(MLP(1, 1), **settings), source, episodes=100)
    prior = Reptile(MLP(1, 1), **settings)
    acquire(prior, source, steps=150, tasks_per_step=5, validations=0)
    gain = untrained.scores - evaluate(prior, source, episodes=100).scores
    assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5


def test_more_steps_than_examples():
    prior = Reptile(MLP(1, 1), inner_steps=50, step_size=0.01)
    loss = prior.loss(Sinusoid(shots=2, queries=3).sample(2, torch.Generator().manual_seed(0)))
    assert loss.isfinite()
    assert loss > 0
