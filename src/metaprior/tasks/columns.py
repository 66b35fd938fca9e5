"""Tables: reading a CSV, finding its bad rows, and encoding its columns as numbers in a way that can be repeated.

Axis letters: N rows, F features.
"""

import difflib
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, missing

__all__ = [
    "Column",
    "Frame",
    "column_kinds",
    "encode_table",
    "fit_column",
    "need_columns",
    "numbers_in",
    "problems",
    "read_table",
    "target_of",
    "text",
    "texts",
]

Frame: TypeAlias = Any
"""A pandas DataFrame; its own annotations make a union of everything that is selected from it."""
Column: TypeAlias = Any
"""A pandas Series."""
MOSTLY = 0.9
"""A column is of numbers if at least this share of its values are; the other values are then mistakes."""
FEW = 10
"""A target of integers with at most so many values stands for classes."""
MOST_CATEGORIES = 32
"""How many values of a categorical column get a feature of their own, the most frequent first."""


def read_table(file: str | Path, argument: str) -> Frame:
    """Read a CSV (or, if its name ends in .tsv, a tab-separated file) as text, its index the numbers of its rows.

    Rows are numbered as a spreadsheet does: the header is row 1. Blank rows count, and are left out.

    Args:
        file: with a header, in UTF-8.
        argument: the name of the argument, for error messages.

    Raises:
        DataError: if there is no such file, or it is no table with a header and at least one row.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.csv"
        >>> _ = file.write_text("task,target\\na,1\\n\\na,2\\n")
        >>> list(read_table(file, "file").index)
        [2, 4]
    """
    pandas = _pandas()
    path = Path(file)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{argument}: {path} {found}; expected a CSV file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            frame = pandas.read_csv(
                path,
                sep="\t" if path.suffix.lower() == ".tsv" else ",",
                dtype=str,
                encoding="utf-8-sig",
                skipinitialspace=True,
                skip_blank_lines=False,
                index_col=False,
            )
    except pandas.errors.ParserWarning as error:
        raise DataError(f"{argument}: {path} has rows with more values than its header has columns") from error
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{argument}: {path} cannot be read as a CSV file ({error})") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    frame.index = pandas.RangeIndex(2, len(frame) + 2)
    frame = frame.dropna(how="all")
    if frame.empty:
        raise DataError(f"{argument}: {path} has no rows; expected a CSV file with a header and a row for each example")
    return frame


def need_columns(frame: Frame, names: Iterable[str], argument: str, where: str | Path) -> None:
    """Raise DataError if a table lacks one of some columns; it suggests the nearest name.

    Args:
        frame: the table.
        names: of the columns.
        argument: the name of the argument, for the error message.
        where: the file of the table, for the error message.
    """
    known = [str(name) for name in frame.columns]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise DataError(f"{argument}: {where} has no column '{name}': {hint}It has: {', '.join(known)}")


def column_kinds(frame: Frame, names: Iterable[str], categorical: Iterable[str] = ()) -> dict[str, str]:
    """Return "number" or "category" for each of some columns; a column without any value is left out."""
    kinds = {}
    for name in names:
        values = frame[name].dropna()
        if len(values):
            numeric = name not in categorical and np.isfinite(numbers_in(values)).mean() >= MOSTLY
            kinds[name] = "number" if numeric else "category"
    return kinds


def fit_column(values: Column, kind: str) -> dict[str, Any]:
    """Return how to encode a column, ready for JSON: a number's mean and scale, or the categories worth a feature.

    Example:
        >>> import pandas
        >>> fit_column(pandas.Series([1.0, 3.0, None], name="size"), "number")
        {'name': 'size', 'kind': 'number', 'mean': 2.0, 'scale': 1.0, 'missing': True}
    """
    name = str(values.name)
    if kind == "category":
        counts = texts(values).value_counts()
        # A value seen once, such as an identifier, says nothing about other rows.
        frequent = counts[counts > 1].sort_index().sort_values(ascending=False, kind="stable")
        return {"name": name, "kind": kind, "values": sorted(str(value) for value in frequent.index[:MOST_CATEGORIES])}
    numbers = numbers_in(values)
    present = numbers[np.isfinite(numbers)]
    mean, scale = (float(present.mean()), float(present.std())) if len(present) else (0.0, 0.0)
    return {"name": name, "kind": kind, "mean": mean, "scale": scale or 1.0, "missing": bool(np.isnan(numbers).any())}


