"""A user's own images: splits, and every kind of folder that cannot be used."""

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from metaprior.errors import DataError, MetapriorError
from metaprior.registry import build, describe
from metaprior.tasks import Images
from metaprior.tasks.image_files import image_files, read_images


def fill(folder: Path, classes: int = 9, images: int = 4, size: tuple[int, int] = (20, 20)) -> Path:
    """Draw a folder of classes, each of one grey level."""
    for index in range(classes):
        (folder / f"class{index}").mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", size, (20 * index, number, 7)).save(folder / f"class{index}" / f"{number}.png")
    return folder


def source(folder: Path, **arguments) -> Images:
    return Images(folder, **({"ways": 2, "queries": 2, "size": 8, "splits": (0.5, 0.25, 0.25)} | arguments))


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


def test_without_pillow_the_error_says_what_to_install(tmp_path, monkeypatch):
    images = source(fill(tmp_path))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        MetapriorError, match=r"reading images needs the package 'pillow': pip install \"metaprior\[vis"
    ):
        images.sample(1, torch.Generator())
