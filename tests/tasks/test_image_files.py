"""Image files: every common kind is read as a person would see it; a damaged one is named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metaprior.errors import DataError
from metaprior.tasks.image_files import class_files, decode, image_files, read_images


def inputs(**changes) -> dict:
    return {"kind": "images", "channels": 3, "height": 8, "width": 8, "dark_on_light": False, "fit": "crop"} | changes


def one(tmp_path: Path, image: Image.Image, name: str = "a.png", exif: Image.Exif | None = None, **changes):
    path = tmp_path / name
    image.save(path, **({"exif": exif} if exif else {}))
    return read_images([path], inputs(**changes))[0]


def test_no_files_are_no_images():
    assert read_images([], inputs()).shape == (0, 3, 8, 8)


def test_orientation_is_honoured(tmp_path):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show"
    turned = one(tmp_path, Image.fromarray(pixels), exif=exif)
    assert turned[0, :, -1].min() > 0.9
    assert turned[0, :, 0].max() < 0.1


def test_transparency_is_laid_on_white(tmp_path):
    assert one(tmp_path, Image.new("RGBA", (8, 8), (0, 0, 0, 0))).min() == 1
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0] * 256)
    path = tmp_path / "p.gif"
    palette.save(path, transparency=0)
    assert read_images([path], inputs()).min() == 1


def test_aspect_is_kept(tmp_path):
    wide = Image.new("L", (32, 8), 255)
    assert one(tmp_path, wide, channels=1).min() == 1
    padded = one(tmp_path, wide, channels=1, fit="pad")
    assert padded[0, 0].max() == 0
    assert padded[0, 4].min() == 1


def test_a_drawing_is_padded_where_the_source_does_not_say(tmp_path):
    wide = Image.new("L", (32, 8), 0)
    given = {key: value for key, value in inputs(channels=1, dark_on_light=True).items() if key != "fit"}
    wide.save(tmp_path / "a.png")
    assert read_images([tmp_path / "a.png"], given)[0, 0, 0].max() == 0


@pytest.mark.parametrize("paper", [0, 255])
def test_ink_becomes_one_whatever_the_paper(tmp_path, paper):
    drawing = Image.new("L", (8, 8), paper)
    drawing.putpixel((3, 4), 255 - paper)
    read = one(tmp_path, drawing, channels=1, dark_on_light=True)
    assert read[0, 4, 3] == 1
    assert read.sum() == 1


def test_sixteen_bits_are_scaled(tmp_path):
    deep = Image.fromarray(np.full((8, 8), 32896, np.uint16))
    assert one(tmp_path, deep, channels=1).mean().item() == pytest.approx(128 / 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_common_kind_of_image_is_read(tmp_path, mode):
    name = "a.tif" if mode == "CMYK" else "a.png"
    for channels in (1, 3):
        assert one(tmp_path, Image.new(mode, (9, 5)), name, channels=channels).shape == (channels, 8, 8)


def test_a_large_jpeg_is_read(tmp_path):
    assert one(tmp_path, Image.new("RGB", (900, 600), "white"), "a.jpg").mean() > 0.99


def test_a_truncated_image_is_named(tmp_path):
    path = tmp_path / "0.png"
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        read_images([path], inputs())


def test_floating_point_pixels_are_refused(tmp_path):
    with pytest.raises(DataError, match="its pixels are floating-point numbers"):
        one(tmp_path, Image.new("F", (8, 8)), "a.tif")


def test_every_image_below_a_folder_is_found_in_order(tmp_path):
    for name in ("b/z.PNG", "b/a.jpg", "a.webp", "b/notes.txt", ".hidden/a.png", "__MACOSX/a.png", "b/.a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)] == ["a.webp", "b/a.jpg", "b/z.PNG"]
    assert {name: len(files) for name, files in class_files(tmp_path, "folder").items()} == {"b": 2}


def test_images_come_in_the_order_of_their_paths_whatever_the_threads(tmp_path):
    for level in range(40):
        Image.new("L", (9, 9), 6 * level).save(tmp_path / f"{level:02}.png")
    read = read_images(image_files(tmp_path), inputs(channels=1))
    assert torch.equal(read[:, 0, 0, 0], torch.arange(40) * 6 / 255)


def test_a_bad_image_is_raised_or_yielded_in_its_place(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"none")
    paths = [tmp_path / "b.png", tmp_path / "a.png"]
    wrong, image = decode(paths, inputs(), skip_bad=True)
    assert "b.png cannot be read as an image" in str(wrong)
    assert isinstance(wrong, DataError)
    assert image.shape == (3, 8, 8)
    with pytest.raises(DataError, match="skip_bad leaves such files out"):
        list(decode(paths, inputs(), skip_bad=False))
