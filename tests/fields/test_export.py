import numpy as np
import pytest
import torch
from PIL import Image

from metaprior.errors import MetapriorError
from metaprior.fields import Field, TriPlane, export, frozen

FIELD = Field(TriPlane(cells=4, channels=2), width=8, hidden=1)
WEIGHTS = frozen(FIELD, FIELD.initial(1, torch.Generator().manual_seed(0)), cells=8, threshold=5.0)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("a.png", {}, "a picture of 12 x 12 pixels"),
        ("a.gif", {"frames": 3}, "a film of 3 frames of 12 x 12 pixels"),
        ("a.glb", {"cells": 16}, "a mesh of"),
        ("a.ply", {"cells": 16}, "a mesh of"),
        ("depth.png", {"shows": "depth"}, "a picture"),
        ("normals.png", {"shows": "normals"}, "a picture"),
    ],
)
def test_the_ending_says_what_is_written(tmp_path, name, options, told):
    assert told in export(FIELD, WEIGHTS, tmp_path / name, size=12, samples=16, **options)
    assert (tmp_path / name).stat().st_size > 50


def test_backgrounds(tmp_path):
    corners = {}
    for background in ("white", "black", "transparent"):
        export(FIELD, WEIGHTS, tmp_path / "a.png", size=12, samples=16, background=background)
        corners[background] = np.asarray(Image.open(tmp_path / "a.png"))[0, 0].tolist()
    assert corners["white"] == [255, 255, 255]
    assert corners["black"] == [0, 0, 0]
    assert corners["transparent"][3] == 0
    with pytest.raises(MetapriorError, match="'transparent' is for pictures"):
        export(FIELD, WEIGHTS, tmp_path / "a.gif", size=4, background="transparent")


def test_unknown_choices(tmp_path):
    with pytest.raises(MetapriorError, match="unknown choice for shows 'depht': did you mean 'depth'"):
        export(FIELD, WEIGHTS, tmp_path / "a.png", shows="depht")
    with pytest.raises(MetapriorError, match=r"unknown format '\.obj'"):
        export(FIELD, WEIGHTS, tmp_path / "a.obj")
