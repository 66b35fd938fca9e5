"""Where the data sets lie on this machine, and how to get them; `metaprior.datasets` says which there are.

A file is looked for in `$METAPRIOR_DATA/<set>/`, then in the cache; nothing is downloaded unless `get` is called.
What is computed from data (resized or rendered images) is kept in the cache.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from metaprior.datasets import DATASETS, DataFile, DataSet
from metaprior.errors import DataError, UnknownNameError, missing
from metaprior.files import write_tensors

__all__ = [
    "DATASETS",
    "DataFile",
    "DataSet",
    "Listing",
    "cache_folder",
    "cached",
    "find",
    "folders",
    "get",
    "listing",
    "need",
    "paths",
]


@dataclass(frozen=True)
class Listing:
    """A data set as it stands on this machine.

    Args:
        name: of the data set.
        description: what it holds.
        licence: as its authors state it.
        complete: whether all of it is here, or needs no download.
        paths: the files that are here.
        files: what is downloaded: URL and SHA-256, by name.
    """

    name: str
    description: str
    licence: str
    complete: bool
    paths: tuple[Path, ...]
    files: Mapping[str, DataFile] = field(default_factory=dict)

    def __str__(self) -> str:
        state = "here" if self.complete else "a part is here" if self.paths else "not here"
        packed = any(file.packed for file in self.files.values())
        way = "put it under $METAPRIOR_DATA" if packed else f"get it by 'metaprior data get {self.name}'"
        hint = "" if self.complete else f", {way}"
        sources = (f"{'packed ' * file.packed}from {file.url}, sha256 {file.sha256}" for file in self.files.values())
        here = (f"here: {path}" for path in self.paths)
        lines = (f"{self.name}: {state}{hint}", self.description, f"licence: {self.licence}", *sources, *here)
        return "\n    ".join(lines)


def cache_folder() -> Path:
    """Return the folder for downloads and computed data: `$METAPRIOR_CACHE`, else the platform's own."""
    if named := os.environ.get("METAPRIOR_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "metaprior"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "metaprior"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "metaprior"


def find(dataset: str, *names: str) -> Path | None:
    """Return the first of some files of a data set that lies on this machine, or None.

    Example:
        >>> find("omniglot", "no-such-file.zip") is None
        True
    """
    return next((folder / name for name in names for folder in folders(dataset) if (folder / name).is_file()), None)


def folders(dataset: str) -> list[Path]:
    """Return where the files of a data set may lie: under `$METAPRIOR_DATA`, then in the cache.

    Example:
        >>> folders("omniglot")[-1].name
        'omniglot'
    """
    named = os.environ.get("METAPRIOR_DATA")
    return [*([Path(named) / dataset] if named else []), cache_folder() / dataset]


def need(dataset: str, *names: str) -> Path:
    """Return what `find` does.

    Raises:
        DataError: if none of the files is there; it names the command that gets them.
    """
    path = find(dataset, *names)
    if path is None:
        raise DataError(
            f"{dataset}: {names[0]} is neither under $METAPRIOR_DATA nor in {cache_folder()}: "
            f"run 'metaprior data get {dataset}'"
        )
    return path


def listing() -> tuple[Listing, ...]:
    """Return every data set, its licence, whether it is on this machine and where.

    Example:
        >>> [entry.name for entry in listing() if entry.complete and not entry.paths]
        ['glyphs', 'nci']
    """
    entries = []
    for name, dataset in DATASETS.items():
        whole = [find(name, file_name, *file.whole) for file_name, file in dataset.files.items()]
        paths = [
            path if path is not None else find(name, *file.part)
            for path, file in zip(whole, dataset.files.values(), strict=True)
        ]
        found = tuple(path for path in paths if path is not None)
        entries.append(Listing(name, dataset.description, dataset.licence, None not in whole, found, dataset.files))
    return tuple(entries)


def paths(dataset: str) -> tuple[Path, ...]:
    """Return the files of a data set that are on this machine.

    Raises:
        UnknownNameError: if the data set is not known.
        DataError: if none is there; it names the command that gets them.
    """
    if dataset not in DATASETS:
        raise UnknownNameError("data set", dataset, DATASETS)
    files = DATASETS[dataset].files
    if not files:
        raise DataError(f"{dataset}: has no files; it is computed from installed packages when it is first used")
    found = next(entry.paths for entry in listing() if entry.name == dataset)
    if not found:
        need(dataset, *files)
    return found


def get(dataset: str) -> list[Path]:
    """Download the files of a data set that are not on this machine yet, and check their SHA-256.

    Args:
        dataset: its name; one that is computed rather than downloaded has no files.

    Returns:
        Where the files are.

    Raises:
        UnknownNameError: if the data set is not known.
        DataError: if a download fails or its content is not what is expected, or a file cannot be downloaded.
    """
    if dataset not in DATASETS:
        raise UnknownNameError("data set", dataset, DATASETS)
    if (by_hand := DATASETS[dataset].by_hand) and not all(find(dataset, name) for name in DATASETS[dataset].files):
        raise DataError(
            f"{dataset}: cannot be downloaded as single files: make {cache_folder() / dataset}, and {by_hand}"
        )
    try:
        import pooch
    except ImportError as error:
        raise missing("pooch", "vision", "downloading data") from error
    places = []
    for name, file in DATASETS[dataset].files.items():
        path = find(dataset, name, *file.whole)
        if path is None and file.packed:
            raise DataError(
                f"{dataset}: {name} was packed from {file.url} and cannot be downloaded: put it into "
                f"$METAPRIOR_DATA/{dataset}"
            )
        if path is None:
            try:
                folder = cache_folder() / dataset
                path = Path(pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=name, path=folder))
            except (OSError, ValueError) as error:
                raise DataError(f"{dataset}: downloading {file.url} failed: {error}") from error
        places.append(path)
    return places


def cached(name: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors from the cache, computing and keeping them if they are not there or damaged.

    Args:
        name: of the entry; it must change whenever what `compute` returns does.
        compute: makes the tensors.
    """
    path = cache_folder() / f"{name}.safetensors"
    if path.is_file():
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            path.unlink(missing_ok=True)
    values = compute()
    try:
        write_tensors(path, values)
    except OSError as error:
        print(f"metaprior: {path} could not be written ({error}); going on without the cache", file=sys.stderr)
    return values
