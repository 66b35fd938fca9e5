"""CIFAR-FS: the split, the official archive, and the copy of its test half."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metaprior import data
from metaprior.errors import DataError, UnknownNameError
from metaprior.registry import build, describe
from metaprior.tasks import CIFARFS, cifarfs

FOLDER = Path(os.environ.get("METAPRIOR_DATA", "")) / "cifar100"
real = pytest.mark.skipif(
    "METAPRIOR_DATA" not in os.environ or not (FOLDER / "cifar100_test_png.zip").is_file(),
    reason="needs the test half of CIFAR-100 under $METAPRIOR_DATA",
)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A folder for CIFAR-100 with nothing in it, and an empty cache."""
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cifar100").mkdir()
    return tmp_path / "cifar100"


def official_archive(path: Path, images: dict[str, torch.Tensor], names=None) -> Path:
    """Write images (classes, M, 3, 32, 32) of each half in the official binary layout, in an order of their own."""
    names = cifarfs._NAMES if names is None else names
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        for half, stack in images.items():
            classes, each = stack.shape[:2]
            labels = torch.arange(classes).repeat_interleave(each)
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
            head = torch.stack([torch.zeros_like(labels), labels], 1).to(torch.uint8)
            records = torch.cat([head, stack.flatten(0, 1).flatten(1)], dim=1)[order]
            add(f"{half}.bin", records.numpy().tobytes())
        add("fine_label_names.txt", ("\n".join(names) + "\n").encode())
    return path


def test_the_split_has_every_class_once():
    classes = {
        split: [name for names in parts.values() for name in names.split()] for split, parts in cifarfs._CLASSES.items()
    }
    assert [len(names) for names in classes.values()] == [64, 16, 20]
    assert len(set().union(*classes.values())) == 100
    assert {"whale", "poppy", "man", "rocket"} <= set(classes["test"])
    assert {"beaver", "tractor"} <= set(classes["valid"])
    assert all(set(parts) <= set(cifarfs._SUPERCLASSES) for parts in cifarfs._CLASSES.values())
    assert len(cifarfs._SUPERCLASSES) == 20


def test_the_archive_is_read_by_class_with_planes_of_colour(tmp_path):
    shape = (3, 2, 3, 32, 32)
    halves = {
        half: torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
        for seed, half in enumerate(("train", "test"))
    }
    path = official_archive(tmp_path / "a.tar.gz", halves, ["apple", "bee", "cup"])
    both = cifarfs._read_archive(path, ("train", "test"))
    assert list(both) == ["apple", "bee", "cup"]
    for index, images in enumerate(both.values()):
        expected = {bytes(image) for half in halves.values() for image in half[index].numpy()}
        assert {bytes(image) for image in images} == expected
    assert all(image.shape == (3, 32, 32) for images in both.values() for image in images)
    assert [len(images) for images in cifarfs._read_archive(path, ("test",)).values()] == [2, 2, 2]


def test_what_lies_here_decides_how_many_images_a_class_has(empty):
    assert CIFARFS().images_per_class == 100
    assert CIFARFS(part="all").images_per_class == 600
    (empty / "cifar-100-binary.tar.gz").touch()
    assert CIFARFS().images_per_class == 600
    assert CIFARFS(part="test").images_per_class == 100


def test_an_unknown_part_is_refused():
    with pytest.raises(UnknownNameError, match="unknown part 'tset': did you mean 'test'"):
        CIFARFS(part="tset").sample(1, torch.Generator())


@pytest.mark.parametrize("part", ["auto", "all", "test"])
def test_nothing_is_downloaded_unasked(empty, monkeypatch, part):
    monkeypatch.setattr(data, "get", lambda *_: pytest.fail("downloads"))
    with pytest.raises(DataError, match="run 'metaprior data get cifar100'"):
        CIFARFS(part=part).sample(1, torch.Generator())


@pytest.mark.parametrize("name", ["cifar-100-binary.tar.gz", "cifar100_test_png.zip"])
def test_a_damaged_file_is_named(empty, name):
    (empty / name).write_bytes(b"no archive at all")
    with pytest.raises(DataError, match=rf"cifar100: .*{name} cannot be read \(.*\): delete it and get it again"):
        CIFARFS().sample(1, torch.Generator())


def test_a_truncated_archive_is_named(empty):
    path = official_archive(empty / "cifar-100-binary.tar.gz", {"test": torch.zeros(100, 3, 3, 32, 32).byte()})
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"tar.gz cannot be read"):
        CIFARFS(part="test").sample(1, torch.Generator())


def test_an_archive_with_too_few_images_is_refused(empty):
    official_archive(empty / "cifar-100-binary.tar.gz", {"test": torch.zeros(100, 2, 3, 32, 32).byte()})
    with pytest.raises(DataError, match=r"holds 100 classes of 2 images or more, expected 100 of 100"):
        CIFARFS(part="test").sample(1, torch.Generator())


@pytest.fixture(scope="module")
def pools():
    """The three splits of the test half."""
    return {split: CIFARFS(part="test").pool(split) for split in ("train", "valid", "test")}


@real
def test_the_test_half(pools):
    assert {split: tuple(pool.images.shape) for split, pool in pools.items()} == {
        "train": (64, 100, 3, 32, 32),
        "valid": (16, 100, 3, 32, 32),
        "test": (20, 100, 3, 32, 32),
    }
    assert all((pool.counts == 100).all() for pool in pools.values())
    assert pools["test"].names[0] == "whale"
    blue, red = (pools["test"].images[pools["test"].names.index(name)].float() for name in ("whale", "poppy"))
    assert blue[:, 2].mean() > blue[:, 0].mean(), "the sea is blue"
    assert red[:, 0].mean() > red[:, 2].mean(), "poppies are red"


@real
def test_the_images_are_those_of_the_folder_of_their_class(pools):
    with zipfile.ZipFile(FOLDER / "cifar100_test_png.zip") as archive:
        name = next(name for name in archive.namelist() if name.startswith("test/tractor/") and name.endswith(".png"))
        with Image.open(io.BytesIO(archive.read(name))) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    images = pools["valid"].images[pools["valid"].names.index("tractor")]
    assert (images == pixels).flatten(1).all(1).any()


@real
def test_tasks_do_not_depend_on_which_file_was_read(pools, empty):
    """The test half, written as the official archive in another order, gives the same tensor."""
    named = {name: images for pool in pools.values() for name, images in zip(pool.names, pool.images, strict=True)}
    images = torch.stack([named[name] for name in cifarfs._NAMES])
    official_archive(empty / "cifar-100-binary.tar.gz", {"test": images})
    assert torch.equal(cifarfs._read(100), images)


@real
def test_tasks():
    source = CIFARFS(ways=5, shots=5, queries=10, part="test")
    episode = source.sample(4, torch.Generator().manual_seed(0), "test")
    assert episode.support.x.shape == (4, 25, 3, 32, 32)
    assert episode.query.x.shape == (4, 50, 3, 32, 32)
    assert 0.3 < episode.query.x.mean() < 0.7
    assert source.spec.pool == 64
    assert build(describe(source)).test_set(3).hash == source.test_set(3).hash
    with pytest.raises(DataError, match="the largest group of the test split has 3 classes, too few for 5"):
        CIFARFS(ways=5, part="test", within=True).sample(1, torch.Generator(), "test")
    owners = CIFARFS(part="test").pool("train").groups
    labels = CIFARFS(ways=5, part="test", within=True).sample(20, torch.Generator().manual_seed(0)).labels
    assert (owners[labels] == owners[labels[:, :1]]).all()
