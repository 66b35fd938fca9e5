"""A user's own images: splits, decoding, and every kind of folder that cannot be used."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metaprior.errors import DataError, MetapriorError
from metaprior.registry import build, describe
from metaprior.tasks import Images
from metaprior.tasks.images import image_files, read_images


def fill(folder: Path, classes: int = 9, images: int = 4, size: tuple[int, int] = (20, 20)) -> Path:
    """Draw a folder of classes, each of one grey level."""
    for index in range(classes):
        (folder / f"class{index}").mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", size, (20 * index, number, 7)).save(folder / f"class{index}" / f"{number}.png")
    return folder


def source(folder: Path, **arguments) -> Images:
    return Images(folder, **({"ways": 2, "queries": 2, "size": 8, "splits": (0.5, 0.25, 0.25)} | arguments))


def inputs(**changes) -> dict:
    return {"kind": "images", "channels": 3, "height": 8, "width": 8, "dark_on_light": False, "fit": "crop"} | changes


def one(tmp_path: Path, image: Image.Image, name: str = "a.png", exif: Image.Exif | None = None, **changes):
    path = tmp_path / name
    image.save(path, **({"exif": exif} if exif else {}))
    return read_images([path], inputs(**changes))[0]


def test_tasks_of_its_classes(tmp_path):
    images = source(fill(tmp_path))
    episode = images.sample(6, torch.Generator().manual_seed(0))
    assert episode.support.x.shape == (6, 2, 3, 8, 8)
    assert episode.query.x.shape == (6, 4, 3, 8, 8)
    level = (episode.query.x[:, :, 0, 0, 0] * 255).round().long() // 20
    assert torch.equal(level, level[:, ::2].repeat_interleave(2, 1)), "the queries of a class are of that class"
    assert (level[:, 0] != level[:, 2]).all()


def test_splits_share_no_class_and_do_not_depend_on_the_machine(tmp_path):
    images = source(fill(tmp_path))
    parts = [set(images.classes[split]) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [5, 2, 2]
    assert len(set.union(*parts)) == 9
    assert images.classes == source(tmp_path).classes
    assert images.classes != source(tmp_path, seed=1).classes
    assert images.spec.pool == 5


def test_a_description_rebuilds_it(tmp_path):
    images = source(fill(tmp_path))
    assert build(describe(images)).test_set(5).hash == images.test_set(5).hash


def test_other_shots_do_not_read_again(tmp_path):
    images = source(fill(tmp_path))
    images.sample(1, torch.Generator())
    for path in image_files(tmp_path):
        path.unlink()
    assert images.with_shots(2).sample(1, torch.Generator()).support.size == 4


def test_at_most_so_many_of_a_class(tmp_path):
    assert source(fill(tmp_path), most=3).pool("train").images.shape[:2] == (5, 3)


def test_nothing_is_read_before_it_is_needed(tmp_path):
    assert Images(tmp_path / "absent").inputs["channels"] == 3


def test_reading_repeats_what_the_source_did(tmp_path):
    images = source(fill(tmp_path, size=(31, 17)), grey=True)
    files = image_files(tmp_path / images.classes["train"][0])
    pool = images.pool("train").images[0].float() / 255
    assert torch.equal(read_images(files, images.inputs), pool)


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


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(
        DataError, match=r"folder: .*absent does not exist; expected a folder that has a folder for each"
    ):
        _ = Images(tmp_path / "absent").spec


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match=r"a\.png is a file"):
        _ = Images(tmp_path / "a.png").spec


def test_an_empty_folder(tmp_path):
    (tmp_path / ".hidden").touch()
    with pytest.raises(DataError, match="is empty"):
        _ = Images(tmp_path).spec


def test_images_without_class_folders(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="has 1 files but no folders"):
        _ = Images(tmp_path).spec


def test_class_folders_without_images(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"the 1 folders in .* hold no images"):
        _ = Images(tmp_path).spec


def test_too_few_classes_for_a_split(tmp_path):
    with pytest.raises(
        DataError, match=r"ways: the valid split gets 2 of the 9 classes in .*, too few for tasks of 5: add"
    ):
        _ = source(fill(tmp_path), ways=5).spec


def test_a_split_of_nothing_is_refused_only_when_drawn_from(tmp_path):
    images = source(fill(tmp_path), ways=3, splits=(0.6, 0.4, 0.0))
    images.sample(1, torch.Generator(), "valid")
    with pytest.raises(DataError, match="the test split has 0 classes"):
        images.sample(1, torch.Generator(), "test")


@pytest.mark.parametrize("splits", [(0.5, 0.5), (0.5, 0.4, 0.2), (1.5, -0.5, 0.0)])
def test_splits_that_are_no_fractions(tmp_path, splits):
    with pytest.raises(DataError, match="splits: expected three fractions that add up to 1, got"):
        _ = source(fill(tmp_path), splits=splits).spec


def test_a_class_with_too_few_images(tmp_path):
    images = source(fill(tmp_path))
    name = images.classes["train"][1]
    for path in image_files(tmp_path / name)[1:]:
        path.unlink()
    with pytest.raises(
        DataError, match=f"class '{name}' of the train split has 1 images; 1 shots and at least one query"
    ):
        images.__class__(tmp_path, ways=2, splits=(0.5, 0.25, 0.25)).sample(1, torch.Generator())


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_broken_image_is_named_or_skipped(tmp_path, content):
    fill(tmp_path)
    name = source(tmp_path).classes["train"][0]
    (tmp_path / name / "0.png").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"{name}/0\.png cannot be read as an image .*; skip_bad leaves such files out"
    ):
        source(tmp_path).sample(1, torch.Generator())
    with pytest.warns(UserWarning, match=rf"skipped 1 images that cannot be read: .*{name}/0\.png"):
        pool = source(tmp_path, skip_bad=True).pool("train")
    assert pool.counts.tolist() == [3, 4, 4, 4, 4]


def test_a_truncated_image_is_named(tmp_path):
    fill(tmp_path, size=(200, 200))
    path = tmp_path / source(tmp_path).classes["train"][0] / "0.png"
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        read_images([path], inputs())


def test_floating_point_pixels_are_refused(tmp_path):
    with pytest.raises(DataError, match="its pixels are floating-point numbers"):
        one(tmp_path, Image.new("F", (8, 8)), "a.tif")


def test_without_pillow_the_error_says_what_to_install(tmp_path, monkeypatch):
    images = source(fill(tmp_path))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        MetapriorError, match=r"reading images needs the package 'pillow': pip install \"metaprior\[vis"
    ):
        images.sample(1, torch.Generator())
