"""The columns of a table: what their values stand for."""

import importlib
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from metaprior.errors import missing

__all__ = [
    "NOTHING", "Column", "Frame", "column_kinds", "numbers_in", "pandas", "target_of", "text", "texts", "without_words",
]  # fmt: skip

Frame: TypeAlias = Any
"""A pandas DataFrame; its own annotations make a union of everything that is selected from it."""
Column: TypeAlias = Any
"""A pandas Series."""
MOSTLY = 0.9
"""A column is of numbers if at least this share of its values are; the other values are then mistakes."""
NOTHING = frozenset({"na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "#null!", "#value!"})
"""What is written, without regard to case, where there is no value; beside numbers, `none` too."""
FEW = 10
"""A target of integers with at most so many values stands for classes."""


def column_kinds(frame: Frame, names: Iterable[str], categorical: Iterable[str] = ()) -> dict[str, str]:
    """Return "number" or "category" for each of some columns; a column without any value is left out."""
    kinds = {}
    for name in names:
        values = frame[name].dropna()
        if len(values):
            numeric = name not in categorical and np.isfinite(numbers_in(values)).mean() >= MOSTLY
            kinds[name] = "number" if numeric else "category"
    return kinds


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


def without_words(values: Column) -> Column:
    """Return values, missing where a word says that there is none: `NA` or `nan`, and `None` where most are numbers.

    `None` may be a class, that of compounds without an effect, say.

    Example:
        >>> import pandas
        >>> list(without_words(pandas.Series(["3", "None", "nan"])))
        ['3', nan, nan]
        >>> list(without_words(pandas.Series(["None", "mild"])))
        ['None', 'mild']
    """
    written = values.astype(object).map(lambda value: str(value).strip().lower(), na_action="ignore")
    empty = written.isin(NOTHING)
    others = values[~empty & (written != "none")].dropna()
    if np.isfinite(numbers_in(others)).sum() > len(others) / 2:
        empty |= written == "none"
    return values.mask(empty)


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
    return pandas().to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def pandas() -> Any:
    """Return the package pandas, or raise what says how to install it."""
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise missing("pandas", "tables", "reading a table") from error
