import pytest
import torch

from metaprior.errors import CheckpointError, DataError
from metaprior.fields import AnalyticScene, Field, open_scene, save_field
from metaprior.fields.open import content_of, find_scene
from metaprior.fields.scenes import FieldScene, PosedScene

BALL = AnalyticScene("a red ball")


@pytest.fixture
def fitted(tmp_path):
    field = Field(width=8, hidden=1)
    weights = field.initial(1, torch.Generator().manual_seed(0))
    return save_field(tmp_path / "run" / "field.safetensors", field, weights, prompt="a fog")


def test_what_a_scene_is_called_says_what_it_is(fitted, tmp_path, blender):
    posed = blender(BALL, tmp_path / "garden-chair.v2")
    assert isinstance(find_scene(" a red ball "), AnalyticScene)
    for name in (fitted, fitted.parent):
        assert isinstance(find_scene(str(name)), FieldScene)
    for name in (posed, posed / "transforms.json"):
        assert isinstance(found := find_scene(str(name)), PosedScene)
        assert found.prompt == "a garden chair"


def test_posed_pictures_know_their_prompt(tmp_path, blender):
    fit, held_out = open_scene(blender(BALL, tmp_path / "red-ball"), size=8)
    assert fit.prompt == held_out.prompt == "a red ball"
    assert (len(fit), len(held_out), fit.cameras.width) == (9, 1, 8)


def test_a_fitted_field_can_be_opened(fitted):
    fit, held_out = open_scene(fitted.parent, size=8, views=3, held_out=2)
    assert (len(fit), len(held_out), fit.prompt) == (3, 2, "a fog")


def test_contents_change_with_files(fitted):
    assert content_of("a red ball") == "a red ball"
    before = content_of(str(fitted.parent))
    assert before != str(fitted.parent)
    fitted.write_bytes(b"other")
    assert content_of(f" {fitted.parent} ") != before


def test_what_cannot_be_opened(fitted, tmp_path):
    fitted.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="damaged or no field"):
        find_scene(str(fitted.parent))
    with pytest.raises(DataError, match="is no mesh"):
        find_scene(str(tmp_path / "none"))
