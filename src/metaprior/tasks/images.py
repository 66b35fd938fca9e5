"""A user's own images: a folder for each class."""

import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import torch

from metaprior.errors import DataError
from metaprior.registry import sources
from metaprior.tasks.episode import TaskSpec
from metaprior.tasks.image_files import class_files, decode
from metaprior.tasks.source import ClassPool, ClassSource, Split
from metaprior.tasks.splits import split_names

__all__ = ["Images"]


@sources.register("images")
class Images(ClassSource):
    """Tasks of telling classes of one's own images apart, from a folder that has a folder for each class.

    The classes are divided into the three splits by their names, so that the test tasks are of classes never seen.
    Images are turned as their EXIF data say, laid on white where they are transparent, brought to one size with their
    aspect kept, and held in memory; a split is read when it is first drawn from.

    Args:
        folder: with a folder for each class, in which the images lie at any depth.
        ways: classes of a task, or the least and most of them.
        shots: support images of a class, or the least and most of them.
        queries: query images of a class; a class with too few images has fewer.
        size: height and width in pixels.
        grey: drop colour.
        dark_on_light: the images are drawings; those of dark ink on light paper are inverted, so that ink is 1.
        fit: cut an oblong image to its centre square, or pad it to a square.
        splits: the fractions of the classes that are for training, validation and test.
        most: use at most so many images of a class; None for all. Every class takes the memory of the largest.
        seed: of the splits.
        skip_bad: leave out images that cannot be read, with a warning, instead of stopping at the first.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in "abcdef":
        ...     (folder / name).mkdir()
        ...     for index in range(3):
        ...         Image.new("RGB", (40, 30), (9 * index, 0, 0)).save(folder / name / f"{index}.png")
        >>> source = Images(folder, ways=2, splits=(0.4, 0.3, 0.3))
        >>> source.sample(4, torch.Generator().manual_seed(0)).support.x.shape
        torch.Size([4, 2, 3, 28, 28])
    """

    def __init__(
        self,
        folder: str | Path,
        ways: int | tuple[int, int] = 5,
        shots: int | tuple[int, int] = 1,
        queries: int = 5,
        size: int = 28,
        grey: bool = False,
        dark_on_light: bool = False,
        fit: Literal["crop", "pad"] = "crop",
        splits: tuple[float, float, float] = (0.6, 0.2, 0.2),
        most: int | None = None,
        seed: int = 0,
        skip_bad: bool = False,
    ):
        self.folder = str(folder)
        self.ways = ways
        self.shots = shots
        self.queries = queries
        self.size = size
        self.grey = grey
        self.dark_on_light = dark_on_light
        self.fit = fit
        self.splits = splits
        self.most = most
        self.seed = seed
        self.skip_bad = skip_bad

    @property
    def inputs(self) -> dict[str, Any] | None:
        """How an image file becomes an input; `read_images` does it."""
        return {
            "kind": "images",
            "channels": 1 if self.grey else 3,
            "height": self.size,
            "width": self.size,
            "dark_on_light": self.dark_on_light,
            "fit": self.fit,
        }

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Known from the names of the folders, without a look into the files."""
        ways = self.ways if isinstance(self.ways, int) else self.ways[1]
        shape = (1 if self.grey else 3, self.size, self.size)
        return TaskSpec("classification", shape, ways, len(self.classes["train"]))

    @cached_property
    def classes(self) -> dict[Split, list[str]]:
        """The names of the classes of each split.

        Raises:
            DataError: if the folder has no class folders, or a split has too few for a task.
        """
        chosen = split_names(self._files, self.splits, self.seed)
        ways = self.ways if isinstance(self.ways, int) else self.ways[1]
        for split, fraction in zip(chosen, self.splits, strict=True):
            if fraction and len(chosen[split]) < ways:
                raise DataError(
                    f"ways: the {split} split gets {len(chosen[split])} of the {len(self._files)} classes in "
                    f"{self.folder}, too few for tasks of {ways}: add classes, lower ways, or change splits "
                    f"(now {tuple(self.splits)}; a fraction of 0 goes without that split)"
                )
        return chosen

    def pool(self, split: Split) -> ClassPool:
        """Return the images of the classes of a split."""
        if split not in self._read:
            files = {name: self._files[name][: self.most] for name in self.classes[split]}
            self._read[split] = _read_pool(files, self.inputs or {}, self.skip_bad)
        return self._read[split]

    def with_shots(self, shots: int) -> Self:
        """Return the same source with another number of support images, without reading the files again."""
        other = super().with_shots(shots)
        other._files, other._read = self._files, self._read
        return other

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        return class_files(self.folder, "folder")

    @cached_property
    def _read(self) -> dict[str, ClassPool]:
        return {}


def _read_pool(files: dict[str, list[Path]], inputs: dict[str, Any], skip_bad: bool) -> ClassPool:
    """Read the files of each class into one tensor, the readable ones first in their class."""
    shape = (inputs["channels"], inputs["height"], inputs["width"])
    images = torch.zeros(len(files), max(map(len, files.values()), default=0), *shape, dtype=torch.uint8)
    counts = torch.zeros(len(files), dtype=torch.long)
    owners = [owner for owner, paths in enumerate(files.values()) for _ in paths]
    skipped = []
    decoded = decode([path for paths in files.values() for path in paths], inputs, skip_bad)
    for owner, image in zip(owners, decoded, strict=True):
        if isinstance(image, DataError):
            skipped.append(str(image))
        else:
            images[owner, counts[owner]] = image
            counts[owner] += 1
    if skipped:
        warnings.warn(f"skipped {len(skipped)} images that cannot be read: {'; '.join(skipped)}", stacklevel=2)
    return ClassPool(images, counts, names=tuple(files))
