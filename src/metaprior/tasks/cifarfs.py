"""CIFAR-FS: the 100 classes of CIFAR-100 as few-shot tasks."""

import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metaprior import data
from metaprior.errors import DataError, UnknownNameError, missing
from metaprior.registry import sources
from metaprior.tasks.source import ClassPool, ClassSource, Split

__all__ = ["CIFARFS"]

_ARCHIVE, _TEST_HALF = "cifar-100-binary.tar.gz", "cifar100_test_png.zip"
_RECORD = 2 + 3 * 32 * 32

# The split of Bertinetto et al. 2019, classes by superclass.
_CLASSES: dict[str, dict[str, str]] = {
    "train": {
        "aquatic_mammals": "dolphin seal",
        "fish": "aquarium_fish ray trout",
        "flowers": "orchid sunflower tulip",
        "food_containers": "bottle bowl can cup plate",
        "fruit_and_vegetables": "apple mushroom orange pear",
        "household_electrical_devices": "clock keyboard",
        "household_furniture": "chair couch",
        "insects": "bee caterpillar cockroach",
        "large_carnivores": "bear lion tiger wolf",
        "large_man-made_outdoor_things": "bridge castle house road skyscraper",
        "large_natural_outdoor_scenes": "cloud forest mountain",
        "large_omnivores_and_herbivores": "elephant kangaroo",
        "medium_mammals": "porcupine possum raccoon skunk",
        "non-insect_invertebrates": "lobster spider",
        "people": "boy girl",
        "reptiles": "dinosaur lizard snake turtle",
        "small_mammals": "hamster mouse rabbit shrew squirrel",
        "trees": "oak_tree palm_tree pine_tree willow_tree",
        "vehicles_1": "bus train",
        "vehicles_2": "lawn_mower streetcar tank",
    },
    "valid": {
        "aquatic_mammals": "beaver otter",
        "fish": "flatfish shark",
        "household_electrical_devices": "lamp television",
        "insects": "beetle butterfly",
        "large_natural_outdoor_scenes": "sea",
        "large_omnivores_and_herbivores": "camel cattle",
        "non-insect_invertebrates": "crab",
        "reptiles": "crocodile",
        "trees": "maple_tree",
        "vehicles_1": "motorcycle",
        "vehicles_2": "tractor",
    },
    "test": {
        "aquatic_mammals": "whale",
        "flowers": "poppy rose",
        "fruit_and_vegetables": "sweet_pepper",
        "household_electrical_devices": "telephone",
        "household_furniture": "bed table wardrobe",
        "large_carnivores": "leopard",
        "large_natural_outdoor_scenes": "plain",
        "large_omnivores_and_herbivores": "chimpanzee",
        "medium_mammals": "fox",
        "non-insect_invertebrates": "snail worm",
        "people": "baby man woman",
        "vehicles_1": "bicycle pickup_truck",
        "vehicles_2": "rocket",
    },
}
_NAMES = sorted(name for split in _CLASSES.values() for names in split.values() for name in names.split())
_SUPERCLASSES = sorted(_CLASSES["train"])


