"""The schedule is that of the paper, and steps back through it are those of Gaussian conditionals."""

import math

import pytest
import torch

from metaprior.errors import MetapriorError
from metaprior.molecules.noise import centred, draw_noise, polynomial


def test_signal_and_noise_are_those_of_the_formula():
    schedule, levels = polynomial(1000), torch.tensor([0, 250, 500, 900, 999])
    expected = (1 - 2e-5) * (1 - (levels.double() / 1000).square()).square() + 1e-5
    assert torch.allclose(schedule.signal(levels).square(), expected, rtol=1e-9)
    assert torch.allclose(schedule.signal(levels).square() + schedule.noise(levels).square(), torch.ones(5).double())
    assert (schedule.log_ratio.diff() > 0).all()


@pytest.mark.parametrize(("late", "early"), [(10, 9), (7, 2), (1, 0)])
def test_a_step_back_is_the_gaussian_conditional(late, early):
    """For data of one value, p(earlier | late, data) by the rule for two correlated normals."""
    schedule, data, noised = polynomial(10), 0.7, 0.3
    alpha = {at: float(schedule.signal(torch.tensor(at))) for at in (late, early)}
    sigma = {at: float(schedule.noise(torch.tensor(at))) for at in (late, early)}
    ratio = alpha[late] / alpha[early]
    slope = ratio * sigma[early] ** 2 / sigma[late] ** 2
    mean = alpha[early] * data + slope * (noised - alpha[late] * data)
    variance = sigma[early] ** 2 - slope * ratio * sigma[early] ** 2
    kept, taken, added = schedule.earlier(late, early)
    inside = (noised - alpha[late] * data) / sigma[late]
    assert math.isclose(kept * noised - taken * inside, mean, rel_tol=1e-8)
    assert math.isclose(added**2, variance, rel_tol=1e-8)


def test_noise_has_no_centre_and_the_variance_that_is_left():
    mask = torch.arange(6) < torch.tensor([6, 3])[:, None]
    mask = mask.repeat(4000, 1)
    positions, types = draw_noise(mask, 2, torch.Generator().manual_seed(0))
    assert positions.sum(1).abs().max() < 1e-5
    assert not positions[~mask].any()
    assert not types[~mask].any()
    # One direction of A is taken away.
    assert positions[::2].var(0).mean().item() == pytest.approx(5 / 6, abs=0.02)
    assert positions[1::2, :3].var(0).mean().item() == pytest.approx(2 / 3, abs=0.02)
    assert types[::2].var(0).mean().item() == pytest.approx(1, abs=0.03)


def test_centred_leaves_padding_out():
    positions = torch.tensor([[[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [100.0, 100.0, 100.0]]])
    found = centred(positions, torch.tensor([[True, True, False]]))
    assert found[0].tolist() == [[-1, 0, 1], [1, 0, -1], [0, 0, 0]]


def test_wrong_arguments():
    with pytest.raises(MetapriorError, match="levels: expected a positive number"):
        polynomial(0)
