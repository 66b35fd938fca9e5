"""The ridge head against exact answers."""

import pytest
import torch
from torch import nn

from metaprior import Ridge, acquire, evaluate
from metaprior.tasks import Examples, Linear


@pytest.mark.parametrize("shots", [3, 5, 20], ids=["fewer rows than features", "equal", "more rows"])
def test_equals_the_exact_bayesian_posterior_mean(shots):
    source = Linear(features=5, shots=shots, queries=7, prior_var=2.0, noise_var=0.3)
    episode = source.sample(6, torch.Generator().manual_seed(0)).to(torch.float64)
    prior = Ridge(nn.Flatten(), outputs=1, penalty=source.penalty, bias=False).double()
    prediction = prior.predict(prior.observe(prior.start(6), episode.support), episode.query.x)
    exact, _ = source.predict(episode.support, episode.query.x)
    torch.testing.assert_close(prediction, exact, rtol=1e-6, atol=1e-6)


def test_learns_the_penalty_that_the_tasks_have():
    source = Linear(features=4, shots=4, queries=20, prior_var=1.0, noise_var=1.0)
    prior = Ridge(nn.Flatten(), outputs=1, penalty=0.01, bias=False)
    prior.log_scale.requires_grad_(False)
    before = evaluate(prior, source, episodes=200)
    acquire(prior, source, steps=100, learning_rate=0.1, tasks_per_step=32, validations=0)
    after = evaluate(prior, source, episodes=200)
    gain = before.scores - after.scores
    assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5
    assert 0.2 < prior.log_penalty.exp().item() < 5, "the true one is 1; the beginning was 0.01"


def test_a_task_with_more_classes_than_expected_makes_room():
    prior = Ridge(nn.Flatten(), outputs=2)
    support = Examples(torch.eye(4)[None], torch.arange(4)[None])
    prediction = prior.predict(prior.observe(prior.start(1), support), torch.eye(4)[None])
    assert prediction.argmax(-1).tolist() == [[0, 1, 2, 3]]


def test_before_any_example_every_class_is_as_likely():
    assert Ridge(nn.Flatten(), outputs=3).predict(Ridge(nn.Flatten(), 3).start(2), torch.ones(2, 4, 5)).unique() == 0
