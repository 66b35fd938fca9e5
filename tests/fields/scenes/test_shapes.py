import pytest
import torch

from metaprior.fields.scenes import SHAPES
from metaprior.fields.scenes.shapes import SOLIDS


def points(count=100_000):
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2.6 - 1.3


def test_every_shape_of_the_grammar_has_a_solid():
    assert set(SOLIDS) == set(SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_distance_is_too_long(shape):
    solid, here = SOLIDS[shape], points()
    there = here + 0.05 * torch.randn(here.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    change = (solid.distance(here) - solid.distance(there)).abs()
    assert (change <= (here - there).norm(dim=-1) * (1 + 1e-9)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_extent_and_radius_hold_the_solid_closely(shape):
    solid = SOLIDS[shape]
    inside = points(400_000)
    inside = inside[solid.distance(inside) < 0]
    extent = torch.tensor(solid.extent)
    assert (inside.abs().amax(0) <= extent + 0.05).all()
    assert (inside.abs().amax(0) >= extent - 0.08).all()
    assert solid.radius - 0.08 <= inside.norm(dim=-1).max() <= solid.radius


def test_some_distances_are_known():
    x = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.55, 1.55, 0.0]])
    assert SOLIDS["ball"].distance(x[:2]).tolist() == pytest.approx([-0.7, 1.3])
    assert SOLIDS["box"].distance(x).tolist() == pytest.approx([-0.55, 1.45, 2**0.5])
    assert SOLIDS["torus"].distance(x[:2]).tolist() == pytest.approx([0.33, 1.23])
    assert SOLIDS["capsule"].distance(x[:2]).tolist() == pytest.approx([-0.35, 1.65])
