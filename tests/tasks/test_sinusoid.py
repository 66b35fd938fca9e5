"""Sinusoids: every point lies on the curve of its task, and the ranges are kept."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.registry import build, describe
from metaprior.tasks import Sinusoid


def draw(source, tasks=50, seed=0, split="train"):
    return source.sample(tasks, torch.Generator().manual_seed(seed), split)


def fit(episode):
    """Amplitude and phase of each task by least squares on sin x and cos x, and the residual."""
    x = torch.cat([episode.support.x, episode.query.x], 1).double()
    y = torch.cat([episode.support.y, episode.query.y], 1).double()
    waves = torch.cat([x.sin(), x.cos()], -1)
    weights = torch.linalg.lstsq(waves, y).solution
    # a sin(x - p) = a cos p sin x - a sin p cos x
    amplitude, phase = weights.norm(dim=1)[:, 0], torch.atan2(-weights[:, 1, 0], weights[:, 0, 0])
    return amplitude, phase, (waves @ weights - y).abs().max()


@settings(max_examples=25, deadline=None)
@given(
    shots=st.integers(1, 12),
    queries=st.integers(3, 30),
    tasks=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    split=st.sampled_from(["train", "valid", "test"]),
)
def test_every_point_lies_on_a_sinusoid_in_range(shots, queries, tasks, seed, split):
    episode = draw(Sinusoid(shots, queries), tasks, seed, split)
    assert episode.support.x.shape == episode.support.y.shape == (tasks, shots, 1)
    assert episode.query.x.shape == episode.query.y.shape == (tasks, queries, 1)
    assert episode.support.mask is None
    assert episode.ways is None
    assert episode.query.x.abs().max() <= 5
    assert episode.query.y.abs().max() <= 5
    assert fit(draw(Sinusoid(shots, 30), tasks, seed, split))[2] < 1e-4


def test_amplitudes_and_phases_fill_their_ranges():
    amplitude, phase, _ = fit(draw(Sinusoid(), 2000))
    assert 0.09 < amplitude.min() < 0.2
    assert 4.9 < amplitude.max() < 5.01
    assert -0.01 < phase.min() < 0.05
    assert math.pi - 0.05 < phase.max() < math.pi + 0.01


def test_amplitudes_out_of_the_distribution():
    amplitude, _, residual = fit(draw(Sinusoid(amplitude=(5.0, 8.0), phase=(0.0, 1.0), domain=(0.0, 6.0)), 500))
    assert residual < 1e-4
    assert amplitude.min() > 5
    assert 7.9 < amplitude.max() < 8.01


def test_a_limited_number_of_training_tasks_comes_again_and_others_are_tested():
    source = Sinusoid(train_tasks=3)
    seen = {round(float(value), 3) for value in fit(draw(source, 200))[0]}
    again = {round(float(value), 3) for value in fit(draw(source, 200, seed=1))[0]}
    assert len(seen) == 3
    assert seen == again
    assert len({round(float(value), 3) for value in fit(draw(source, 50, split="test"))[0]} - seen) > 40


def test_seeds():
    first, again, other = draw(Sinusoid(), seed=5), draw(Sinusoid(), seed=5), draw(Sinusoid(), seed=6)
    assert torch.equal(first.query.y, again.query.y)
    assert not torch.equal(first.query.y, other.query.y)
    assert Sinusoid().test_set(30, seed=1).hash == Sinusoid().test_set(30, seed=1).hash
    assert Sinusoid().test_set(30, seed=1).hash != Sinusoid().test_set(30, seed=2).hash


@pytest.mark.parametrize("changes", [{}, {"shots": 3, "amplitude": (5.0, 8.0), "train_tasks": 7}])
def test_it_is_rebuilt_from_its_description(changes):
    source = Sinusoid(**changes)
    assert build(describe(source)).test_set(5).hash == source.test_set(5).hash
    assert Sinusoid.spec.kind == "regression"
    assert Sinusoid.spec.x_shape == (1,)
    assert source.with_shots(9).sample(2, torch.Generator()).support.size == 9
