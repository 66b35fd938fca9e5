import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import ShapeError
from metaprior.fields import Cameras, Field, Frequency, Rays, TriPlane, frozen, render, render_views
from metaprior.fields.field import OCCUPANCY
from metaprior.fields.render import crossing

FIELD = Field(TriPlane(cells=8, channels=4), width=16, hidden=2)


def made(scenes=2, field=FIELD, seed=0):
    return field.initial(scenes, torch.Generator().manual_seed(seed))


def masked(weights, part, seed=1):
    mask = torch.rand(len(weights["layers.0.weight"]), 8, 8, 8, generator=torch.Generator().manual_seed(seed)) < part
    return weights | {OCCUPANCY: mask}


def rays_of(views=2, size=6):
    return Cameras.on_sphere(views, size).rays()


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 1), st.integers(1, 40), st.integers(0, 99), st.booleans(), st.booleans())
def test_culling_changes_no_pixel(part, samples, seed, jitter, slopes):
    weights = masked(made(seed=seed), part, seed)

    def seen(culled):
        generator = torch.Generator().manual_seed(seed) if jitter else None
        with torch.set_grad_enabled(slopes):
            return render(FIELD, weights, rays_of(), samples, generator, normals=True, culled=culled)

    dense, culled = seen(False), seen(True)
    for name in ("colour", "opacity"):
        torch.testing.assert_close(getattr(culled, name), getattr(dense, name), atol=1e-6, rtol=0)
    visible = dense.opacity > 1e-3
    torch.testing.assert_close(culled.depth[visible], dense.depth[visible], atol=1e-4, rtol=0)
    torch.testing.assert_close(culled.normals[visible], dense.normals[visible], atol=1e-3, rtol=0)


@settings(deadline=None, max_examples=25)
@given(st.tuples(*[st.integers(0, 7)] * 3), st.integers(1, 3), st.floats(0.2, 3), st.integers(1, 40), st.booleans())
def test_looking_near_the_box_of_what_is_occupied_is_looking_everywhere(corner, edge, radius, samples, jitter):
    mask = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    x, y, z = (slice(place, place + edge) for place in corner)
    mask[:, x, y, z] = True
    weights = made(1) | {OCCUPANCY: mask}
    rays = Cameras.on_sphere(1, 9, radius=radius).rays()

    def seen(culled):
        generator = torch.Generator().manual_seed(0) if jitter else None
        return render(FIELD, weights, rays, samples, generator, culled=culled)

    torch.testing.assert_close(seen(True).opacity, seen(False).opacity, atol=1e-6, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(seen(True).colour, seen(False).colour, atol=1e-6, rtol=0)


@pytest.mark.parametrize("samples", [1, 7, 64])
def test_rays_along_the_sides_of_cells_see_what_is_there(samples):
    mask = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
    mask[:, 2:5, 3, 1:7] = True
    weights = made(1) | {OCCUPANCY: mask}
    places = torch.cartesian_prod(torch.linspace(-1, 1, 9), torch.linspace(-1, 1, 9))
    parts = []
    for axis in range(3):
        origins = places.new_zeros(len(places), 3)
        origins[:, [other for other in range(3) if other != axis]] = places
        origins[:, axis] = -2
        parts.append((origins, torch.eye(3)[axis].expand_as(origins)))
    rays = Rays(*(torch.cat(each)[None] for each in zip(*parts, strict=True)))
    with torch.no_grad():
        dense, culled = (render(FIELD, weights, rays, samples, culled=culled) for culled in (False, True))
    assert (dense.opacity > 0).any()
    torch.testing.assert_close(culled.opacity, dense.opacity, atol=1e-6, rtol=0)


class Counting(Field):
    """A field that notes of how many points it was asked."""

    def __call__(self, weights, points, directions=None):
        asked.append(points.shape[1])
        return super().__call__(weights, points, directions)


asked: list[int] = []


def test_what_is_hidden_is_not_asked_for_and_changes_no_pixel():
    field = Counting(FIELD.encoder, width=16, hidden=2)
    weights = masked(made(1), 0.7)
    weights["layers.2.bias"] = weights["layers.2.bias"] + torch.tensor([5.0, 0, 0, 0])
    rays = rays_of(1, 12)
    whole = render(field, weights, rays, 64)
    with torch.no_grad():
        front = render(field, weights, rays, 64)
    assert sum(asked[1:]) < 0.7 * asked[0]
    for name in ("colour", "opacity", "depth"):
        torch.testing.assert_close(getattr(front, name), getattr(whole, name), atol=2e-6, rtol=0)


def test_culling_changes_no_gradient():
    weights = {name: value.requires_grad_() for name, value in made().items()}
    slopes = []
    for culled in (False, True):
        seen = render(FIELD, masked(weights, 0.3), rays_of(), 32, culled=culled)
        loss = seen.over(0.3).square().mean() + seen.depth.mean()
        slopes.append(torch.autograd.grad(loss, list(weights.values())))
    for dense, culled in zip(*slopes, strict=True):
        assert (dense - culled).norm() <= 1e-5 * dense.norm()


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(0, 99), st.booleans())
def test_splitting_and_permuting_rays_changes_nothing(at_once, seed, mask):
    weights = masked(made(), 0.5) if mask else made()
    rays = rays_of()
    order = torch.randperm(36, generator=torch.Generator().manual_seed(seed))
    whole = render(FIELD, weights, rays, 16)
    permuted = render(FIELD, weights, rays.take(order), 16, rays_at_once=at_once)
    for name in ("colour", "opacity", "depth"):
        torch.testing.assert_close(getattr(permuted, name), getattr(whole, name)[:, order], atol=2e-6, rtol=1e-5)


