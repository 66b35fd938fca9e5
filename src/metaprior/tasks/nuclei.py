"""Nuclei in microscope images: segmentation tasks, one for each way of making such images.

Axis letters: T tasks, G images, P patches, N patches of a task, H and W pixels of an image, S pixels of a patch's side.
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metaprior import data
from metaprior.errors import DataError, UnknownNameError, check_positive, missing
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.source import Split, TaskSource
from metaprior.tree import fingerprint

__all__ = ["MODALITIES", "Nuclei", "modality"]

MODALITIES = (
    "fluorescence-bright",
    "fluorescence-sparse",
    "fluorescence-dense",
    "fluorescence-large",
    "purple-on-white",
    "purple-on-purple",
)
"""The ways of making images that `modality` tells apart."""

_ARCHIVE = "dsb2018_stage1_subset.zip"
# The least share of a patch that nuclei take: a patch without any teaches nothing.
_LEAST = 0.01


@sources.register("nuclei")
class Nuclei(TaskSource):
    """Tasks of finding nuclei; a task is a modality, and its examples are patches of images of it.

    The support and the queries of a task have no image in common. The data have no names of modalities; `modality`
    tells them by colours and sizes. There are few, so that in the training split each task is given colours of its own:
    channels change places, and may be inverted, so that what is bright does not tell what is a nucleus.

    Args:
        shots: support patches.
        queries: query patches.
        size: S.
        field: pixels of the original image that a side of a patch covers.
        valid: the modalities of the validation split.
        test: the modalities of the test split; the training split has all others.
        recolour: give training tasks colours of their own.

    Source: Caicedo et al. 2019, "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature
    Methods 16, with outlines mended by K. Lopuhin; 418 of 664 images. Patches are of ours, as is the split.

    Example:
        >>> Nuclei(shots=5).spec.x_shape
        (3, 64, 64)
    """

    def __init__(
        self,
        shots: int = 5,
        queries: int = 5,
        size: int = 64,
        field: int = 128,
        valid: Sequence[str] = ("fluorescence-dense",),
        test: Sequence[str] = ("purple-on-white", "purple-on-purple"),
        recolour: bool = True,
    ):
        check_positive(DataError, shots=shots, queries=queries, size=size)
        if not 16 <= field <= 256:
            raise DataError(f"field: expected 16 to 256 pixels, as the images have, got {field}")
        for name in (*valid, *test):
            if name not in MODALITIES:
                raise UnknownNameError("modality", name, MODALITIES)
        if set(valid) & set(test) or len({*valid, *test}) == len(MODALITIES):
            raise DataError(
                "valid, test: expected modalities that are not in both, and others left to train on; "
                f"got {tuple(valid)} and {tuple(test)}"
            )
        self.shots = shots
        self.queries = queries
        self.size = size
        self.field = field
        self.valid = tuple(valid)
        self.test = tuple(test)
        self.recolour = recolour

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Colour images, background and nuclei."""
        return TaskSpec("segmentation", (3, self.size, self.size), 2)

    @property
    def data_hash(self) -> str:
        """16 hexadecimal digits that change when the patches do."""
        return fingerprint(self._patches)

    def modalities(self, split: Split) -> tuple[str, ...]:
        """Return the modalities of a split."""
        if split not in get_args(Split):
            raise DataError(f"split: expected one of {', '.join(get_args(Split))}; got '{split}'")
        rest = tuple(name for name in MODALITIES if name not in (*self.valid, *self.test))
        return {"train": rest, "valid": self.valid, "test": self.test}[split]

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T tasks: a modality, half of its images for the support, then patches of both halves."""
        names = self.modalities(split)
        if not names:
            raise DataError(f"{split}: expected a modality or more, got none")
        chosen = torch.randint(len(names), (tasks,), generator=generator)
        drawn = torch.stack([self._draw(names[index], generator) for index in chosen.tolist()])
        x = self._patches["images"][drawn].float().div_(255)
        y = self._patches["masks"][drawn].long()
        if self.recolour and split == "train":
            order = torch.rand(tasks, 3, generator=generator).argsort(1)
            inverted = torch.rand(tasks, 1, 3, 1, 1, generator=generator) < 0.5
            x = x.gather(2, order[:, None, :, None, None].expand_as(x))
            x = torch.where(inverted, 1 - x, x)
        support, query = slice(self.shots), slice(self.shots, None)
        return Episode(Examples(x[:, support], y[:, support]), Examples(x[:, query], y[:, query]))

    def _draw(self, name: str, random: torch.Generator) -> Tensor:
        """Return which patches a task of a modality has, `(N,)`."""
        patches, owners = self._of[name]
        images = owners.unique()
        shuffled = images[torch.randperm(len(images), generator=random)]
        halves = torch.isin(owners, shuffled[: len(images) // 2]), torch.isin(owners, shuffled[len(images) // 2 :])
        parts = []
        for half, wanted, what in zip(halves, (self.shots, self.queries), ("shots", "queries"), strict=True):
            of_half = patches[half]
            if len(of_half) < wanted:
                raise DataError(
                    f"{what}: half the images of '{name}' have {len(of_half)} patches, too few for {wanted}"
                )
            parts.append(of_half[torch.randperm(len(of_half), generator=random)[:wanted]])
        return torch.cat(parts)

    @cached_property
    def _patches(self) -> dict[str, Tensor]:
        size, field = self.size, self.field
        return data.cached(f"nuclei-{size}-{field}-v1", lambda: _read(size, field))

    @cached_property
    def _of(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The patches of each modality, and the image of each."""
        members = [(self._patches["modalities"] == index).nonzero().flatten() for index in range(len(MODALITIES))]
        return {name: (own, self._patches["owners"][own]) for name, own in zip(MODALITIES, members, strict=True)}


