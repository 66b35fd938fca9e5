import pytest
import torch

from metaprior.fields import Cameras, Rays, psnr, render
from metaprior.fields.field import STEP
from metaprior.fields.scenes import COLOURS, MATERIALS, SHAPES, AnalyticScene, draw
from metaprior.fields.scenes.analytic import fading
from metaprior.fields.scenes.shapes import SOLIDS


def ahead(x=0.0, z=0.0):
    """Return one ray from the front."""
    return Rays(torch.tensor([[x, -3.0, z]]), torch.tensor([[0.0, 1.0, 0.0]]))


def test_a_ball_is_met_where_geometry_says():
    seen = AnalyticScene("a red ball").trace(ahead(x=0.3))
    expected = 3 - (0.7**2 - 0.3**2) ** 0.5
    assert seen.depth.item() == pytest.approx(expected, abs=1e-3)
    torch.testing.assert_close(seen.normals, torch.tensor([[0.3, expected - 3, 0.0]]) / 0.7, atol=2e-3, rtol=0)
    assert AnalyticScene("a red ball").trace(ahead(x=0.71)).hit.tolist() == [False]


@pytest.mark.parametrize("prompt", [f"a {material} green {shape}" for shape in SHAPES for material in MATERIALS[:1]])
def test_hits_lie_on_the_surface_and_face_the_camera(prompt):
    scene = AnalyticScene(prompt)
    rays = Rays(*(part.flatten(0, 1) for part in Cameras.on_sphere(3, 24).rays()))
    seen = scene.trace(rays)
    points = (rays.origins + seen.depth[:, None] * rays.directions)[seen.hit]
    assert 0.03 < seen.hit.float().mean() < 0.6
    assert scene.distances(points).abs().max() < 1e-3
    facing = -(seen.normals * rays.directions).sum(-1)[seen.hit]
    assert (facing > -0.2).all()
    # Before the hit there is nothing: no ray passes through the solid.
    for part in (0.5, 0.8, 0.95, 0.99):
        before = rays.origins + part * seen.depth[:, None] * rays.directions
        assert (scene.distances(before[seen.hit]) > -1e-4).all()


@pytest.mark.parametrize("seed", range(4))
def test_every_scene_fits_the_unit_ball(seed):
    for prompt in draw(10, torch.Generator().manual_seed(seed)):
        scene = AnalyticScene(prompt)
        points = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0)) * 3 - 1.5
        inside = (scene.distances(points) < 0).any(-1)
        assert inside.any()
        assert points[inside].norm(dim=-1).max() <= 1.0


def sides(prompt):
    """Return where the two things of a scene are, as the means of their points."""
    scene = AnalyticScene(prompt)
    points = torch.rand(100_000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    inside = scene.distances(points) < 0
    assert not inside.all(-1).any(), "things overlap"
    return [points[inside[:, thing]].mean(0) for thing in (0, 1)]


@pytest.mark.parametrize(
    ("relation", "axis", "sign"),
    [("on", 2, 1), ("above", 2, 1), ("left of", 0, -1), ("right of", 0, 1), ("in front of", 1, -1), ("behind", 1, 1)],
)
def test_relations(relation, axis, sign):
    first, second = sides(f"a red ball {relation} a blue box")
    offset = (first - second) * sign
    assert offset[axis] > 0.3
    others = [other for other in range(2) if other != axis]
    assert offset[others].abs().max() < 0.03


def test_things_beside_each_other_stand_on_one_ground():
    scene = AnalyticScene("a red torus left of a blue cylinder")
    bottoms = [
        place[2] - scene.scale * SOLIDS[thing.shape].extent[2]
        for place, thing in zip(scene.places, scene.description.things, strict=True)
    ]
    assert float(bottoms[0]) == pytest.approx(float(bottoms[1]), abs=1e-6)


def test_on_touches_and_above_does_not():
    for relation, touches in (("on", True), ("above", False)):
        scene = AnalyticScene(f"a red ball {relation} a blue box")
        heights = torch.zeros(400, 3)
        heights[:, 2] = torch.linspace(-1, 1, 400)
        gap = scene.distances(heights).amin(-1)
        between = (heights[:, 2] > scene.places[1, 2]) & (heights[:, 2] < scene.places[0, 2])
        assert bool(gap[between].max() < 0.02) == touches


@pytest.mark.parametrize("material", MATERIALS)
def test_materials_that_depend_on_the_view(material):
    scene = AnalyticScene(f"a {material} red box")
    points = torch.tensor([[0.0, 0.0, 0.55]]) * scene.scale
    normals = torch.tensor([[0.0, 0.0, 1.0]])
    eyes = Cameras.on_sphere(12, elevations=(20.0, 80.0)).poses[:, :3, 3]
    directions = torch.nn.functional.normalize(points - eyes, dim=-1)
    seen = scene.radiance(points.expand(12, -1), normals.expand(12, -1), directions, torch.zeros(12).long())
    assert bool(seen.std(0).max() > 0.02) == (material in ("glossy", "iridescent"))


@pytest.mark.parametrize("material", ["striped", "checkered"])
def test_patterns_have_two_colours(material):
    view = AnalyticScene(f"a {material} blue cylinder").views(Cameras.turntable(1, 48), supersample=1)
    seen = view.colour[view.opacity > 0]
    blueness = seen[:, 2] - seen[:, 0]
    assert (blueness > 0.3).float().mean() > 0.2
    assert (blueness.abs() < 0.05).float().mean() > 0.2


def test_colours_are_what_they_are_called():
    means = []
    for colour in COLOURS:
        view = AnalyticScene(f"a {colour} ball").views(Cameras.turntable(1, 16), supersample=1)
        means.append(view.colour[view.opacity > 0].mean(0))
    distances = torch.cdist(torch.stack(means), torch.stack(means)) + torch.eye(len(means))
    assert distances.min() > 0.08


def test_labels_depth_and_supersampling():
    scene = AnalyticScene("a red ball on a blue box")
    cameras = Cameras.on_sphere(2, 12)
    coarse, fine = scene.views(cameras, supersample=1), scene.views(cameras, supersample=3)
    assert coarse.prompt == "a red ball on a blue box"
    assert coarse.labels.unique().tolist() == [0, 1, 2]
    assert torch.equal(coarse.labels, fine.labels)
    assert torch.equal(coarse.depth > 0, coarse.opacity > 0)
    assert coarse.opacity.unique().tolist() == [0.0, 1.0]
    assert len(fine.opacity.unique()) > 2
    assert (fine.opacity - coarse.opacity).abs().mean() < 0.1


@pytest.mark.parametrize("prompt", ["a red ball", "a green box", "a blue torus", "a yellow cone", "a striped pink mug"])
def test_a_field_that_has_learned_what_points_teach_shows_the_scene(prompt):
    scene = AnalyticScene(prompt)
    cameras = Cameras.on_sphere(1, 48, turn=20.0)

    def field(weights, points, directions):
        distances = scene.distances(points[0])
        distance = distances.amin(-1)
        density = fading(distance).exp().clamp(max=1e6) / distance.clamp(min=STEP)
        colour = scene.radiance(points[0], scene.normals(points[0]), directions[0], distances.argmin(-1))
        return density[None], colour[None]

    seen = render(field, {"layers.0.weight": torch.zeros(1)}, cameras.rays(), 96)
    truth = scene.views(cameras)
    assert psnr(seen.over().view(1, 48, 48, 3), truth.over()).item() > 25
    assert seen.opacity.mean().item() == pytest.approx(truth.opacity.mean().item(), rel=0.03)
