import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import MetapriorError, ShapeError
from metaprior.fields import Cameras, converted, look_at


def test_rays_pass_through_pixel_centres():
    cameras = Cameras.looking(torch.tensor([[0.0, -2.0, 0.0]]), size=2, field_of_view=90)
    directions = cameras.rays().directions[0]
    across = directions / directions[:, 1:2]  # how far from the axis, at distance 1
    expected = torch.tensor([[-0.5, 1, 0.5], [0.5, 1, 0.5], [-0.5, 1, -0.5], [0.5, 1, -0.5]])
    torch.testing.assert_close(across, expected)


def test_the_optical_axis_meets_the_origin():
    cameras = Cameras.on_sphere(20, size=3, radius=2.5)
    rays = cameras.rays()
    middle = rays.origins[:, 4] + 2.5 * rays.directions[:, 4]
    torch.testing.assert_close(middle, torch.zeros(20, 3), atol=1e-5, rtol=0)


@given(st.integers(1, 50), st.floats(-80, 0), st.floats(1, 80), st.floats(0, 360))
def test_spheres_and_turntables_are_rigid_and_upright(views, low, high, turn):
    cameras = Cameras.on_sphere(views, 4, elevations=(low, high), turn=turn)
    turns = cameras.poses[:, :3, :3]
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(views, 3, 3), atol=1e-5, rtol=0)
    assert (torch.linalg.det(turns) > 0).all()
    assert (turns[:, 2, 1] > 0).all()  # up in the picture is up in the world
    heights = cameras.poses[:, 2, 3] / 3
    assert (heights >= math.sin(math.radians(low)) - 1e-5).all()
    assert (heights <= math.sin(math.radians(high)) + 1e-5).all()


def test_a_camera_may_look_straight_down():
    poses = look_at(torch.tensor([[0.0, 0.0, 2.0]]))
    assert poses.isfinite().all()
    torch.testing.assert_close(torch.linalg.det(poses[:, :3, :3]), torch.ones(1))


def test_conventions():
    poses = Cameras.on_sphere(3).poses
    theirs = converted(poses, "opencv")
    torch.testing.assert_close(theirs[:, :3, 2], -poses[:, :3, 2])  # they look along +z
    torch.testing.assert_close(converted(theirs, "opencv"), poses)
    assert converted(poses, "opengl") is poses
    with pytest.raises(MetapriorError, match="unknown convention 'opengk': did you mean 'opengl'"):
        converted(poses, "opengk")


def test_larger_pictures_have_the_same_outer_edges():
    cameras = Cameras.on_sphere(1, size=(8, 6))
    large = cameras.enlarged(3)
    assert (large.width, large.height) == (24, 18)
    coarse, fine = (own.rays().directions[0].view(own.height, own.width, 3) for own in (cameras, large))
    torch.testing.assert_close(fine[1::3, 1::3], coarse)


@given(st.floats(-5, 5), st.floats(0.1, 10))
def test_framing_finds_what_cameras_look_at(offset, size):
    cameras = Cameras.on_sphere(12, 16, radius=3 * size)
    moved = torch.tensor([offset, -offset, 2 * offset])
    poses = cameras.poses.clone()
    poses[:, :3, 3] += moved
    centre, scale = Cameras(poses, cameras.focal, cameras.centre, 16, 16).framing()
    torch.testing.assert_close(centre, moved, atol=1e-3 * max(size, 1), rtol=1e-3)
    assert scale == pytest.approx(1 / (3 * size * math.sin(math.radians(20))), rel=1e-3)


def test_parts_must_agree():
    with pytest.raises(ShapeError, match="focal: expected shape"):
        Cameras(torch.eye(4)[None], torch.ones(2, 2), torch.ones(1, 2), 4, 4)
    with pytest.raises(MetapriorError, match="views: expected a positive number"):
        Cameras.on_sphere(0)
    with pytest.raises(MetapriorError, match="field_of_view: expected less than 180 degrees, got 200"):
        Cameras.looking(torch.tensor([[0.0, -3.0, 0.0]]), field_of_view=200.0)
