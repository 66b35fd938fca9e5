import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import ShapeError
from metaprior.fields import Field, Frequency, TriPlane
from metaprior.fields.distil import point_losses
from metaprior.tasks import Examples

UNIFORM = Field(Frequency(1), width=1, hidden=0, blob=0.0)


def uniform(density, colour=0.5):
    """Return the weights of a field of one density and one grey everywhere."""
    weights = {name: torch.zeros_like(value) for name, value in UNIFORM.initial(1, torch.Generator()).items()}
    logit = math.log(colour / (1 - colour))
    weights["layers.0.bias"][0] = torch.tensor([math.log(density), *[logit] * 3])
    return weights


def told(opacity, colour=0.5, length=0.2, points=1):
    """Return steps of one length, and what each sees."""
    x = torch.zeros(1, points, 6)
    x[..., 3] = length
    return Examples(x, torch.tensor([opacity * colour] * 3 + [opacity]).expand(1, points, 4))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 50), st.floats(0.01, 0.99), st.floats(0, 1), st.floats(0.05, 1))
def test_opacity_and_colour_are_compared_as_the_formula_says(density, opacity, colour, length):
    odds = density * length  # density times length stands for the odds of opacity
    logistic = math.log1p(odds) - opacity * math.log(odds)
    squared = (opacity * (0.5 - colour)) ** 2
    loss = point_losses(UNIFORM, uniform(density), told(opacity, colour, length))
    assert loss.item() == pytest.approx(logistic + 20 * squared, rel=1e-4, abs=1e-5)


def slope(density, opacity):
    """Return the derivative of the loss by the logarithm of the density."""
    weights = uniform(density)
    bias = weights["layers.0.bias"].requires_grad_()
    point_losses(UNIFORM, weights, told(opacity)).sum().backward()
    return bias.grad[0, 0].item()


def test_the_loss_is_least_where_the_optical_depth_is_the_odds():
    assert slope(5 * 0.8 / 0.2, 0.8) == pytest.approx(0, abs=1e-5)
    assert slope(1.1 * 5 * 0.8 / 0.2, 0.8) > 0 > slope(0.9 * 5 * 0.8 / 0.2, 0.8)


def test_the_gradient_vanishes_neither_in_nothing_nor_in_fog():
    assert slope(1e-6, 1.0) == pytest.approx(-1, abs=1e-4)
    assert slope(0.5, 0.0) > 0.09  # a step through this fog is 10 % opaque
    assert slope(1e6, 0.0) == pytest.approx(1, abs=1e-4)


def test_the_colour_of_nothing_does_not_count():
    losses = [point_losses(UNIFORM, uniform(1.0, colour), told(0.0)).item() for colour in (0.1, 0.9)]
    assert losses[0] == pytest.approx(losses[1])


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(0, 5), st.booleans())
def test_padding_does_not_count_and_scenes_do_not_mix(scenes, points, more, directions):
    field = Field(TriPlane(cells=4, channels=2), width=8, hidden=1, directions=directions)
    generator = torch.Generator().manual_seed(points)
    weights = field.initial(scenes, generator)
    x = torch.rand(scenes, points + more, 6, generator=generator)
    y = torch.rand(scenes, points + more, 4, generator=generator)
    real = (torch.arange(points + more) < points).expand(scenes, -1)
    alone = point_losses(field, weights, Examples(x[:, :points], y[:, :points]))
    assert alone.shape == (scenes,)
    torch.testing.assert_close(point_losses(field, weights, Examples(x, y, real)), alone)
    for scene in range(scenes):
        own = {name: value[scene : scene + 1] for name, value in weights.items()}
        part = Examples(x[scene : scene + 1, :points], y[scene : scene + 1, :points])
        torch.testing.assert_close(point_losses(field, own, part)[0], alone[scene])


def test_normals_are_brought_to_where_the_density_falls():
    """Where they point the other way, the loss is larger by a fifth: a tenth of one less the cosine."""
    field = Field(Frequency(1), width=3, hidden=1, directions=True, blob=5.0, blob_radius=0.5)
    weights = {name: torch.zeros_like(value) for name, value in field.initial(1, torch.Generator()).items()}
    # Hidden units are the coordinates, positive where they are looked at; the density falls from the origin.
    weights["layers.0.weight"][0, :, :3] = torch.eye(3)
    points = torch.rand(1, 8, 3, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.2
    examples = Examples(torch.cat([points, torch.full_like(points, 0.1)], dim=-1), torch.ones(1, 8, 4))
    losses = []
    for sign in (1.0, -1.0):
        weights["view.0.weight"] = sign * torch.eye(3)[None]
        losses.append(point_losses(field, weights, examples).item())
    assert losses[1] - losses[0] == pytest.approx(0.2, abs=0.01)


def test_what_has_no_labels_or_labels_of_another_kind_is_refused():
    with pytest.raises(ShapeError, match="labelled"):
        point_losses(UNIFORM, uniform(1.0), Examples(torch.zeros(1, 2, 6)))
    with pytest.raises(ShapeError, match="prediction"):
        point_losses(UNIFORM, uniform(1.0), Examples(torch.zeros(1, 2, 6), torch.zeros(1, 2, 3)))
