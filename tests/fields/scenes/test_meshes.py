import numpy as np
import pytest
import torch

from metaprior.errors import DataError, MetapriorError
from metaprior.fields import Cameras, MeshScene
from metaprior.fields.scenes import kenney, kenney_models
from metaprior.fields.scenes.meshes import prompt_of

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("embreex")
needs_models = pytest.mark.skipif(not kenney_models(), reason="no meshes_kenney under METAPRIOR_DATA")


def test_a_mesh_of_a_ball_looks_like_a_ball(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=4)
    ball.visual = trimesh.visual.ColorVisuals(ball, vertex_colors=np.tile([255, 0, 0, 255], (len(ball.vertices), 1)))
    ball.export(tmp_path / "big-ball.ply")
    scene = MeshScene.read(tmp_path / "big-ball.ply")
    assert scene.prompt == "a big ball"
    view = scene.views(Cameras.turntable(1, 33, elevation=0, azimuth=-90), supersample=1)
    assert view.depth[0, 16, 16].item() == pytest.approx(3 - 0.95, abs=0.01)
    torch.testing.assert_close(view.normals[0, 16, 16], torch.tensor([0.0, -1.0, 0.0]), atol=0.03, rtol=0)
    assert view.colour[0, 16, 16, 0] > 0.4
    assert view.colour[0, 16, 16, 1:].abs().max() == 0
    assert view.labels.unique().tolist() == [0, 1]


def test_y_up_is_turned():
    box = trimesh.creation.box((1.0, 3.0, 1.0))
    extents = {turned: MeshScene(box, y_up=turned).mesh.extents for turned in (True, False)}
    assert int(extents[True].argmax()) == 2
    assert int(extents[False].argmax()) == 1


def test_parts_are_labelled_in_the_order_of_their_names():
    scene = trimesh.Scene()
    low, high = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1))
    high.apply_translation((0, 2, 0))
    scene.add_geometry(low, geom_name="b-low")
    scene.add_geometry(high, geom_name="a-high")
    view = MeshScene(scene).views(Cameras.turntable(1, 24, elevation=0), supersample=1)
    rows = {label: (view.labels[0] == label).nonzero()[:, 0].float().mean() for label in (1, 2)}
    assert rows[1] < rows[2]  # what is named first is above


def test_wrong_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        MeshScene.read(tmp_path / "none.glb")
    (tmp_path / "bad.glb").write_bytes(b"not a mesh")
    with pytest.raises(DataError, match=r"bad\.glb cannot be read"):
        MeshScene.read(tmp_path / "bad.glb")
    with pytest.raises(DataError, match="expected a mesh with faces"):
        MeshScene(trimesh.Scene())


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("vehicle-truck-red", "a red truck"),
        ("character", "a character"),
        ("grass-trees-tall", "a tall grass trees"),
        ("detail_forestA.gltf", "a forest of type a"),
        ("enemy-flying", "a flying enemy"),
    ],
)
def test_names_become_prompts(name, prompt):
    assert prompt_of(name) == prompt


@needs_models
def test_trucks_differ_by_colour():
    cameras = Cameras.on_sphere(2, 24)
    means = {}
    for colour in ("red", "green", "purple", "yellow"):
        scene = kenney(f"vehicle-truck-{colour}")
        assert scene.prompt == f"a {colour} truck"
        assert scene.names[0] == "body"
        view = scene.views(cameras, supersample=1)
        means[colour] = view.colour[view.labels == 1].mean(0)
    assert means["red"].argmax() == 0
    assert means["green"].argmax() == 1
    assert means["purple"].argmax() == 2
    assert means["yellow"].argmin() == 2


@needs_models
def test_an_unknown_model_is_named():
    with pytest.raises(MetapriorError, match="unknown model 'vehicle-truck-rad': did you mean 'vehicle-truck-red'"):
        kenney("vehicle-truck-rad")
