"""Which columns of a user's table are labels, and which name or number its rows."""

import re
import warnings
from collections.abc import Sequence
from typing import Any

from metaprior.errors import DataError
from metaprior.molecules.formats import Structures
from metaprior.tasks.columns import Column
from metaprior.tasks.rows import need_columns

__all__ = ["identifies", "label_columns", "numbers_rows"]

_IDENTIFIER = re.compile(r"(.*[ _.-])?(id|ids|index|idx|row|no\.?|nr\.?|cid)|unnamed: \d+", re.IGNORECASE)
"""What a column of numbers that stand for the rows is called."""
_FEW = 10
"""As many different texts may be classes, however few rows there are."""


def label_columns(
    labelled: Structures,
    asked: Structures,
    target: str | Sequence[str] | None,
    support: Any,
    query: Any,
    apart: Sequence[str] = (),
) -> list[str]:
    """Return the columns to predict.

    Args:
        labelled: the rows with labels.
        asked: those without.
        target: the columns that were named; None for those that the support has and the query lacks, save what names or
            numbers its rows.
        support: the file, for messages.
        query: the other.
        apart: columns that are none.

    Raises:
        DataError: if one of them is absent or named twice, or none is found.
    """
    if target is not None:
        names = [target] if isinstance(target, str) else list(target)
        if len(set(names)) < len(names):
            raise DataError(f"target: expected different columns, got {', '.join(names)}")
        need_columns(labelled.frame, names, "support", support)
        return names
    others = [str(name) for name in labelled.frame.columns if name != labelled.column and name not in apart]
    names = [name for name in others if name not in asked.frame.columns]
    if not names:
        raise DataError(
            f"target: {support} has no column that {query} lacks, so that none is known to be a label; name it by "
            f"`target`: {', '.join(others) or 'it has structures alone'}"
        )
    # Beside labels, what differs by nature in every row is an identifier.
    labels = [name for name in names if not identifies(labelled.frame[name])]
    if numbered := [name for name in labels if numbers_rows(labelled.frame[name], name)]:
        told = ", ".join(f"'{name}'" for name in numbered)
        warnings.warn(
            f"support: {told} seems to number the rows, and is not predicted unless `target` names it", stacklevel=3
        )
        labels = [name for name in labels if name not in numbered]
    if not labels:
        raise DataError(f"target: no column of {support} looks like a label; name it by `target`: {', '.join(names)}")
    return labels


def identifies(values: Column) -> bool:
    """Return whether a column holds nothing, or texts that differ in most rows, as names do.

    Example:
        >>> import pandas
        >>> identifies(pandas.Series([f"molecule {at}" for at in range(20)]))
        True
        >>> identifies(pandas.Series(["a", "b"] * 10))
        False
    """
    present = values.dropna()
    texts = present.astype(str)
    numeric = texts.str.fullmatch(r"\s*[<>=~≤≥]*\s*[-+\u2212]?[\d.,]+([eE][-+]?\d+)?\s*").mean() >= 0.5
    return len(present) == 0 or (not numeric and texts.nunique() > max(_FEW, len(texts) / 2))


def numbers_rows(values: Column, name: str) -> bool:
    """Return whether a column holds whole numbers, each once, and says or shows that these are the rows' own.

    Example:
        >>> import pandas
        >>> numbers_rows(pandas.Series(["1", "2", "3", "4", "5"]), "response")
        True
    """
    texts = values.dropna().astype(str).str.strip()
    if len(texts) < 5 or not texts.str.fullmatch(r"\d+").all() or not texts.is_unique:
        return False
    found = texts.astype(int)
    in_turn = int(found.iloc[0]) in (0, 1) and bool((found.diff().dropna() == 1).all())
    return in_turn or _IDENTIFIER.fullmatch(name.strip()) is not None
