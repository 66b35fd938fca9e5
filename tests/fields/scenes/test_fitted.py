import pytest
import torch

from metaprior.errors import CheckpointError
from metaprior.fields import Cameras, Field, render_views, save_field
from metaprior.fields.distil import point_losses
from metaprior.fields.field import STEP
from metaprior.fields.scenes import FieldScene
from metaprior.tasks import Examples


@pytest.fixture(scope="module")
def field():
    field = Field(width=8, hidden=1)
    return field, field.initial(1, torch.Generator().manual_seed(0))


def test_a_field_is_seen_as_it_renders(field, tmp_path):
    save_field(tmp_path / "field.safetensors", *field, prompt="a cloud")
    scene, cameras = FieldScene.read(tmp_path), Cameras.on_sphere(2, 6)
    seen = scene.views(cameras, supersample=1)
    assert scene.prompt == seen.prompt == "a cloud"
    torch.testing.assert_close(seen.over(), render_views(*field, cameras).over())
    # The mean of finer pixels, from the same place.
    fine = scene.views(cameras, supersample=2)
    torch.testing.assert_close(fine.cameras.poses, cameras.poses)
    assert fine.colour.shape == seen.colour.shape
    assert (fine.colour - seen.colour).abs().mean() < 0.02


def test_depth_is_that_of_the_middle_of_a_pixel(field):
    shape, weights = field
    weights = weights | {"layers.1.bias": torch.tensor([[5.0, 0, 0, 0]])}  # as dense as things are
    seen = FieldScene(shape, weights).views(Cameras.on_sphere(2, 6))
    alone = render_views(shape, weights, seen.cameras)
    solid = alone.opacity > 0.5
    assert solid.any()
    torch.testing.assert_close(seen.depth[solid], alone.depth[solid])
    assert not seen.depth[~solid].any()


@pytest.mark.parametrize("directions", [False, True])
def test_points_are_best_explained_by_the_field_that_they_are_of(directions):
    shape = Field(width=8, hidden=1, directions=directions)
    weights = shape.initial(1, torch.Generator().manual_seed(0))
    points, steps, seen = FieldScene(shape, weights).sample(2000, torch.Generator().manual_seed(0))
    assert points.abs().max() <= 1
    torch.testing.assert_close(steps.norm(dim=-1), torch.full((2000,), STEP))
    examples = Examples(torch.cat([points, steps], dim=-1)[None], seen[None])
    own = point_losses(shape, weights, examples)
    for name in ("layers.0.bias", "layers.1.bias"):
        for sign in (-1, 1):
            assert point_losses(shape, weights | {name: weights[name] + 0.3 * sign}, examples) > own


def test_a_field_without_a_prompt_has_the_name_of_its_file(field, tmp_path):
    assert FieldScene.read(save_field(tmp_path / "teapot.safetensors", *field)).prompt == "a teapot"


def test_what_is_no_field(tmp_path):
    with pytest.raises(CheckpointError, match="no such field"):
        FieldScene.read(tmp_path)
