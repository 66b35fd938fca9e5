import pytest
import torch

from metaprior.errors import ShapeError
from metaprior.fields import AnalyticScene, Cameras, Views


def views(count=6, size=8):
    return AnalyticScene("a red ball").views(Cameras.on_sphere(count, size), supersample=1)


def test_rays_and_pixels_belong_together():
    own = views()
    rays, seen = own.rays()
    traced = AnalyticScene("a red ball").trace(rays)
    torch.testing.assert_close(seen[:, :3], traced.colour)
    assert torch.equal(seen[:, 3] > 0, traced.hit)


def test_a_smaller_picture_is_the_mean_of_what_it_covers():
    own = views()
    small = own.resized(4)
    torch.testing.assert_close(small.colour[:, 1, 2], own.colour[:, 2:4, 4:6].mean((1, 2)))
    assert (small.cameras.width, small.cameras.height) == (4, 4)
    torch.testing.assert_close(small.cameras.focal * 2, own.cameras.focal)
    assert own.resized(8) is own


def test_splits_take_all_views_once():
    own = views(11)
    fitted, held_out = own.split(4)
    assert (len(fitted), len(held_out)) == (9, 2)
    places = torch.cat([fitted.cameras.poses, held_out.cameras.poses])[:, :3, 3]
    assert len(places.unique(dim=0)) == 11
    assert fitted.labels.shape == (9, 8, 8)


def test_over_a_background():
    own = views()
    empty = own.opacity == 0
    assert (own.over()[empty] == 1).all()
    assert (own.over(0.0) == own.colour).all()


def test_parts_must_agree():
    with pytest.raises(ShapeError, match=r"opacity: expected shape \(1, 8, 8\)"):
        Views(Cameras.on_sphere(1, 8), torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 7))
