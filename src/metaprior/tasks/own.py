"""One task as a user's own files state it: a support set with labels, and queries without.

Axis letters: N support, Q query, D target features.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.tasks.columns import numbers_in, texts, without_words
from metaprior.tasks.encoding import encode_table
from metaprior.tasks.episode import Examples
from metaprior.tasks.image_files import SUFFIXES, class_files, decode, image_files
from metaprior.tasks.rows import good_rows, need_columns, problems, read_table

__all__ = ["Inputs", "OwnTask", "read_task"]


class Inputs(Protocol):
    """Inputs that are only made when they are asked for, some at a time, where all of them would fill the memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(1, Q, *x)`."""

    def split(self, size: int, dim: int = 1) -> Iterable[Tensor]:
        """Return the inputs of so many queries at a time, `(1, size, *x)`."""

    def to(self, device: torch.device) -> "Inputs":
        """Return the same on another device."""


@dataclass(frozen=True, eq=False)
class OwnTask:
    """One task as a user's files state it.

    Args:
        support: `(1, N, ...)`.
        query: `(1, Q, *x)`, or what makes parts of them on demand.
        classes: their names, in the order of their ids; None for regression.
        columns: the names of what is known of each query.
        known: its values, Q rows.
        mean, scale: of the regression targets, by which they were standardised; a scale of 0 if all were the mean.
        name: of the property that is predicted; empty if there is but one.
        beside: the names of what is known of each query in the light of the support.
        facts: its values, Q rows.
        about: `(1, A)`, what describes the task; None where nothing does.
        logarithm: whether the targets are log10 of what the user gave, and wants.
        understood: how the columns of the files were read, for a user to check; empty if there is nothing to say.
    """

    support: Examples
    query: Tensor | Inputs
    classes: list[str] | None
    columns: list[str]
    known: list[tuple[Any, ...]]
    mean: float = 0.0
    scale: float = 1.0
    name: str = ""
    beside: tuple[str, ...] = ()
    facts: Sequence[tuple[Any, ...]] = ()
    about: Tensor | None = None
    logarithm: bool = False
    understood: str = ""


def read_task(support: str | Path, query: str | Path, inputs: Mapping[str, Any], skip_bad: bool = False) -> OwnTask:
    """Read one task as a source's tasks were read for acquisition.

    Args:
        support: a folder with a folder of images for each class, or a CSV.
        query: a folder of images, at any depth, or an image, or a CSV.
        inputs: what the source's `inputs` says.
        skip_bad: leave out bad images or rows, with a warning, instead of stopping at the first.

    Raises:
        DataError: if they cannot be read, or do not fit `inputs`.

    Example:
        >>> read_task("support", "query", {"kind": "images"})
        Traceback (most recent call last):
        metaprior.errors.DataError: query: query does not exist; expected a folder of images
    """
    read = {"images": _read_images, "table": _read_table}
    if inputs.get("kind") not in read:
        raise DataError(f"inputs: expected the kind 'images' or 'table', got {inputs.get('kind')!r}")
    return read[inputs["kind"]](Path(support), Path(query), inputs, skip_bad)


def _read_images(support: Path, query: Path, inputs: Mapping[str, Any], skip_bad: bool) -> OwnTask:
    if support.is_file():
        raise DataError(
            f"support: the prior is for images; expected a folder with a folder for each class, got {support}"
        )
    if not query.exists():
        raise DataError(f"query: {query} does not exist; expected a folder of images")
    if query.is_file() and query.suffix.lower() not in SUFFIXES:
        raise DataError(f"query: the prior is for images; expected a folder of images, got {query}")
    classes = class_files(support, "support")
    owners = [name for name, files in classes.items() for _ in files]
    x, good = _decoded("support", [file for files in classes.values() for file in files], inputs, skip_bad)
    names = [owners[position] for position in good]
    for name in classes:
        if name not in names:
            raise DataError(f"support: class '{name}' has no images in {support / name}")
    files = [query] if query.is_file() else image_files(query)
    if not files:
        raise DataError(f"query: {query} holds no images")
    asked, kept = _decoded("query", files, inputs, skip_bad)
    folder = query.parent if query.is_file() else query
    known = [(files[position].relative_to(folder).as_posix(),) for position in kept]
    y, ordered = _class_ids(names, None)
    return OwnTask(Examples(x, y), asked, ordered, ["file"], known)


def _decoded(argument: str, files: list[Path], inputs: Mapping[str, Any], skip_bad: bool) -> tuple[Tensor, list[int]]:
    """Return the readable images `(1, N, channels, height, width)` and their positions among the files."""
    try:
        decoded = list(decode(files, dict(inputs), skip_bad))
    except DataError as error:
        raise DataError(f"{argument}: {error}") from error
    good = [position for position, image in enumerate(decoded) if isinstance(image, Tensor)]
    bad = [str(image) for image in decoded if isinstance(image, DataError)]
    if bad:
        warnings.warn(f"{argument}: skipped {len(bad)} images that cannot be read: {'; '.join(bad)}", stacklevel=2)
    if not good:
        raise DataError(f"{argument}: none of its {len(bad)} images can be read")
    return torch.stack([decoded[position] for position in good]).to(torch.float32).div_(255)[None], good  # type: ignore[misc]


def _read_table(support: Path, query: Path, inputs: Mapping[str, Any], skip_bad: bool) -> OwnTask:
    target = inputs["target"]
    regression = target["kind"] == "regression"
    features = [column["name"] for column in inputs["columns"]]
    kinds = {column["name"]: column["kind"] for column in inputs["columns"]}
    rows = read_table(support, "support")
    need_columns(rows, [*features, target["name"]], "support", support)
    rows = rows.apply(without_words)
    if inputs["task"] in rows and len(tasks := texts(rows[inputs["task"]].dropna()).unique()) > 1:
        raise DataError(
            f"support: column '{inputs['task']}' of {support} names {len(tasks)} tasks; expected the rows of one"
        )
    asked = read_table(query, "query")
    need_columns(asked, features, "query", query)
    asked[features] = asked[features].apply(without_words)
    own = {target["name"]: "number" if regression else "category"}
    bad = problems(rows, kinds | own, needed=own)
    if target.get("classes") is not None:
        strange = ~texts(rows[target["name"]]).isin(target["classes"])
        wanted = ", ".join(target["classes"])
        for row, label in rows.loc[strange, target["name"]].items():
            bad.setdefault(row, f"class '{label}' was not among those of acquisition: {wanted}")
    rows = good_rows(rows, bad, "support", support, skip_bad)
    asked = good_rows(asked, problems(asked, kinds), "query", query, skip_bad)

    kept = [name for name in asked.columns if name not in features]
    columns = kept or ["row"]
    known = list(asked[kept].astype(object).where(asked[kept].notna(), None).itertuples(index=False, name=None))
    x, query_x = (encode_table(frame, dict(inputs))[None] for frame in (rows, asked))
    if not kept:
        known = [(row,) for row in asked.index]
    if regression:
        values = (numbers_in(rows[target["name"]]) - target["mean"]) / target["scale"]
        y = torch.from_numpy(values).to(torch.float32)[None, :, None]
        return OwnTask(Examples(x, y), query_x, None, columns, known, target["mean"], target["scale"])
    y, classes = _class_ids(list(texts(rows[target["name"]])), target.get("classes"))
    return OwnTask(Examples(x, y), query_x, classes, columns, known)


def _class_ids(names: list[str], classes: list[str] | None) -> tuple[Tensor, list[str]]:
    """Return ids `(1, N)` of class names, and the names in the order of the ids."""
    if len(set(names)) < 2:
        raise DataError(f"support: expected at least two classes, got only '{names[0]}'")
    ordered = sorted(set(names)) if classes is None else list(classes)
    positions = {name: position for position, name in enumerate(ordered)}
    return torch.tensor([[positions[name] for name in names]]), ordered
