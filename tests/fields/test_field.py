import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import MetapriorError, ShapeError
from metaprior.fields import AnalyticScene, Field, Frequency, TriPlane, of_scene
from metaprior.fields.distil import point_losses
from metaprior.fields.field import OCCUPANCY, harmonics, occupied
from metaprior.tasks import Examples


def small(**more):
    return Field(TriPlane(cells=4, channels=2), width=8, hidden=2, **more)


def made(field, scenes, **more):
    return field.initial(scenes, torch.Generator().manual_seed(0), **more)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(0, 9), st.integers(1, 5), st.booleans(), st.booleans())
def test_shapes_and_chunks(scenes, points, chunk, directions, normalised):
    field = small(directions=directions, normalised=normalised)
    weights = made(field, scenes)
    x, d = torch.rand(scenes, points, 3), torch.rand(scenes, points, 3)
    density, colour = field(weights, x, d)
    assert density.shape == (scenes, points)
    assert colour.shape == (scenes, points, 3)
    assert (density >= 0).all()
    chunked = small(directions=directions, normalised=normalised, chunk=chunk)(weights, x, d)
    torch.testing.assert_close(chunked, (density, colour))
    torch.testing.assert_close(field.density_at(weights, x), density)


def test_a_scene_is_computed_from_its_own_weights():
    field = small()
    weights = made(field, 3, shared_encoder=True)
    assert len(weights["encoder.planes"]) == 1
    x = torch.rand(3, 5, 3)
    together = field(weights, x)
    for scene in range(3):
        alone = field(of_scene(weights, scene), x[scene : scene + 1])
        torch.testing.assert_close((together[0][scene], together[1][scene]), (alone[0][0], alone[1][0]))


def test_the_blob_is_at_the_origin():
    weights = {name: torch.zeros_like(value) for name, value in made(small(), 1).items()}
    density, _ = small()(weights, torch.tensor([[[0.0, 0, 0], [0.9, 0, 0]]]))
    torch.testing.assert_close(density[0].log(), torch.tensor([5.0, 5 * torch.tensor(-0.81 / 0.08).exp()]))


def test_density_stays_finite_and_has_a_gradient():
    field = Field(Frequency(1), width=4, hidden=1)
    weights = made(field, 1)
    weights["layers.1.bias"] = torch.full((1, 4), 500.0).requires_grad_()
    density, _ = field(weights, torch.zeros(1, 2, 3))
    density.sum().backward()
    assert density.isfinite().all()
    assert weights["layers.1.bias"].grad[0, 0] > 0


def test_a_mask_empties_cells():
    field = small()
    mask = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    mask[0, 1, 0, 1] = True  # x > 0, y < 0, z > 0
    x = torch.tensor([[[0.5, -0.5, 0.5], [-0.5, -0.5, 0.5], [0.5, 0.5, 0.5], [1.0, -1.0, 1.0]]])
    assert occupied(mask, x)[0].tolist() == [True, False, False, True]
    density, _ = field(made(field, 1) | {OCCUPANCY: mask}, x)
    assert (density > 0)[0].tolist() == [True, False, False, True]


def test_the_density_alone_knows_the_mask_and_needs_no_direction():
    field = small(directions=True)
    weights = made(field, 2) | {OCCUPANCY: torch.arange(2 * 8).view(2, 2, 2, 2) % 3 > 0}
    x = 2 * torch.rand(2, 50, 3) - 1
    torch.testing.assert_close(field.density_at(weights, x), field(weights, x, torch.rand(2, 50, 3))[0])
    assert (field.density_at(weights, x) == 0).any()


def test_colour_depends_on_the_direction_only_if_asked():
    x = torch.zeros(1, 2, 3)
    d = torch.tensor([[[1.0, 0, 0], [0, 0, 1.0]]])
    for directions in (False, True):
        field = small(directions=directions)
        colour = field(made(field, 1), x, d)[1][0]
        assert bool(torch.allclose(colour[0], colour[1])) != directions
    with pytest.raises(ShapeError, match="directions: expected"):
        small(directions=True)(made(small(directions=True), 1), x)


def test_harmonics_are_orthogonal():
    directions = torch.nn.functional.normalize(torch.randn(200_000, 3, dtype=torch.float64), dim=-1)
    values = harmonics(directions)
    products = values.T @ values / len(values)
    products = products / products.diag().sqrt().outer(products.diag().sqrt())
    assert (products - torch.eye(9)).abs().max() < 0.02


def test_second_derivatives_and_vmap():
    field = small()
    weights = {name: value.double() for name, value in made(field, 1).items()}
    x = (torch.rand(1, 3, 3, dtype=torch.float64) - 0.5).requires_grad_()

    def total(bias):
        density, colour = field(weights | {"layers.2.bias": bias}, x.detach())
        return density.log().square().sum() + colour.sum()

    bias = weights["layers.2.bias"].clone().requires_grad_()
    assert torch.autograd.gradcheck(total, (bias,))
    assert torch.autograd.gradgradcheck(total, (bias,))
    many = torch.randn(4, 1, 4, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(total)(many), torch.stack([total(one) for one in many]))


def test_descriptions_are_json():
    for field in (small(directions=True), Field(Frequency(3), density="softplus")):
        assert Field.build(json.loads(json.dumps(field.describe()))) == field
    with pytest.raises(MetapriorError, match="unknown encoder"):
        Field.build(Field().describe() | {"encoder": {"name": "triplan"}})


def test_wrong_points_are_named():
    with pytest.raises(ShapeError, match=r"points: expected shape \(S, P, 3\) with S = 2"):
        small()(made(small(), 2), torch.zeros(1, 4, 3))


def test_what_shines_is_learned_where_the_direction_of_view_is_known():
    """A field that is blind to it can show no more than the mean of what is seen from all sides."""
    generator = torch.Generator().manual_seed(0)
    scene = AnalyticScene("an iridescent red ball")
    points, steps, seen = scene.sample(20_000, generator)
    solid = seen[:, 3] > 0.9
    normals = scene.normals(points)

    def from_elsewhere():
        own = torch.nn.functional.normalize(torch.randn(points.shape, generator=generator), dim=-1)
        own = own * -(own * normals).sum(-1, keepdim=True).sign()
        return scene.radiance(points, normals, own, torch.zeros(len(points), dtype=torch.int64))

    blind = torch.stack([from_elsewhere()[solid] for _ in range(16)]).var(0).mean()  # of the best that is blind
    field = Field(Frequency(4), width=32, hidden=2, directions=True, normalised=True)
    weights = field.initial(1, torch.Generator().manual_seed(0))
    adam = torch.optim.Adam([value.requires_grad_() for value in weights.values()], lr=0.005)
    x = torch.cat([points, steps], dim=-1)
    for _ in range(400):
        chosen = torch.randint(len(points), (512,), generator=generator)
        adam.zero_grad()
        point_losses(field, weights, Examples(x[chosen][None], seen[chosen][None])).mean().backward()
        adam.step()
    with torch.no_grad():
        _, colour = field(weights, points[solid][None], torch.nn.functional.normalize(steps[solid], dim=-1)[None])
    assert (colour[0] - seen[solid, :3] / seen[solid, 3:]).square().mean() < 0.6 * blind
