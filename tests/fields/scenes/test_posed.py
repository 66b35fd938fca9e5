import pytest
import torch

from metaprior.errors import DataError
from metaprior.fields import AnalyticScene, Cameras
from metaprior.fields.scenes import PosedScene

BALL = AnalyticScene("a red ball")


@pytest.mark.parametrize("name", ["", "transforms.json"])
def test_the_folder_is_the_prompt(name, tmp_path, blender):
    scene = PosedScene.read(blender(BALL, tmp_path / "toy-red-ball") / name)
    assert scene.prompt == "a red toy ball"
    assert (len(scene.fit), len(scene.held_out)) == (9, 1)


@pytest.mark.parametrize("size", [(16, 10), (10, 16)])
def test_the_middle_square_is_seen_by_cameras_of_its_own(size):
    views = BALL.views(Cameras.on_sphere(4, size), supersample=1)
    square = PosedScene(*views.split(2), "a red ball").squared(10)
    assert square.prompt == "a red ball"
    for part in (square.fit, square.held_out):
        assert part.colour.shape == (2, 10, 10, 3)
        torch.testing.assert_close(part.colour, BALL.views(part.cameras, supersample=1).colour)


def test_wrong_folder(tmp_path):
    with pytest.raises(DataError, match="no such file; expected transforms"):
        PosedScene.read(tmp_path)
