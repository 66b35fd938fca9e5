"""What Gaussian beliefs about labels share: targets, densities, and the step from values to classes."""

import torch
from torch import nn

from metaprior import DKT
from metaprior.gaussian.belief import gaussian_losses, signed
from metaprior.metric.labels import Labelled
from metaprior.tasks import Episode, Examples


def test_losses_are_minus_the_logarithm_of_a_density():
    draw = torch.Generator().manual_seed(0)
    mean, target = (torch.randn(2, 5, 3, generator=draw) for _ in range(2))
    variance = torch.rand(2, 5, 1, generator=draw) + 0.1
    oracle = -torch.distributions.Normal(mean, variance.sqrt()).log_prob(target).mean(-1)
    torch.testing.assert_close(gaussian_losses(mean, variance, target), oracle)


def test_classes_are_ends_values_are_themselves_and_padding_is_nothing():
    targets = torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[3.0, -2.0], [0.5, 0.0]]])
    real = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    ends = signed(Labelled(torch.ones(2, 2, 1), targets, real, torch.tensor([True, False])))
    assert ends[0].tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    assert ends[1].equal(targets[1])


def test_two_classes_in_three_places_are_as_likely_as_in_two():
    x = torch.randn(1, 8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = (x[..., 0] > 0).long()
    ratios = []
    for outputs in (2, 3):
        prior = DKT(nn.Flatten(), outputs=outputs).double()
        logits = prior.predict(prior.observe(prior.start(1), Examples(x, y)), x + 0.2)
        ratios.append(logits[..., 1] - logits[..., 0])
    # Two values that are each other's negative count once, or the ratio of two of three would be another.
    torch.testing.assert_close(2 * ratios[0], ratios[1])


def test_the_predictive_loss_is_that_of_predictions():
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, 9, 1, generator=draw).double() for _ in range(2))
    prior = DKT(nn.Flatten(), outputs=1).double()
    episode = Episode(Examples(x[:, :5], y[:, :5]), Examples(x[:, 5:], y[:, 5:]))
    state = prior.observe(prior.start(2), episode.support)
    mean, spread = prior.predict(state, x[:, 5:]), prior.deviation(state, x[:, 5:])
    expected = -torch.distributions.Normal(mean, spread).log_prob(y[:, 5:]).mean()
    torch.testing.assert_close(prior.predictive_loss(episode), expected)
