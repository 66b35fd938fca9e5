"""Omniglot: the packed copy, the official zip, the two splits, and rotations."""

import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metaprior import data
from metaprior.errors import DataError
from metaprior.tasks import Omniglot, omniglot

FOLDER = Path(os.environ.get("METAPRIOR_DATA", "")) / "omniglot"
real = pytest.mark.skipif(
    "METAPRIOR_DATA" not in os.environ or not (FOLDER / "images_background.npz").is_file(),
    reason="needs Omniglot under $METAPRIOR_DATA",
)


def official_zip(path: Path, alphabets: dict[str, dict[int, int]], drawings: int = 20) -> Path:
    """Write a zip in the layout of the official ones: alphabet -> number of a character in the data set -> its ink.

    The ink of a character is a square that begins at a pixel of its own; the drawing's number is the square's side.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images_background/", "")
        archive.writestr("__MACOSX/images_background/._x.png", b"not an image")
        for alphabet, characters in alphabets.items():
            for position, (number, place) in enumerate(characters.items()):
                for drawing in range(drawings):
                    paper = np.full((105, 105), 255, np.uint8)
                    paper[place : place + drawing + 1, place : place + drawing + 1] = 0
                    content = io.BytesIO()
                    Image.fromarray(paper).convert("1").save(content, "PNG")
                    name = f"{alphabet}/character{position + 1:02}/{number:04}_{drawing + 1:02}.png"
                    archive.writestr(f"images_background/{name}", content.getvalue())
    return path


def test_the_official_layout_is_read_with_ink_as_true(tmp_path):
    path = official_zip(tmp_path / "images_background.zip", {"Arcadian": {1: 0, 2: 10}, "Greek": {3: 20, 4: 30, 5: 40}})
    ink, alphabets = omniglot._read_official(path)
    assert ink.shape == (5, 20, 105, 105)
    assert ink.dtype == bool
    assert alphabets.tolist() == [0, 0, 1, 1, 1]
    for character, place in enumerate((0, 10, 20, 30, 40)):
        assert ink[character].sum((1, 2)).tolist() == [side**2 for side in range(1, 21)], "in the order of the drawers"
        assert ink[character, 0, place, place]


def test_the_official_layout_gives_the_order_of_the_packed_copy(tmp_path):
    path = official_zip(tmp_path / "images_background.zip", {"Alphabet_of_the_Magi": {709: 50}, "Arcadian": {1: 0}})
    ink, alphabets = omniglot._read_official(path)
    assert ink[0, 0, 0, 0]
    assert alphabets.tolist() == [0, 1]


@real
def test_the_official_small_set_equals_the_same_characters_of_the_packed_copy():
    path = FOLDER / "images_background_small1.zip"
    ink, alphabets = omniglot._read_official(path)
    packed, owners = omniglot._read_packed(FOLDER / "images_background.npz", "background")
    with zipfile.ZipFile(path) as archive:
        numbers = sorted({int(Path(name).name[:4]) for name in archive.namelist() if name.endswith(".png")})
    rows = torch.tensor(numbers) - 1
    assert ink.shape == (136, 20, 105, 105)
    assert np.array_equal(ink, packed[rows.numpy()])
    assert alphabets.bincount().tolist() == owners[rows].unique(return_counts=True)[1].tolist()
    assert 0.02 < ink.mean() < 0.2, "ink, not paper"


def test_an_incomplete_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "omniglot").mkdir()
    official_zip(tmp_path / "omniglot" / "images_background.zip", {"Greek": {1: 0}}, drawings=2)
    with pytest.raises(DataError, match=r"images_background.zip holds 1 characters, expected 964"):
        Omniglot().sample(1, torch.Generator())


def test_nothing_is_downloaded_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "get", lambda *_: pytest.fail("downloads"))
    with pytest.raises(DataError, match="run 'metaprior data get omniglot'"):
        Omniglot().sample(1, torch.Generator())


@pytest.fixture(scope="module")
def pools():
    """The pools of both splits, without rotations."""
    return {
        split: {part: Omniglot(split=split, rotations=False).pool(part) for part in ("train", "valid", "test")}
        for split in ("characters", "alphabets")
    }


@real
@pytest.mark.parametrize(
    ("split", "sizes", "groups"),
    [("characters", (1100, 100, 423), None), ("alphabets", (812, 152, 659), (25, 5, 20))],
)
def test_splits_hold_every_character_once(pools, split, sizes, groups):
    parts = list(pools[split].values())
    assert tuple(len(part.images) for part in parts) == sizes
    assert all(part.images.shape[1:] == (20, 1, 28, 28) for part in parts)
    drawings = torch.cat([part.images for part in parts]).flatten(1)
    assert len({bytes(character) for character in drawings.numpy()}) == 1623, "no character is in two splits"
    if groups is not None:
        alphabets = [set(part.groups.tolist()) for part in parts]
        assert tuple(map(len, alphabets)) == groups
        assert not alphabets[0] & alphabets[1]
        assert not (alphabets[0] | alphabets[1]) & alphabets[2]


@real
def test_ink_is_light_on_a_dark_ground_and_no_image_is_blank(pools):
    images = pools["characters"]["test"].images
    assert (images.amax((-2, -1)) > 80).all()
    assert images.float().mean() < 64


@real
def test_each_rotation_is_a_class_of_its_own():
    pool = Omniglot().pool("valid")
    assert len(pool.images) == 400
    assert torch.equal(pool.images[1], pool.images[0].rot90(1, (-2, -1)))
    assert torch.equal(pool.groups[::4], pool.groups[3::4])


@real
def test_tasks_within_an_alphabet(pools):
    groups = pools["alphabets"]["test"].groups
    source = Omniglot(ways=20, queries=1, split="alphabets", rotations=False, within=True)
    episode = source.sample(30, torch.Generator().manual_seed(0), "test")
    owners = groups[episode.labels]
    assert (owners == owners[:, :1]).all()
    assert len(owners.unique()) > 5


@real
def test_a_thousand_episodes_in_under_a_second():
    source = Omniglot(ways=5, shots=1, queries=15)
    generator = torch.Generator().manual_seed(0)
    source.sample(1, generator)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        for _ in range(10):
            source.sample(100, generator)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1


@real
def test_two_sources_have_one_test_set():
    source = Omniglot(ways=5, shots=1)
    assert source.test_set(20, seed=0).hash == Omniglot(ways=5, shots=1).test_set(20, seed=0).hash
    assert source.test_set(20, seed=0).hash != source.test_set(20, seed=1).hash
    assert source.spec.pool == 4400
    assert source.inputs == {"kind": "images", "channels": 1, "height": 28, "width": 28, "dark_on_light": True}
