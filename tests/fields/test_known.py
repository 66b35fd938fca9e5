import torch

from metaprior.fields import AnalyticScene, Cameras, Rays
from metaprior.fields.known import of_posed, of_rendered, pixels_of, rays_of
from metaprior.fields.scenes import PosedScene

BALL = AnalyticScene("a red ball")


def views(count):
    return BALL.views(Cameras.on_sphere(count, 8), supersample=1)


def test_rays_see_what_the_scene_shows_there():
    own = views(10)
    for known in (of_rendered(own.cameras, rays_of(own.cameras), pixels_of(own)), of_posed(PosedScene(*own.split(5)))):
        assert known.held_out.sum() == 2
        for part in ("train", "test"):
            rays, seen, depth = known.drawn(part, 200, torch.Generator().manual_seed(0))
            traced = BALL.trace(Rays(rays[:, :3], rays[:, 3:]))
            assert (traced.colour - seen[:, :3]).abs().max() < 0.5 / 255 + 1e-4
            assert torch.equal(traced.hit, seen[:, 3] > 0)
            assert depth is None


def test_depth_is_drawn_where_it_is_known():
    own = views(10)
    known = of_rendered(own.cameras, rays_of(own.cameras), pixels_of(own), own.depth.flatten(1))
    drawn = known.drawn("train", 200, torch.Generator().manual_seed(0))
    traced = BALL.trace(Rays(drawn.rays[:, :3], drawn.rays[:, 3:]))
    torch.testing.assert_close(drawn.depth, traced.depth)


def test_parts_have_no_view_in_common():
    known = of_posed(PosedScene(*views(10).split(5)))
    places = [
        {tuple(ray) for ray in known.drawn(part, 300, torch.Generator().manual_seed(0))[0][:, :3].tolist()}
        for part in ("train", "test")
    ]
    assert (len(places[0]), len(places[1])) == (8, 2)
    assert not places[0] & places[1]


def test_pictures_are_those_held_out():
    parts = views(10).split(5)
    shown = of_posed(PosedScene(*parts)).pictures(1, "a ball")
    assert shown.prompt == "a ball"
    torch.testing.assert_close(shown.cameras.poses, parts[1].cameras.poses[:1])
    assert (shown.colour - parts[1].colour[:1]).abs().max() <= 0.5 / 255 + 1e-6
