import pytest
import torch

from metaprior.errors import CheckpointError
from metaprior.fields import Cameras, Field, render_views, save_field
from metaprior.fields.scenes import FieldScene


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


def test_a_field_without_a_prompt_has_the_name_of_its_file(field, tmp_path):
    assert FieldScene.read(save_field(tmp_path / "teapot.safetensors", *field)).prompt == "a teapot"


def test_what_is_no_field(tmp_path):
    with pytest.raises(CheckpointError, match="no such field"):
        FieldScene.read(tmp_path)
