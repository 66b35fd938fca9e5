"""Bayesian linear regression: its oracle is the exact posterior, and nothing beats it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from metaprior.errors import DataError
from metaprior.metric import Ridge
from metaprior.registry import build, describe
from metaprior.tasks import Examples, Linear


def draw(source, tasks=50, seed=0, split="train"):
    return source.sample(tasks, torch.Generator().manual_seed(seed), split)


@settings(max_examples=30, deadline=None)
@given(
    features=st.integers(1, 6),
    shots=st.integers(1, 9),
    prior_var=st.floats(0.1, 5.0),
    noise_var=st.floats(0.05, 2.0),
    seed=st.integers(0, 2**31),
)
def test_the_oracle_is_gaussian_conditioning(features, shots, prior_var, noise_var, seed):
    """Condition the joint Gaussian of all targets on those of the support: another way to the same belief."""
    source = Linear(features, shots, 4, prior_var, noise_var)
    episode = draw(source, 3, seed).to(torch.float64)
    assert episode.support.x.shape == (3, shots, features)
    assert episode.query.y.shape == (3, 4, 1)
    support, query = episode.support.x, episode.query.x
    own = prior_var * support @ support.mT + noise_var * torch.eye(shots, dtype=torch.float64)
    cross = prior_var * query @ support.mT
    expected_mean = cross @ torch.linalg.solve(own, episode.support.y)
    spread = prior_var * query.square().sum(-1) + noise_var - (cross * torch.linalg.solve(own, cross.mT).mT).sum(-1)

    mean, variance = source.predict(episode.support, query)
    torch.testing.assert_close(mean, expected_mean, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(variance[..., 0], spread, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("shots", [3, 12])
def test_a_ridge_head_with_the_right_penalty_is_the_oracle(shots):
    source = Linear(features=5, shots=shots, prior_var=2.0, noise_var=0.3)
    episode = draw(source)
    prior = Ridge(nn.Identity(), outputs=1, penalty=source.penalty, bias=False)
    with torch.no_grad():
        prediction = prior.predict(prior.observe(prior.start(50), episode.support), episode.query.x)
    torch.testing.assert_close(prediction, source.predict(episode.support, episode.query.x)[0], rtol=1e-4, atol=1e-4)


def test_its_variance_is_the_error_that_it_makes_and_no_other_penalty_does_better():
    source = Linear(features=4, shots=5, prior_var=1.5, noise_var=0.4)
    episode = draw(source, 4000)
    mean, variance = source.predict(episode.support, episode.query.x)
    error = (mean - episode.query.y).square().mean()
    assert abs(error / variance.mean() - 1) < 0.02
    for other in (0.3, 3.0):
        worse = Linear(features=4, prior_var=source.prior_var * other, noise_var=source.noise_var)
        assert (worse.predict(episode.support, episode.query.x)[0] - episode.query.y).square().mean() > 1.005 * error


def test_the_posterior_covers_the_weights():
    source = Linear(features=3, shots=4, queries=200, prior_var=1.0, noise_var=0.25)
    episode = draw(source, 3000).to(torch.float64)
    mean, covariance = source.posterior(episode.support)
    assert mean.shape == (3000, 3)
    assert covariance.shape == (3000, 3, 3)
    # The many queries tell the weights almost exactly.
    weights = torch.linalg.lstsq(episode.query.x, episode.query.y).solution[..., 0]
    distance = ((weights - mean)[:, None] @ torch.linalg.solve(covariance, (weights - mean)[..., None]))[:, 0, 0]
    assert 2.9 < distance.mean() < 3.3, "a chi-squared variable of 3 degrees has mean 3"


def test_padding_has_no_influence_even_if_it_is_not_a_number():
    source = Linear(features=3, shots=6)
    episode = draw(source, 4)
    mask = torch.arange(6) < torch.tensor([[6], [4], [1], [0]])
    hidden = ~mask[..., None]
    support = episode.support
    padded = Examples(support.x.masked_fill(hidden, torch.nan), support.y.masked_fill(hidden, torch.nan), mask)
    mean, covariance = source.posterior(padded)
    for task, real in enumerate((6, 4, 1)):
        alone = source.posterior(support[task : task + 1].take(slice(0, real)))
        torch.testing.assert_close(mean[task], alone[0][0])
        torch.testing.assert_close(covariance[task], alone[1][0])
    torch.testing.assert_close(mean[3], torch.zeros(3))
    torch.testing.assert_close(covariance[3], source.prior_var * torch.eye(3))


@pytest.mark.parametrize("name", ["prior_var", "noise_var"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_variance_that_is_none_is_refused(name, value):
    source = Linear(**{name: value})
    with pytest.raises(DataError, match=f"{name}: expected a positive number, got {value}"):
        draw(source)
    with pytest.raises(DataError, match=f"{name}: expected a positive number"):
        source.posterior(draw(Linear()).support)


def test_seeds_and_description():
    source = Linear(features=2, shots=3, noise_var=0.5)
    assert torch.equal(draw(source, seed=1).query.y, draw(source, seed=1).query.y)
    assert not torch.equal(draw(source, seed=1).query.y, draw(source, seed=2).query.y)
    assert build(describe(source)).test_set(5).hash == source.test_set(5).hash
    assert (source.spec.kind, source.spec.x_shape, source.spec.outputs) == ("regression", (2,), 1)
