"""A user's own images: a folder for each class.

Axis letters: G classes of the data set, M images of a class, N images.
"""

import contextlib
import os
import warnings
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, missing
from metaprior.registry import sources
from metaprior.tasks.episode import TaskSpec
from metaprior.tasks.source import ClassPool, ClassSource, Split
from metaprior.tasks.splits import split_names

__all__ = ["SUFFIXES", "Images", "class_files", "decode", "image_files", "read_images"]

SUFFIXES = frozenset(
    ".bmp .gif .jfif .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
"""The endings of file names that are taken for images; other files are left alone."""


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


def read_images(paths: Iterable[str | Path], inputs: dict[str, Any]) -> Tensor:
    """Read image files as a source of images did for acquisition.

    Args:
        paths: N files.
        inputs: what the source's `inputs` says, from a checkpoint's card for example.

    Returns:
        `(N, channels, height, width)`, from 0 to 1.

    Raises:
        DataError: if a file cannot be read as an image; it names the file.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> file = Path(tempfile.mkdtemp()) / "white.png"
        >>> Image.new("L", (40, 30), 255).save(file)
        >>> inputs = {"kind": "images", "channels": 1, "height": 16, "width": 16, "dark_on_light": False}
        >>> read_images([file], inputs).mean()
        tensor(1.)
    """
    pixels = []
    with contextlib.closing(decode(paths, inputs, skip_bad=True)) as images:
        for image in images:
            if isinstance(image, DataError):
                raise image
            pixels.append(image)
    empty = torch.empty(0, inputs["channels"], inputs["height"], inputs["width"])
    return torch.stack(pixels).to(torch.float32).div_(255) if pixels else empty


def image_files(folder: str | Path) -> list[Path]:
    """Return the images in a folder, at any depth, in the order of their paths; hidden ones are left out.

    Example:
        >>> image_files("no-such-folder")
        []
    """
    folder = Path(folder)
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(_hidden(part) for part in path.relative_to(folder).parts))


def class_files(folder: str | Path, argument: str) -> dict[str, list[Path]]:
    """Return the image files of each class of a folder that has a folder for each class.

    Args:
        folder: the outer folder.
        argument: the name of the argument, for error messages.

    Raises:
        DataError: if it does not exist, is a file, is empty, or has no folders in it.
    """
    folder = Path(folder)
    wanted = "expected a folder that has a folder for each class, with images in it"
    if not folder.exists():
        raise DataError(f"{argument}: {folder} does not exist; {wanted}")
    if not folder.is_dir():
        raise DataError(f"{argument}: {folder} is a file; {wanted}")
    inside = sorted(path for path in folder.iterdir() if not _hidden(path.name))
    if not inside:
        raise DataError(f"{argument}: {folder} is empty; {wanted}")
    classes = {path.name: image_files(path) for path in inside if path.is_dir()}
    if not classes:
        raise DataError(f"{argument}: {folder} has {len(inside)} files but no folders; {wanted}")
    if not any(classes.values()):
        raise DataError(f"{argument}: the {len(classes)} folders in {folder} hold no images; {wanted}")
    return classes


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


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


def decode(paths: Iterable[str | Path], inputs: dict[str, Any], skip_bad: bool) -> Generator[Tensor | DataError]:
    """Yield each image, `(channels, height, width)` in uint8; for a bad one what is wrong with it, or raise that.

    Raises:
        DataError: if an image cannot be read, unless `skip_bad`.
    """
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise missing("pillow", "vision", "reading images") from error
    # Threads suffice: Pillow decodes and resizes outside the interpreter's lock.
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for image in pool.map(lambda path: _decode(Path(path), inputs), paths):
            if isinstance(image, DataError) and not skip_bad:
                raise DataError(f"{image}; skip_bad leaves such files out")
            yield image
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(path: Path, inputs: dict[str, Any]) -> Tensor | DataError:
    from PIL import Image, ImageOps, ImageStat

    size = (inputs["width"], inputs["height"])
    mode = "L" if inputs["channels"] == 1 else "RGB"
    # Sources that say nothing of it hold square images; of drawings a crop would lose ink.
    fit = inputs.get("fit", "pad" if inputs["dark_on_light"] else "crop")
    try:
        with Image.open(path) as opened:
            # A JPEG much larger than needed is decoded at a fraction of its size.
            opened.draft(None, (2 * max(size), 2 * max(size)))
            image = _opaque(ImageOps.exif_transpose(opened)).convert(mode)
        if inputs["dark_on_light"] and ImageStat.Stat(image.convert("L")).median[0] > 127:
            image = ImageOps.invert(image)
        image = ImageOps.pad(image, size) if fit == "pad" else ImageOps.fit(image, size)
    except Exception as error:  # on damaged bytes Pillow's decoders raise anything from struct.error to SyntaxError
        return DataError(f"{path} cannot be read as an image ({error or type(error).__name__})")
    return torch.from_numpy(np.array(image)).reshape(size[1], size[0], -1).permute(2, 0, 1)


def _opaque(image: Any) -> Any:
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; expected integers of 8 or 16 bits")
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        return Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