@sources.register("cifarfs")
class CIFARFS(ClassSource):
    """Tasks of telling photographs of things apart, 32x32 in colour: 64 training, 16 validation and 20 test classes.

    Published results use all 600 images of a class, from the official archive. Where only a copy of CIFAR-100's test
    half (`cifar100_test_png.zip`) lies on this machine there are 100 images of a class: tasks are of the same kind,
    but there is less to train on, so that scores are not comparable with published ones. `images_per_class` tells.

    Args:
        ways: classes of a task, or the least and most of them.
        shots: support images of a class, or the least and most of them.
        queries: query images of a class.
        part: "all" images, or those of the "test" half alone; "auto" takes all if the official archive is here.
        within: choose the classes of a task from one superclass, which has at most 5 of them in the training split
            and 3 in the test split.

    Source: Bertinetto et al. 2019 (arXiv 1805.08136); images by Krizhevsky 2009.

    Example:
        >>> source = CIFARFS(ways=5, shots=5, part="test")
        >>> source.images_per_class
        100
    """

    def __init__(
        self,
        ways: int | tuple[int, int] = 5,
        shots: int | tuple[int, int] = 1,
        queries: int = 15,
        part: Literal["auto", "all", "test"] = "auto",
        within: bool = False,
    ):
        self.ways = ways
        self.shots = shots
        self.queries = queries
        self.part = part
        self.within = within

    @property
    def images_per_class(self) -> int:
        """600, or 100 where only the test half is used."""
        if self.part not in ("auto", "all", "test"):
            raise UnknownNameError("part", self.part, ("auto", "all", "test"))
        whole = self.part == "all" or (self.part == "auto" and data.find("cifar100", _ARCHIVE) is not None)
        return 600 if whole else 100

    @property
    def inputs(self) -> dict[str, Any] | None:
        """Images are resized to 32x32."""
        return {"kind": "images", "channels": 3, "height": 32, "width": 32, "dark_on_light": False}

    def pool(self, split: Split) -> ClassPool:
        """Return the classes of a split, their groups the superclasses."""
        each = self.images_per_class
        images = data.cached(f"cifar100-{each}-v1", lambda: {"images": _read(each)})["images"]
        named = [(name, owner) for owner, names in _CLASSES[split].items() for name in names.split()]
        chosen = torch.tensor([_NAMES.index(name) for name, _ in named])
        owners = torch.tensor([_SUPERCLASSES.index(owner) for _, owner in named])
        return ClassPool.full(images[chosen], owners, tuple(name for name, _ in named))


def _read(each: int) -> Tensor:
    """Return the images `(100, each, 3, 32, 32)` of the classes in the order of their names."""
    halves = ("train", "test") if each == 600 else ("test",)
    path = data.need("cifar100", _ARCHIVE, *(() if each == 600 else (_TEST_HALF,)))
    try:
        classes = _read_archive(path, halves) if path.name == _ARCHIVE else _read_test_half(path)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, LookupError, ValueError, OSError) as error:
        raise DataError(f"cifar100: {path} cannot be read ({error}): delete it and get it again") from error
    counts = {name: len(images) for name, images in classes.items()}
    if counts != dict.fromkeys(_NAMES, each):
        raise DataError(
            f"cifar100: {path} holds {len(counts)} classes of {min(counts.values(), default=0)} images or more, "
            f"expected {len(_NAMES)} of {each}"
        )
    # By content, so that the tasks drawn do not depend on which of the two files was read.
    ordered = [sorted(classes[name], key=np.ndarray.tobytes) for name in _NAMES]
    return torch.from_numpy(np.stack([np.stack(images) for images in ordered]))


def _read_archive(path: Path, halves: tuple[str, ...]) -> dict[str, list[np.ndarray]]:
    """Read the official binary version: records of superclass, class, and planes of red, green and blue."""
    with tarfile.open(path, "r:gz") as archive:
        content = {Path(member.name).name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    names = content["fine_label_names.txt"].decode().split()
    classes: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for half in halves:
        records = np.frombuffer(content[f"{half}.bin"], dtype=np.uint8).reshape(-1, _RECORD)
        for label, image in zip(records[:, 1], records[:, 2:].reshape(-1, 3, 32, 32), strict=True):
            classes[names[label]].append(image)
    return classes


def _read_test_half(path: Path) -> dict[str, list[np.ndarray]]:
    """Read the zip of a folder for each class, in it PNG files."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("pillow", "vision", "reading CIFAR-100's images") from error
    classes: dict[str, list[np.ndarray]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".png"):
                with Image.open(io.BytesIO(archive.read(name))) as image:
                    pixels = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
                classes.setdefault(name.split("/")[-2], []).append(pixels)
    return classes
