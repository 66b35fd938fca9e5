"""Exact regression against scikit-learn's, in float64, with padding."""

import numpy as np
import pytest
import torch

from metaprior.gaussian import condition, evidence

gp = pytest.importorskip("sklearn.gaussian_process")
kernels = pytest.importorskip("sklearn.gaussian_process.kernels")


@pytest.fixture
def task():
    numbers = np.random.default_rng(0)
    x, asked = numbers.normal(size=(7, 2)), numbers.normal(size=(4, 2))
    return x, np.sin(x) + x[:, ::-1], asked


def covariances(x, asked):
    kernel = 1.7 * kernels.RBF(0.8)
    pairs = kernel(x), kernel(x, asked), kernel.diag(asked)
    return kernel, *(torch.from_numpy(part)[None] for part in pairs)


def padded(*parts):
    """Put two rows of padding in the midst of the support, on every axis that has it."""
    return (torch.cat([part[:, :3], torch.full_like(part[:, :2], 9.0), part[:, 3:]], dim=1) for part in parts)


@pytest.mark.parametrize("padding", [False, True])
def test_condition_and_evidence_equal_scikit_learn(task, padding):
    x, y, asked = task
    kernel, covariance, across, own = covariances(x, asked)
    oracle = gp.GaussianProcessRegressor(kernel, alpha=0.2, optimizer=None).fit(x, y)
    mean, deviation = oracle.predict(asked, return_std=True)
    targets, real, noise = torch.from_numpy(y)[None], torch.ones(1, 7).double(), torch.tensor([0.2]).double()
    if padding:
        targets, real, across, covariance = padded(targets, real, across, covariance)
        (covariance,) = padded(covariance.mT)
        real, targets = real * (real != 9), targets * (real != 9)[..., None]
    got, variance = condition(covariance, noise, targets, real, across, own)
    assert np.allclose(got[0], mean, atol=1e-10)
    assert np.allclose(variance[0], deviation**2, atol=1e-10)
    expected = sum(
        gp.GaussianProcessRegressor(kernel, alpha=0.2, optimizer=None).fit(x, y[:, k]).log_marginal_likelihood()
        for k in range(2)
    )
    assert 2 * float(evidence(covariance, noise, targets, real)) == pytest.approx(expected)


@pytest.mark.parametrize("size", [64, 256])
def test_rows_that_are_all_alike_can_be_factorised_in_float32(size):
    covariance, targets = torch.full((1, size, size), 100.0), torch.ones(1, size, 1)
    found = evidence(covariance, torch.tensor([1e-4]), targets, torch.ones(1, size))
    assert found.isfinite().all()
