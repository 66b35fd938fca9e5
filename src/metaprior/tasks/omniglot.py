"""Omniglot: 1,623 handwritten characters of 50 alphabets, drawn by 20 people each."""

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metaprior import data
from metaprior.errors import DataError, missing
from metaprior.registry import sources
from metaprior.tasks.source import ClassPool, ClassSource, Split

__all__ = ["Omniglot"]

_HALVES = {"background": 964, "evaluation": 659}


@sources.register("omniglot")
class Omniglot(ClassSource):
    """Tasks of telling handwritten characters apart.

    Args:
        ways: classes of a task, or the least and most of them.
        shots: support drawings of a class, or the least and most of them.
        queries: query drawings of a class.
        split: "characters" draws 1,100 training, 100 validation and 423 test characters from all alphabets, as MAML
            and Prototypical Networks do; "alphabets" trains on the official background set, five of whose alphabets
            are for validation, and tests on the alphabets of the evaluation set; "halves" trains on 963 characters of
            the background set and tests on 600 of the evaluation set, 59 others of which are for validation, as
            continual learning does.
        rotations: also make a class of each turn of a character by 90 degrees, in every split.
        within: choose the classes of a task from one alphabet.
        size: height and width in pixels.

    Source: Lake et al. 2015; the split of characters follows Santoro et al. 2016 and Vinyals et al. 2016 in its sizes,
    not in its characters, which were never published for MAML.

    Example:
        >>> source = Omniglot(ways=20, shots=1)
        >>> source.ways
        20
    """

    def __init__(
        self,
        ways: int | tuple[int, int] = 5,
        shots: int | tuple[int, int] = 1,
        queries: int = 15,
        split: Literal["characters", "alphabets", "halves"] = "characters",
        rotations: bool = True,
        within: bool = False,
        size: int = 28,
    ):
        self.ways = ways
        self.shots = shots
        self.queries = queries
        self.split = split
        self.rotations = rotations
        self.within = within
        self.size = size

    @property
    def inputs(self) -> dict[str, Any] | None:
        """Images of dark ink on light paper are inverted, since ink is 1 here."""
        return {"kind": "images", "channels": 1, "height": self.size, "width": self.size, "dark_on_light": True}

    def pool(self, split: Split) -> ClassPool:
        """Return the characters of a split, each rotation a class of its own."""
        halves = [_load(half, self.size) for half in _HALVES]
        images = torch.cat([half["images"] for half in halves])
        alphabets = torch.cat([halves[0]["alphabets"], halves[1]["alphabets"] + halves[0]["alphabets"].max() + 1])
        chosen = _characters(self.split, alphabets)[split]
        images, alphabets = images[chosen], alphabets[chosen]
        if self.rotations:
            turns = [images.rot90(turn, (-2, -1)) for turn in range(4)]
            images = torch.stack(turns, dim=1).flatten(0, 1)
            alphabets = alphabets.repeat_interleave(4)
        return ClassPool.full(images, alphabets)


def _characters(split: str, alphabets: Tensor) -> dict[str, Tensor]:
    if split not in ("characters", "alphabets", "halves"):
        raise DataError(f"split: expected 'characters', 'alphabets' or 'halves', got '{split}'")
    if split == "characters":
        shuffled = torch.randperm(len(alphabets), generator=torch.Generator().manual_seed(0))
        return {"train": shuffled[:1100], "valid": shuffled[1100:1200], "test": shuffled[1200:]}
    if split == "halves":
        first = _HALVES["background"]
        shuffled = first + torch.randperm(len(alphabets) - first, generator=torch.Generator().manual_seed(0))
        return {"train": torch.arange(963), "valid": shuffled[600:], "test": shuffled[:600]}
    position = torch.arange(len(alphabets))
    background = position < _HALVES["background"]
    # Five whole alphabets, spread over the thirty of the background set.
    validation = background & (alphabets % 6 == 5)
    return {
        "train": position[background & ~validation],
        "valid": position[validation],
        "test": position[~background],
    }


def _load(half: str, size: int) -> dict[str, Tensor]:
    """Return `images` (G, 20, 1, size, size), ink 255 on 0, and `alphabets` (G,)."""
    return data.cached(f"omniglot-{half}-{size}-v1", lambda: _read(half, size))


def _read(half: str, size: int) -> dict[str, Tensor]:
    path = data.need("omniglot", f"images_{half}.npz", f"images_{half}.zip")
    try:
        ink, alphabets = _read_packed(path, half) if path.suffix == ".npz" else _read_official(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, OSError) as error:
        raise DataError(f"omniglot: {path} cannot be read ({error}): delete it and get it again") from error
    if len(ink) != _HALVES[half]:
        raise DataError(f"omniglot: {path} holds {len(ink)} characters, expected {_HALVES[half]}")
    resized = [
        functional.interpolate(
            torch.from_numpy(drawings)[:, None].float(), (size, size), mode="bilinear", antialias=True
        )
        for drawings in ink
    ]
    images = torch.stack(resized).mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    return {"images": images, "alphabets": alphabets}


def _read_packed(path: Path, half: str) -> tuple[np.ndarray, Tensor]:
    with np.load(path, allow_pickle=False) as archive:
        ink = ~archive[archive.files[0]]
    ranges = json.loads((path.parent / "alphabet_ranges.json").read_text())["ranges"]
    offset = 0 if half == "background" else _HALVES["background"]
    owners = torch.zeros(len(ink), dtype=torch.long)
    inside = sorted((first, last) for first, last in ranges.values() if offset < first <= offset + len(ink))
    for index, (first, last) in enumerate(inside):
        owners[first - 1 - offset : last - offset] = index
    return ink, owners


def _read_official(path: Path) -> tuple[np.ndarray, Tensor]:
    """Read the zip of a folder for each alphabet, in it a folder for each character, in it 20 PNG files."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("pillow", "vision", "reading Omniglot's images") from error
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png") and "__MACOSX" not in name]
        # A file's own name begins with the official number of the character, which orders the packed copy too.
        names.sort(key=lambda name: name.rsplit("/", 1)[-1])
        characters: dict[tuple[str, str], list[np.ndarray]] = {}
        for name in names:
            alphabet, character = name.split("/")[-3:-1]
            with Image.open(io.BytesIO(archive.read(name))) as image:
                characters.setdefault((alphabet, character), []).append(~np.asarray(image.convert("1")))
    alphabets = list(dict.fromkeys(alphabet for alphabet, _ in characters))
    owners = torch.tensor([alphabets.index(alphabet) for alphabet, _ in characters])
    return np.stack([np.stack(drawings) for drawings in characters.values()]), owners