def modality(image: np.ndarray, labels: np.ndarray) -> str:
    """Tell how an image was made, by a rule that was found by looking at histograms of all of them.

    Images whose channels differ, by 1 of 255 in the mean, are of stained tissue: on white where a tenth of the pixels
    has a green of 185 or more, else on purple. Among the grey ones, those of 360 x 360 pixels hold the largest nuclei;
    a median, that is a black level, of 9 or more tells one microscope from another; and in images of the latter, nuclei
    of at least 210 pixels, by their median, stand densely. No image is near any of these bounds but the last.

    Args:
        image: `(H, W, 3)`, uint8.
        labels: `(H, W)`, the number of the nucleus that each pixel is of; 0 for none.

    Example:
        >>> modality(np.zeros((360, 360, 3), np.uint8), np.zeros((360, 360), np.uint16))
        'fluorescence-large'
    """
    values = image.astype(np.float32)
    if (values.max(-1) - values.min(-1)).mean() >= 1:
        return "purple-on-white" if np.percentile(values[..., 1], 90) >= 185 else "purple-on-purple"
    if image.shape[:2] == (360, 360):
        return "fluorescence-large"
    if np.median(values.mean(-1)) >= 9:
        return "fluorescence-bright"
    sizes = np.bincount(labels.ravel())[1:]
    return "fluorescence-dense" if sizes.any() and np.median(sizes[sizes > 0]) >= 210 else "fluorescence-sparse"


def _read(size: int, field: int) -> dict[str, Tensor]:
    """Return `images` (P, 3, S, S), `masks` (P, S, S), and of each patch its `modalities` and `owners`, (P,)."""
    path = data.need("dsb2018_nuclei", _ARCHIVE)
    try:
        pairs = _pairs(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, OSError) as error:
        raise DataError(f"dsb2018_nuclei: {path} cannot be read ({error}): get it again") from error
    columns: dict[str, list[Any]] = {"images": [], "masks": [], "modalities": [], "owners": []}
    for owner, (image, labels) in enumerate(pairs):
        kind = MODALITIES.index(modality(image, labels))
        planes = torch.from_numpy(np.concatenate([_stretched(image), (labels > 0)[..., None]], axis=-1))
        for patch in _tiles(planes.permute(2, 0, 1), size, field):
            mask = patch[3] >= 0.5
            if mask.float().mean() >= _LEAST:
                columns["images"].append(patch[:3].mul(255).round().clamp(0, 255).to(torch.uint8))
                columns["masks"].append(mask)
                columns["modalities"].append(torch.tensor(kind))
                columns["owners"].append(torch.tensor(owner))
    return {name: torch.stack(values) for name, values in columns.items()}


def _pairs(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images `(H, W, 3)` and labels `(H, W)` in the order of their names."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("pillow", "vision", "reading images of nuclei") from error
    pairs = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(each for each in archive.namelist() if each.startswith("images/") and each.endswith(".png")):
            with Image.open(io.BytesIO(archive.read(name))) as image:
                pixels = np.asarray(image.convert("RGB"))
            with Image.open(io.BytesIO(archive.read(name.replace("images/", "labels/", 1)))) as image:
                labels = np.asarray(image).astype(np.int64)
            if labels.shape != pixels.shape[:2]:
                raise ValueError(f"{name} is of {pixels.shape[:2]} pixels, its labels of {labels.shape}")
            pairs.append((pixels, labels))
    return pairs


def _stretched(image: np.ndarray) -> np.ndarray:
    """Scale an image so that all but its darkest and brightest pixels take the values from 0 to 1."""
    low, high = np.percentile(image, (1, 99.8))
    return ((image - low) / max(high - low, 1)).clip(0, 1).astype(np.float32)


def _tiles(planes: Tensor, size: int, field: int) -> Tensor:
    """Cut `(4, H, W)` into squares side by side, centred, and bring them to one size: `(P, 4, S, S)`."""
    rows, columns = (side // field for side in planes.shape[1:])
    top, left = ((side - count * field) // 2 for side, count in zip(planes.shape[1:], (rows, columns), strict=True))
    cut = planes[:, top : top + rows * field, left : left + columns * field]
    tiles = cut.unflatten(2, (columns, field)).unflatten(1, (rows, field)).permute(1, 3, 0, 2, 4).flatten(0, 1)
    return functional.interpolate(tiles, size=(size, size), mode="bilinear", antialias=True)
