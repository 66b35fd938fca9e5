"""The hierarchical Bayesian model against closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Gamma, MultivariateNormal, Normal, kl_divergence

from metaprior import NIWMeta, acquire
from metaprior.gaussian.niw import confidence, divergence, slack
from metaprior.nets import MLP
from metaprior.tasks import Examples, Linear
from metaprior.testing import ToyTasks


class Identity(nn.Module):
    """A network that leaves its inputs as they are."""

    def __init__(self, features: int):
        super().__init__()
        self.features = features

    def forward(self, x):
        return x


def posterior_prior(source: Linear) -> NIWMeta:
    """A prior that holds what is true of the source: weights about 0, of one variance, and no constant."""
    prior = NIWMeta(Identity(source.features), outputs=1, noise=source.noise_var).double()
    with torch.no_grad():
        prior.log_variance[:-1] = math.log(source.prior_var)
        prior.log_variance[-1] = -40.0
        prior.log_noise.copy_(torch.tensor(math.log(source.noise_var - 1e-4)))
    return prior


@pytest.mark.parametrize("shots", [1, 4, 20])
def test_a_task_has_the_exact_bayesian_posterior(shots):
    source = Linear(features=4, shots=shots, queries=6, prior_var=2.0, noise_var=0.3)
    episode = source.sample(5, torch.Generator().manual_seed(0)).to(torch.float64)
    prior = posterior_prior(source)
    state = prior.observe(prior.start(5), episode.support)
    mean, variance = source.predict(episode.support, episode.query.x)
    torch.testing.assert_close(prior.predict(state, episode.query.x), mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(prior.deviation(state, episode.query.x).square(), variance, rtol=1e-5, atol=1e-5)


def test_the_bound_is_what_its_definition_says():
    """Expected log likelihood of the best weights, less divergences, each from torch.distributions."""
    numbers = torch.Generator().manual_seed(0)
    x, y = (torch.randn(1, 7, 2, dtype=torch.float64, generator=numbers) for _ in range(2))
    prior = NIWMeta(Identity(2), outputs=2, noise=0.4, tasks=5).double()
    with torch.no_grad():
        prior.mean.copy_(torch.randn(3, 2, dtype=torch.float64, generator=numbers))
        prior.log_variance.copy_(torch.randn(3, dtype=torch.float64, generator=numbers))
    noise, variance = float(prior._noise.detach()), prior.log_variance.exp().detach()
    features = torch.cat([x[0], torch.ones(7, 1).double()], dim=1)
    certainty, degrees = confidence(2, 5)
    precision = features.T @ features / noise + torch.diag(1 / variance)
    covariance, a = torch.linalg.inv(precision), degrees / 2
    bound = torch.zeros(()).double()
    for k in range(2):
        best = covariance @ (features.T @ y[0, :, k] / noise + prior.mean[:, k].detach() / variance)
        fit = Normal(features @ best, noise**0.5).log_prob(y[0, :, k]).sum()
        bound += fit - 0.5 * torch.trace(features @ covariance @ features.T) / noise
        # Over the variance of each weight, 1 / Gamma(a, a * variance), and over its mean given that.
        expected = kl_divergence(
            MultivariateNormal(best, covariance), MultivariateNormal(prior.mean[:, k].detach(), torch.diag(variance))
        )
        logarithm = (variance * a).log() - torch.digamma(torch.tensor(a).double())
        bound -= expected + 0.5 * (logarithm - variance.log()).sum() + 0.5 * 3 / certainty
    bound -= divergence(prior.mean, prior.log_variance.exp(), 5).detach() / 5
    episode = type("One", (), {"support": Examples(x[:, :3], y[:, :3]), "query": Examples(x[:, 3:], y[:, 3:])})
    episode.tasks, episode.about = 1, None
    assert -14 * float(prior.loss(episode).detach()) == pytest.approx(float(bound))


def test_divergence_is_that_of_normal_and_inverse_gamma():
    mean, variance = torch.tensor([[0.5], [-1.0]]).double(), torch.tensor([0.3, 2.0]).double()
    certainty, degrees = confidence(1, 9)
    a, before = degrees / 2, 1.0
    gammas = kl_divergence(Gamma(a, variance * a), Gamma(before, before / 2)).sum()
    numbers = Gamma(torch.full((200_000, 2), a).double(), variance * a)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        precision = numbers.sample()
    spread = precision.rsqrt()
    normals = kl_divergence(Normal(mean[:, 0], spread / certainty**0.5), Normal(0.0, spread)).sum(1).mean()
    assert float(divergence(mean, variance, 9)) == pytest.approx(float(gammas + normals), rel=1e-2)


def test_the_bound_is_greatest_at_the_conjugate_posterior():
    """Where labels leave no doubt about the weights of tasks, mean and variance have a posterior in closed form."""
    tasks, features = 6, 2
    numbers = torch.Generator().manual_seed(0)
    weights = torch.randn(tasks, features + 1, dtype=torch.float64, generator=numbers) + 1
    x = torch.randn(tasks, 50, features, dtype=torch.float64, generator=numbers)
    y = torch.cat([x, torch.ones(tasks, 50, 1)], dim=-1) @ weights[..., None]
    prior = NIWMeta(Identity(features), outputs=1, tasks=tasks).double()
    # The prior of a mean is worth one task at 0; that of a variance is 1 / Gamma(1, 1 / width).
    width = features + 1
    centre = weights.sum(0) / (tasks + 1)
    spread = (weights - centre).square().sum(0) + centre.square() + 2.0 / width
    with torch.no_grad():
        prior.mean.copy_(centre[:, None])
        prior.log_variance.copy_((spread / confidence(1, tasks)[1]).log())
        prior.log_noise.fill_(math.log(1e-6))
    # The least noise, 1e-4, leaves next to no doubt about weights after 50 labels.
    half = Examples(x[:, :25], y[:, :25]), Examples(x[:, 25:], y[:, 25:])
    episode = type("All", (), {"support": half[0], "query": half[1], "tasks": tasks, "about": None})
    prior.loss(episode).backward()
    scale = 50  # the loss is for each label
    assert scale * prior.mean.grad.abs().max() < 1e-3
    assert scale * prior.log_variance.grad.abs().max() < 1e-3


def test_doubt_vanishes_with_many_tasks():
    assert slack(4, 1, 10) > 10 * slack(4, 1, 1000) > 0


def test_learns_the_mean_and_the_variance_of_weights():
    source = Linear(features=3, shots=8, queries=8, prior_var=2.0, noise_var=0.2)
    prior = NIWMeta(Identity(3), outputs=1, tasks=100_000)
    acquire(prior, source, steps=200, learning_rate=0.05, tasks_per_step=32, validations=0)
    assert prior.mean.detach().abs().max() < 0.4
    assert (prior.log_variance[:-1].exp() - 2.0).abs().max() < 0.8
    assert prior.log_noise.exp().item() == pytest.approx(0.2, abs=0.06)


def test_a_class_beyond_those_acquired():
    x = torch.eye(3)[None]
    prior = NIWMeta(MLP(3, hidden=(8,)), outputs=2)
    state = prior.observe(prior.start(1), Examples(x, torch.tensor([[0, 1, 2]])))
    assert prior.predict(state, x).argmax(-1).tolist() == [[0, 1, 2]]


def test_before_any_example_it_says_what_it_acquired():
    source = ToyTasks("regression", (4,), outputs=2)
    prior = NIWMeta.for_tasks(source.spec)
    with torch.no_grad():
        prior.mean[-1] = torch.tensor([3.0, -1.0])
    assert prior.predict(prior.start(1), torch.zeros(1, 1, 4))[0, 0].tolist() == pytest.approx([3.0, -1.0], abs=1e-5)
