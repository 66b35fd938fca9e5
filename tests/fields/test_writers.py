import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from metaprior.errors import DataError, MetapriorError
from metaprior.fields import Field, Frequency, write_film, write_mesh, write_picture
from metaprior.fields.field import OCCUPANCY
from metaprior.fields.writers import depth_picture, kind_of, normal_picture, sheet

trimesh = pytest.importorskip("trimesh")


def ball(radius=0.5, centre=None):
    """Return a field whose density falls off from the origin, through 10 at a radius, red where x > 0 and blue else."""
    field = Field(Frequency(1), width=1, hidden=0, blob=8.0, blob_radius=0.3)
    weights = {name: torch.zeros_like(value) for name, value in field.initial(1, torch.Generator()).items()}
    weights["layers.0.bias"][0, 0] = np.log(10) - 8 * np.exp(-(radius**2) / (2 * 0.3**2))
    weights["layers.0.weight"][0, 1, 0] = 50.0
    weights["layers.0.weight"][0, 3, 0] = -50.0
    return field, weights


@pytest.mark.parametrize("ending", ["ply", "glb"])
def test_a_mesh_has_the_shape_and_the_colours_of_the_field(tmp_path, ending):
    path = tmp_path / f"ball.{ending}"
    assert write_mesh(path, *ball(), cells=32) > 500
    mesh = trimesh.load(path, force="mesh")
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.5).max() < 0.02
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.125, rel=0.03)  # positive: faces look outwards
    right = mesh.vertices[:, 0] > 0.1
    colours = np.asarray(mesh.visual.vertex_colors)
    assert colours[right][:, 0].min() > 200
    assert colours[~right & (mesh.vertices[:, 0] < -0.1)][:, 2].min() > 200


def test_glb_has_y_up(tmp_path):
    field, weights = ball()
    mask = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
    mask[..., 2:] = True  # the upper half
    for name in ("half.ply", "half.glb"):
        write_mesh(tmp_path / name, field, weights | {OCCUPANCY: mask}, cells=32)
    ply, glb = (trimesh.load(tmp_path / name, force="mesh") for name in ("half.ply", "half.glb"))
    assert ply.bounds[0, 2] == pytest.approx(0, abs=0.04)
    assert glb.bounds[0, 1] == pytest.approx(0, abs=0.04)


def test_an_empty_field_has_no_mesh(tmp_path):
    with pytest.raises(DataError, match="field: is empty: its density is at most"):
        write_mesh(tmp_path / "a.ply", *ball(), cells=8, level=1e6)
    assert not list(tmp_path.iterdir())


def test_pictures_come_back(tmp_path):
    picture = torch.rand(5, 7, 4)
    write_picture(tmp_path / "a.png", picture)
    read = np.asarray(Image.open(tmp_path / "a.png"))
    assert np.abs(read / 255 - picture.numpy()).max() < 0.003
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_gif_has_its_frames(tmp_path):
    frames = torch.stack([torch.full((6, 6, 3), value) for value in (0.0, 0.5, 1.0)])
    write_film(tmp_path / "a.gif", frames, rate=10)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 3
        assert film.info["duration"] == 100
        film.seek(2)
        assert np.asarray(film.convert("RGB")).mean() > 250


def test_an_mp4_has_its_frames(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = torch.stack([torch.full((17, 16, 3), value) for value in (0.1, 0.5, 0.9)])
    write_film(tmp_path / "a.mp4", frames)
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-i",
        str(tmp_path / "a.mp4"),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    read = subprocess.run(command, capture_output=True, check=True).stdout
    means = np.frombuffer(read, np.uint8).reshape(3, 16, 16, 3).mean((1, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.03)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(path, torch.zeros(2, 2, 3))
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_picture(path, torch.ones(2, 2, 3))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_formats():
    assert [kind_of(name) for name in ("a.PNG", "b.mp4", "b.gif", "c.glb", "c.ply")] == [
        "picture",
        "film",
        "film",
        "mesh",
        "mesh",
    ]
    for write, arguments in ((write_film, (torch.zeros(1, 2, 2, 3),)), (write_mesh, ball())):
        with pytest.raises(MetapriorError, match="out: expected a"):
            write("a.png", *arguments)
    with pytest.raises(MetapriorError, match=r"out: unknown format '\.jpg'"):
        kind_of("a.jpg")


def test_depth_and_normals_as_colours():
    depth, opacity = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    shown = depth_picture(depth, opacity)[0, :, 0]
    assert shown.tolist() == pytest.approx([1.0, 0.15, 0.0])
    assert depth_picture(depth, torch.zeros(1, 3)).abs().sum() == 0
    normals = torch.tensor([[[1.0, 0, 0], [0, 0, -1.0], [0, 0, 0]]])
    assert normal_picture(normals, opacity)[0].tolist() == [[1, 0.5, 0.5], [0.5, 0.5, 0], [1, 1, 1]]


def test_sheets_have_captions():
    page = sheet([[torch.zeros(8, 40, 3)] * 2, [torch.zeros(8, 40, 3)]], ["one", "two"])
    assert page.shape == (2 * 24 - 2, 82, 3)
    assert (page[8:22] < 0.6).any()
    assert (page[24:32, 42:] == 1).all()


def test_a_film_that_cannot_be_written_whole_leaves_what_was_there(tmp_path, monkeypatch):
    import imageio_ffmpeg

    path = tmp_path / "a.mp4"
    write_film(path, torch.rand(3, 16, 16, 3), rate=2)
    before = path.read_bytes()
    monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", lambda _: (2, 1.0))
    with pytest.raises(MetapriorError, match=r"2 of the 3 frames .* 16 x 16 .* is the disk full"):
        write_film(path, torch.rand(3, 16, 16, 3))
    monkeypatch.undo()
    with pytest.raises(MetapriorError, match="0 of the 2 frames"):
        write_film(path, torch.rand(2, 1, 1, 3))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