def problems(frame: Frame, kinds: dict[str, str], needed: Iterable[str] = ()) -> dict[Any, str]:
    """Return what is wrong with each bad row, by its index.

    Args:
        frame: the table.
        kinds: of the columns to look at; a number must be finite or missing, a category may be anything.
        needed: columns in which nothing may be missing.

    Example:
        >>> import pandas
        >>> problems(pandas.DataFrame({"size": ["1", "big"]}, index=[2, 3]), {"size": "number"})
        {3: "column 'size' is 'big', expected a number"}
    """
    found: dict[Any, str] = {}
    for name, kind in kinds.items():
        column, present = frame[name], frame[name].notna().to_numpy()
        wrong = np.zeros(len(frame), dtype=bool)
        if kind == "number":
            wrong = present & ~np.isfinite(numbers_in(column))
        for row, value in column[wrong].items():
            found.setdefault(row, f"column '{name}' is '{text(value)}', expected a number")
        if name in needed:
            for row in column.index[~present]:
                found.setdefault(row, f"column '{name}' is missing a value")
    return {row: found[row] for row in frame.index if row in found}


def encode_table(frame: Frame, inputs: dict[str, Any]) -> Tensor:
    """Encode rows as a source of tables did for acquisition.

    A number is standardised by the training tasks; where it is missing it is their mean, and a second feature says so
    if that happened in training. A category has a feature for each of its frequent values and one for all others.

    Args:
        frame: N rows with the columns of the source, as text or as what it stands for.
        inputs: what the source's `inputs` says, from a checkpoint's card for example.

    Returns:
        `(N, F)`.

    Raises:
        DataError: if a column is missing, or a number is text or infinite; it names the column and the row.

    Example:
        >>> import pandas
        >>> columns = [{"name": "size", "kind": "number", "mean": 2.0, "scale": 1.0, "missing": True}]
        >>> encode_table(pandas.DataFrame({"size": [3, None]}), {"columns": columns})
        tensor([[1., 0.],
                [0., 1.]])
    """
    columns = inputs["columns"]
    need_columns(frame, [column["name"] for column in columns], "frame", "the table")
    for row, problem in problems(frame, {column["name"]: column["kind"] for column in columns}).items():
        raise DataError(f"frame: row {row}: {problem}")
    features = []
    for column in columns:
        values = frame[column["name"]]
        if column["kind"] == "number":
            numbers = numbers_in(values)
            absent = np.isnan(numbers)
            features.append(np.where(absent, 0.0, (numbers - column["mean"]) / column["scale"]))
            features.extend([absent] if column["missing"] else [])
        else:
            named = texts(values)
            members = [(named == value).to_numpy(dtype=bool) for value in column["values"]]
            features.extend([*members, ~np.logical_or.reduce([np.zeros(len(frame), dtype=bool), *members])])
    return torch.from_numpy(np.stack(features, axis=1).astype(np.float32))


def target_of(values: Column, kind: str) -> tuple[str, bool]:
    """Return whether a target is for classification or regression, and whether each of its values must be a number.

    Args:
        values: the column.
        kind: "classification", "regression", or "auto" to tell by the values: text, or at most `FEW` different
            integers, stand for classes.

    Example:
        >>> import pandas
        >>> target_of(pandas.Series(["0", "1", "1"]), "auto"), target_of(pandas.Series(["0.5", "1"]), "auto")
        (('classification', True), ('regression', True))
    """
    if kind == "regression":
        return kind, True
    if kind != "auto":
        return kind, False
    numbers = numbers_in(values.dropna())
    finite = numbers[np.isfinite(numbers)]
    if len(finite) == 0 or len(finite) < MOSTLY * len(numbers):
        return "classification", False
    classes = len(np.unique(finite)) <= FEW and bool((finite == finite.round()).all())
    return ("classification" if classes else "regression"), True


def text(value: Any) -> str:
    """Return a value as stripped text, a whole number without a decimal point, as `1.0` and `1` are one class.

    Example:
        >>> text(1.0), text(" 1.50")
        ('1', '1.50')
    """
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", str(value).strip())


def texts(values: Column) -> Column:
    """Return values as text, so that typed tables and those read from files agree.

    Example:
        >>> import pandas
        >>> list(texts(pandas.Series([1.0, 2.0]))), list(texts(pandas.Series(["1", " b"])))
        (['1', '2'], ['1', 'b'])
    """
    values = values.astype(object)
    return values.map({value: text(value) for value in values.dropna().unique()})


def numbers_in(values: Column) -> np.ndarray:
    """Return values as numbers, NaN where they are missing or text."""
    return _pandas().to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise missing("pandas", "tables", "reading a table") from error
    return pandas