def test_scenes_do_not_see_each_other():
    weights = masked(made(3), 0.5)
    rays = rays_of(3)
    whole = render(FIELD, weights, rays, 16)
    for scene in range(3):
        own = {name: value[scene : scene + 1] for name, value in weights.items()}
        alone = render(FIELD, own, Rays(*(part[scene : scene + 1] for part in rays)), 16)
        torch.testing.assert_close(alone.colour[0], whole.colour[scene])


def constant(density):
    """Return a field of one density and one colour everywhere."""
    field = Field(Frequency(1), width=1, hidden=0, blob=0.0)
    weights = {name: torch.zeros_like(value) for name, value in made(1, field).items()}
    weights["layers.0.bias"][0] = torch.tensor([math.log(density), 9.0, -9.0, 0.0])
    return field, weights


@pytest.mark.parametrize("culled", [False, True])
def test_a_constant_field_follows_beer_and_lambert(culled):
    field, weights = constant(0.7)
    weights |= {OCCUPANCY: torch.ones(1, 2, 2, 2, dtype=torch.bool)}
    rays = Rays(torch.tensor([[[0.0, -3.0, 0.0]]]), torch.tensor([[[0.0, 1.0, 0.0]]]))
    seen = render(field, weights, rays, 2000, culled=culled)
    assert seen.opacity.item() == pytest.approx(1 - math.exp(-1.4), rel=1e-4)
    mean = 2 + 1 / 0.7 - 2 * math.exp(-1.4) / (1 - math.exp(-1.4))
    assert seen.depth.item() == pytest.approx(mean, rel=1e-3)
    colour = torch.tensor([9.0, -9.0, 0.0]).sigmoid()
    torch.testing.assert_close(seen.over(0.0)[0, 0], colour * seen.opacity.item(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.over(1.0)[0, 0], seen.colour[0, 0] + math.exp(-1.4), rtol=1e-4, atol=1e-5)


def test_rays_that_miss_see_the_background():
    field, weights = constant(100.0)
    rays = Rays(torch.tensor([[[0.0, -3.0, 2.0], [0.0, 3.0, 0.0]]]), torch.tensor([[[0.0, 1.0, 0.0]] * 2]))
    for more in (
        {},
        {OCCUPANCY: torch.ones(1, 2, 2, 2, dtype=torch.bool)},
        {OCCUPANCY: torch.zeros(1, 2, 2, 2).bool()},
    ):
        seen = render(field, weights | more, rays, 8, normals=True)
        assert seen.opacity.tolist() == [[0.0, 0.0]]
        assert seen.depth.tolist() == [[0.0, 0.0]]
        assert (seen.over(0.5) == 0.5).all()


def test_crossing():
    rays = Rays(
        torch.tensor([[0.0, -3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 5.0]]),
        torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    )
    near, step = crossing(rays, 4)
    assert near[:2].tolist() == [2.0, 0.0]
    assert step.tolist() == [0.5, 0.25, 0.0]


def test_normals_of_the_blob_point_outwards():
    weights = {name: torch.zeros_like(value) for name, value in made(1).items()}
    rays = Rays(torch.tensor([[[0.1, -3.0, 0.0]]]), torch.tensor([[[0.0, 1.0, 0.0]]]))
    seen = render(FIELD, weights, rays, 200, normals=True)
    assert seen.normals[0, 0, 1] < -0.8
    assert seen.normals[0, 0, 0] > 0.05
    assert seen.normals[0, 0].norm().item() == pytest.approx(1)


def test_pictures_have_the_shape_of_the_cameras():
    weights = frozen(FIELD, made(1), cells=8)
    cameras = Cameras.on_sphere(3, (8, 6))
    seen = render_views(FIELD, weights, cameras, 8, normals=True)
    assert seen.over().shape == seen.normals.shape == (3, 6, 8, 3)
    rows = render(FIELD, weights, cameras[1:2].rays(), 8)
    torch.testing.assert_close(seen.depth[1].flatten(), rows.depth[0])


def test_wrong_rays_are_named():
    with pytest.raises(ShapeError, match=r"rays: expected shape \(S, R, 3\) with S = 2"):
        render(FIELD, made(), rays_of(1))
