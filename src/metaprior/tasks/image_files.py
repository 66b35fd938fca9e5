"""Image files: finding those of each class, and reading them as a source of images did.

Axis letters: N images.
"""

import contextlib
import os
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, missing

__all__ = ["SUFFIXES", "class_files", "decode", "image_files", "read_images"]

SUFFIXES = frozenset(
    ".bmp .gif .jfif .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
"""The endings of file names that are taken for images; other files are left alone."""


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


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
