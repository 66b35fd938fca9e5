"""Nuclei: the rule that tells modalities, the patches, and that no image is in both halves of a task."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from metaprior.errors import DataError, UnknownNameError
from metaprior.registry import build, describe
from metaprior.tasks import Nuclei, Streams, nuclei
from metaprior.tasks.nuclei import MODALITIES, modality

Image = pytest.importorskip("PIL.Image", reason="needs the extra 'vision'")

ARCHIVE = "dsb2018_stage1_subset.zip"
real = pytest.mark.skipif(
    "METAPRIOR_DATA" not in os.environ
    or not (Path(os.environ["METAPRIOR_DATA"]) / "dsb2018_nuclei" / ARCHIVE).is_file(),
    reason="needs dsb2018_nuclei under $METAPRIOR_DATA",
)
COUNTS = dict(zip(MODALITIES, (148, 121, 64, 60, 10, 13), strict=True))


def pictures():
    """An image and labels of each modality, with nuclei of 18 x 18 pixels, or of 14 x 14."""
    grounds = {
        "fluorescence-bright": (12, 12, 12),
        "purple-on-white": (200, 200, 210),
        "purple-on-purple": (180, 150, 210),
    }
    for name in MODALITIES:
        side, first = (360, 60) if name == "fluorescence-large" else (256, 20)
        labels = np.zeros((side, side), np.uint16)
        large = 18 if name == "fluorescence-dense" else 14
        for index in range(16):
            row, column = first + 60 * (index // 4), first + 60 * (index % 4)
            labels[row : row + large, column : column + large] = index + 1
        image = np.full((side, side, 3), grounds.get(name, (4, 4, 4)), np.uint8)
        image[labels > 0] = (90, 40, 150) if "purple" in name else (120, 120, 120)
        yield name, image, labels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder and an empty cache."""
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "dsb2018_nuclei").mkdir()
    return tmp_path / "dsb2018_nuclei"


def write(path, copies=4, crop=None):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.rst", "text")
        for name, image, labels in pictures():
            for copy in range(copies):
                for part, pixels in (("images", image), ("labels", labels[:crop])):
                    content = io.BytesIO()
                    Image.fromarray(pixels).save(content, "png")
                    archive.writestr(f"{part}/{name}-{copy}.png", content.getvalue())


def test_the_rule_tells_modalities():
    for name, image, labels in pictures():
        assert modality(image, labels) == name
    assert modality(np.zeros((256, 256, 3), np.uint8), np.zeros((256, 256), int)) == "fluorescence-sparse"


def test_patches_are_cut_side_by_side_and_shrunk():
    planes = torch.zeros(4, 256, 320)
    planes[:, :128, 32:160] = 1
    tiles = nuclei._tiles(planes, 32, 128)
    assert tiles.shape == (4, 4, 32, 32)
    assert tiles.mean((1, 2, 3)).tolist() == [1, 0, 0, 0]


def test_images_and_masks_agree(folder):
    write(folder / ARCHIVE)
    source = Nuclei(shots=4, queries=4, size=32)
    patches = source._patches
    assert patches["images"].shape[1:] == (3, 32, 32)
    assert patches["modalities"].bincount().tolist() == [16] * 6
    for split in ("train", "valid", "test"):
        episode = source.sample(6, torch.Generator().manual_seed(0), split)
        ink = episode.support.x.std(dim=2).add(episode.support.x.mean(2))
        nucleus = episode.support.y == 1
        assert 0.02 < nucleus.float().mean() < 0.2
        assert (ink[nucleus].mean() - ink[~nucleus].mean()).abs() > 0.1


def test_a_task_is_of_one_modality_and_no_image_is_in_both_its_halves(folder):
    write(folder / ARCHIVE)
    source = Nuclei(shots=8, queries=8, size=16)
    for name in MODALITIES:
        drawn = source._draw(name, torch.Generator().manual_seed(0))
        assert {MODALITIES[index] for index in source._patches["modalities"][drawn].tolist()} == {name}
        owners = source._patches["owners"][drawn]
        assert not set(owners[:8].tolist()) & set(owners[8:].tolist())
        assert len(drawn.unique()) == 16


def test_training_tasks_have_colours_of_their_own(folder):
    write(folder / ARCHIVE)
    plain, source = (Nuclei(size=16, recolour=recolour) for recolour in (False, True))
    grounds = {
        tuple((pixel > 0.5).tolist())
        for pixel in source.sample(40, torch.Generator().manual_seed(0)).support.x[:, 0, :, 0, 0]
    }
    assert len(grounds) == 8, "each channel may be inverted"
    for split, same in (("train", False), ("test", True)):
        drawn = [each.sample(9, torch.Generator().manual_seed(0), split).query for each in (plain, source)]
        assert torch.equal(drawn[0].x, drawn[1].x) == same
        assert torch.equal(drawn[0].y[:1], drawn[1].y[:1])


def test_splits_can_be_chosen(folder):
    source = Nuclei(valid=("purple-on-white",), test=("fluorescence-large",))
    assert source.modalities("train") == (*MODALITIES[:3], MODALITIES[5])
    assert source.modalities("test") == ("fluorescence-large",)
    assert build(describe(source)).test == ("fluorescence-large",)
    with pytest.raises(UnknownNameError, match="did you mean 'purple-on-white'"):
        Nuclei(test=("purple-on-whit",))
    with pytest.raises(DataError, match="valid, test: expected modalities that are not in both"):
        Nuclei(valid=MODALITIES[:3], test=MODALITIES[3:])
    with pytest.raises(DataError, match="split: expected one of train, valid, test; got 'tst'"):
        source.modalities("tst")
    with pytest.raises(DataError, match="valid: expected a modality or more, got none"):
        Nuclei(valid=()).sample(1, torch.Generator(), "valid")


def test_what_cannot_be_read_is_named(folder):
    with pytest.raises(DataError, match=rf"dsb2018_nuclei: {ARCHIVE} is neither under"):
        Nuclei().sample(1, torch.Generator())
    (folder / ARCHIVE).write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"cannot be read .*: get it again"):
        Nuclei().sample(1, torch.Generator())
    write(folder / ARCHIVE, copies=1, crop=200)
    with pytest.raises(DataError, match=r"images/fluorescence-bright-0.png is of \(256, 256\) pixels, its labels of"):
        Nuclei().sample(1, torch.Generator())
    write(folder / ARCHIVE, copies=2)
    with pytest.raises(DataError, match=r"shots: half the images of '.*' have 4 patches, too few for 5"):
        Nuclei(shots=5, queries=1, size=16).sample(1, torch.Generator())
    with pytest.raises(DataError, match="field: expected 16 to 256 pixels, as the images have, got 999"):
        Nuclei(field=999)


@real
def test_the_real_images():
    source = Nuclei(shots=10, queries=8, size=32)
    owners = {name: len(images.unique()) for name, (_, images) in source._of.items()}
    # Images of which no patch has enough nuclei are left out.
    assert owners == COUNTS
    for split in ("train", "valid", "test"):
        episode = source.sample(4, torch.Generator().manual_seed(0), split)
        assert episode.support.x.shape == (4, 10, 3, 32, 32)
        assert 0.01 < episode.query.y.float().mean() < 0.5
    stream = Streams(source, delay=1).sample(2, torch.Generator().manual_seed(0), "test")
    assert stream.steps == 10
    assert source.test_set(3).hash == Nuclei(shots=10, queries=8, size=32).test_set(3).hash
