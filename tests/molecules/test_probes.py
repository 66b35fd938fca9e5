"""Probes on features, against scikit-learn and closed forms."""

import numpy as np
import pytest
import torch
from torch import nn

from metaprior.molecules.probes import _ridge, logistic, quadratic, ridge

linear_model = pytest.importorskip("sklearn.linear_model")


def task(classes: int = 2, n: int = 40, f: int = 5, seed: int = 0):
    numbers = np.random.default_rng(seed)
    x = numbers.normal(size=(n, f))
    y = (x @ numbers.normal(size=(f, classes)) + numbers.normal(size=(n, classes))).argmax(1)
    return torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(numbers.normal(size=(7, f)))


def test_logistic_is_that_of_scikit_learn():
    x, y, asked = task()
    got = logistic(x[None], nn.functional.one_hot(y)[None].double(), torch.ones(1, 40).double(), asked[None], False)
    # The intercept is a constant feature of the length of the longest row.
    length = float(x.square().sum(1).max()) ** 0.5
    wide = np.c_[x, np.full(40, length)]
    oracle = linear_model.LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=1000).fit(wide, y)
    expected = oracle.decision_function(np.c_[asked, np.full(7, length)])
    assert np.allclose((got[0, :, 1] - got[0, :, 0]).numpy(), expected, atol=1e-5)


def test_moderation_draws_towards_a_half_and_most_where_little_is_known():
    x, y, _ = task()
    targets, real = nn.functional.one_hot(y)[None].double(), torch.ones(1, 40).double()
    asked = torch.stack([x[0], 30 * x[0]])[None]
    plain = logistic(x[None], targets, real, asked, False)[0, :, 1].abs()
    moderate = logistic(x[None], targets, real, asked, True)[0, :, 1].abs()
    assert (moderate < plain).all()
    assert moderate[1] / plain[1] < moderate[0] / plain[0]


def test_ridge_is_the_gaussian_process_that_it_says():
    x, _, asked = task(n=30)
    y = x[:, :1] * 2 - x[:, 1:2] + torch.from_numpy(np.random.default_rng(1).normal(size=(30, 1))) / 2 + 5
    mean, variance = ridge(x[None], y[None], torch.ones(1, 30).double(), asked[None])
    centred = x - x.mean(0)
    scale = centred.square().sum() / 30
    best = None
    for noise in torch.logspace(-2, 1, 13, dtype=torch.float64):
        kernel = (centred @ centred.T / scale + noise * torch.eye(30)).numpy()
        weights = np.linalg.solve(kernel, (y - y.mean()).numpy())
        signal = ((y - y.mean()).T.numpy() @ weights).item() / 29
        # Without the direction of the mean, which has been taken away and has the noise for an eigenvalue.
        evidence = -0.5 * (29 * np.log(signal) + np.linalg.slogdet(kernel)[1] - float(noise.log()))
        across = ((asked - x.mean(0)) @ centred.T / scale).numpy()
        own = ((asked - x.mean(0)).square().sum(1) / scale).numpy()
        left = own - (across * np.linalg.solve(kernel, across.T).T).sum(1) + float(noise)
        if best is None or evidence > best[0]:
            best = evidence, across @ weights + float(y.mean()), signal * left
    assert np.allclose(mean[0].numpy(), best[1], atol=1e-6)
    assert np.allclose(variance[0, :, 0].numpy(), best[2], atol=1e-6)


def test_ridge_chooses_the_scale_that_the_evidence_is_for():
    numbers = torch.Generator().manual_seed(0)
    x, asked = (torch.randn(2, n, 30, generator=numbers).double() for n in (25, 200))
    # One feature matters in the first task, all of them in the second.
    weights = torch.zeros(2, 30, 1).double()
    weights[0, 0], weights[1] = 1.0, torch.randn(30, 1, generator=numbers).double()
    y, truth = x @ weights, asked @ weights
    scales = torch.ones(2, 30).double()
    scales[1, 1:] = 0.1
    real = torch.ones(2, 25).double()
    plain, other = (ridge(x, y, real, asked, scales[one : one + 1]) for one in (0, 1))
    chosen = ridge(x, y, real, asked, scales)
    for found, expected in zip(chosen, ridge(x, y, real, asked), strict=True):
        torch.testing.assert_close(found[1], expected[1])
    for part in (0, 1):
        torch.testing.assert_close(chosen[part], torch.stack([other[part][0], plain[part][1]]))
    errors = [(found[0][0] - truth[0]).square().mean() for found in (plain, chosen)]
    assert errors[1] < 0.1 * errors[0]


def test_a_scale_needs_more_evidence_than_the_first():
    numbers = torch.Generator().manual_seed(0)
    x, asked = (torch.randn(60, n, 10, generator=numbers).double() for n in (20, 3))
    y = x[..., :2] + 2 * torch.randn(60, 20, 2, generator=numbers).double()
    scales, real = torch.ones(2, 10).double(), torch.ones(60, 20).double()
    scales[1, 2:] = 0.3
    first, second = (_ridge(x * scale, y, real, asked * scale) for scale in scales)
    more = second[2] - first[2]
    assert ((more > 0) & (more < 2)).any()
    assert (more > 2).any()
    expected = torch.where((more > 2)[:, None, None], second[0], first[0])
    torch.testing.assert_close(ridge(x, y, real, asked, scales)[0], expected)


def test_evidence_is_that_of_all_outputs():
    x, _, asked = task(n=12)
    y = x[:, :1] + torch.from_numpy(np.random.default_rng(1).normal(size=(12, 1)))
    one, two = (
        _ridge(x[None], own[None], torch.ones(1, 12).double(), asked[None])[2] for own in (y, torch.cat([y, y], 1))
    )
    torch.testing.assert_close(two, 2 * one)


def test_quadratic_tells_classes_of_one_mean_by_their_spread():
    numbers = torch.Generator().manual_seed(0)
    narrow, wide = torch.randn(40, 2, generator=numbers) * 0.2, torch.randn(40, 2, generator=numbers) * 3
    x = torch.cat([narrow, wide])[None]
    targets = nn.functional.one_hot(torch.arange(2).repeat_interleave(40))[None].float()
    asked = torch.tensor([[[4.0, -4.0], [0.5, 0.3]]])
    far, near = (quadratic(x, targets, torch.ones(1, 80), asked)[0].diff(dim=-1)).flatten()
    assert far > near, "the farther out, the likelier the wide class"
