"""Choosing what to measure, against what the formulas stand for."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from metaprior import Ridge
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules.controls import control
from metaprior.molecules.screening import (
    ACQUISITIONS,
    Belief,
    Rows,
    choose,
    expected_improvement,
    simulate,
    surrogate_of_estimator,
    surrogate_of_prior,
    upper_confidence,
)
from metaprior.registry import priors
from metaprior.tasks import TaskSpec


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def beliefs(size: int = 6, seed: int = 0) -> Belief:
    mean = torch.randn(size, generator=generator(seed), dtype=torch.float64)
    return Belief(mean, torch.rand(size, generator=generator(seed + 1), dtype=torch.float64) + 0.1)


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(0.01, 3), st.floats(-3, 3))
def test_expected_improvement_is_the_mean_of_what_exceeds_the_best(mean, deviation, best):
    belief = Belief(torch.tensor([mean], dtype=torch.float64), torch.tensor([deviation], dtype=torch.float64))
    # Gauss-Legendre would do as well; a fine grid over the quantiles has no singularity to care for.
    quantiles = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    drawn = mean + deviation * torch.special.ndtri(quantiles)
    expected = (drawn - best).clamp(min=0).mean().item()
    assert expected_improvement(belief, best).item() == pytest.approx(expected, abs=2e-4 * deviation + 1e-9)


def test_what_is_certain_is_worth_what_it_exceeds():
    belief = Belief(torch.tensor([0.0, 2.0]).double(), torch.zeros(2).double())
    assert expected_improvement(belief, 1.0).tolist() == pytest.approx([0.0, 1.0])
    assert torch.equal(upper_confidence(belief), belief.mean)


@pytest.mark.parametrize("acquisition", ACQUISITIONS)
@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 15))
def test_what_is_chosen_can_be_measured_and_is_not_chosen_twice(acquisition, open_, batch):
    mask = torch.tensor(open_)
    found = choose(acquisition, beliefs(len(open_)), mask, 0.0, batch, generator()).tolist()
    assert len(found) == len(set(found)) == min(batch, sum(open_))
    assert all(open_[at] for at in found)


def test_thompson_sampling_takes_the_best_as_often_as_it_is_the_best():
    belief = Belief(torch.tensor([0.0, 0.5]).double(), torch.tensor([1.0, 1.0]).double())
    draws = generator()
    first = [choose("thompson", belief, torch.ones(2, dtype=torch.bool), 0.0, 1, draws).item() for _ in range(2000)]
    expected = torch.special.ndtr(torch.tensor(0.5 / math.sqrt(2))).item()
    assert sum(first) / 2000 == pytest.approx(expected, abs=0.04)


def test_an_unknown_acquisition():
    with pytest.raises(UnknownNameError, match="unknown acquisition 'gready': did you mean 'greedy'"):
        choose("gready", beliefs(), torch.ones(6, dtype=torch.bool), 0.0, 1, generator())
    with pytest.raises(DataError, match="surrogate: 'greedy' needs a belief"):
        simulate(None, Rows(torch.zeros(1, 6, 1)), torch.zeros(6), torch.zeros(6).bool(), torch.arange(1), "greedy")


@pytest.fixture
def plane():
    """A library of 60 whose values are linear in its features, and its 6 hits."""
    x = torch.randn(1, 60, 3, generator=generator(5))
    values = (x[0] @ torch.tensor([1.0, -2.0, 0.5])).double()
    hits = torch.zeros(60, dtype=torch.bool)
    hits[values.topk(6).indices] = True
    return Rows(x), values, hits


def test_a_loop_measures_nothing_twice_and_finds_what_a_good_model_sees(plane):
    library, values, hits = plane
    surrogate = surrogate_of_prior(Ridge(nn.Flatten(), outputs=1, penalty=0.01))
    # No hit is among the first.
    start = values.argsort()[10:20]
    for acquisition in ("greedy", "expected_improvement", "upper_confidence"):
        found = simulate(surrogate, library, values, hits, start, acquisition, rounds=2, batch=6)
        every = torch.cat(list(found.picks)).tolist()
        assert len(every) == len(set(every)) == 22
        assert found.measured == [10, 16, 22]
        assert found.hits[0] == 0
        assert found.hits[-1] >= 5
        assert found.best == sorted(found.best)
        assert found.best[-1] == values.max()


def test_random_finds_a_fair_share(plane):
    library, values, hits = plane
    found = [
        simulate(None, library, values, hits, torch.arange(0), "random", 1, 30, generator(seed)).hits[-1]
        for seed in range(200)
    ]
    assert sum(found) / 200 == pytest.approx(3, abs=0.3)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.1, 100), st.floats(-100, 100))
def test_units_do_not_matter(scale, shift):
    x = torch.randn(1, 30, 3, generator=generator(5))
    values = (x[0] @ torch.tensor([1.0, -2.0, 0.5])).double()
    surrogate = surrogate_of_prior(Ridge(nn.Flatten(), outputs=1))
    plain, other = (surrogate(x[:, :8], each[:8], Rows(x)) for each in (values, scale * values + shift))
    assert torch.allclose(plain.mean * scale + shift, other.mean, rtol=1e-3, atol=1e-3 * scale)
    assert torch.allclose(plain.deviation * scale, other.deviation, rtol=1e-2, atol=1e-3 * scale)


def test_a_prior_of_classes_believes_nothing_of_values(plane):
    surrogate = surrogate_of_prior(priors["cnp"].for_tasks(TaskSpec("classification", (2,), 2)))
    with pytest.raises(DataError, match="prior: was not acquired to predict one value, which a screen is by"):
        surrogate(torch.zeros(1, 3, 2), torch.arange(3).double(), Rows(torch.zeros(1, 4, 2)))


def test_fixed_units_and_no_example_at_all(plane):
    library, _, _ = plane
    surrogate = surrogate_of_prior(Ridge(nn.Flatten(), outputs=1), fixed=(3.0, 2.0))
    belief = surrogate(library.x[:, :0], torch.empty(0).double(), library)
    assert torch.allclose(belief.mean, torch.tensor(3.0).double())
    assert torch.allclose(belief.deviation, torch.tensor(2.0).double())


def test_a_gaussian_process_believes_what_it_was_told():
    x = (torch.rand(1, 40, 16, generator=generator()) > 0.5).float()
    values = x[0, :, :4].sum(1).double()
    belief = surrogate_of_estimator(control("tanimoto_gp", "regression"))(x[:, :20], values[:20], Rows(x))
    inside, outside = belief.deviation[:20].mean(), belief.deviation[20:].mean()
    assert inside < outside
    assert torch.corrcoef(torch.stack([belief.mean[20:], values[20:]]))[0, 1] > 0.4
