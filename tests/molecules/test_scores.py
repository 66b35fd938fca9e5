"""The metrics of a query set, and whether what was said to be likely was."""

import warnings

import numpy as np
import pytest
import torch

from metaprior.molecules.scores import quantile_shares, reliability, scores_of


def test_calibration_of_values_is_that_of_what_was_said():
    random = torch.Generator().manual_seed(0)
    spread = torch.rand(20_000, generator=random) + 0.5
    true = torch.randn(20_000, generator=random) * spread
    found = {factor: scores_of(torch.zeros(20_000), true, factor * spread) for factor in (0.25, 1.0, 4.0)}
    assert found[1.0]["calibration_error"] < 0.01
    assert found[1.0]["coverage"] == pytest.approx(0.95, abs=0.005)
    assert found[0.25]["coverage"] == pytest.approx(0.376, abs=0.01), "of a normal within 0.49 deviations"
    assert found[4.0]["coverage"] == 1
    assert min(found[0.25]["calibration_error"], found[4.0]["calibration_error"]) > 0.1
    silent = scores_of(torch.zeros(5), true[:5])
    assert np.isnan([silent["calibration_error"], silent["coverage"]]).all()


def test_one_class_of_queries_has_no_auroc_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores_of(torch.tensor([0.2, 0.9]), torch.tensor([1, 1]))
    assert found["delta_auprc"] == 0
    assert np.isnan(found["auroc"])


def test_what_is_said_as_often_as_it_is_so_lies_on_the_diagonal():
    random = np.random.default_rng(0)
    said = random.random(50_000)
    label = (random.random(50_000) < said).astype(int)
    shown, shares, error = reliability(said, label)
    assert len(shown) == 10
    assert np.abs(shown - shares).max() < 0.03
    assert error < 0.01
    assert reliability(np.sqrt(said), label)[2] > 0.1
    assert [len(part) for part in reliability(np.array([0.0, 1.0]), np.array([0, 1]))[:2]] == [0, 0]


def test_shares_below_quantiles_are_those_of_a_normal_distribution():
    z = np.random.default_rng(0).standard_normal(50_000)
    levels, shares = quantile_shares(z)
    assert np.abs(levels - shares).max() < 0.01
    assert np.abs(quantile_shares(3 * z)[1] - levels).max() > 0.2
