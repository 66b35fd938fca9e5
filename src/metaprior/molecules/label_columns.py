"""Which columns of a user's table are labels, and which name or number its rows."""

import re
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from metaprior.errors import DataError
from metaprior.molecules.formats import Structures
from metaprior.molecules.labels import OPPOSITES, Labels, read_labels
from metaprior.molecules.numerals import has_more
from metaprior.tasks.columns import Column, Frame
from metaprior.tasks.rows import need_columns

__all__ = ["assay_labels", "check_qualifiers", "identifies", "label_columns", "numbers_rows", "qualifies"]

_IDENTIFIER = re.compile(r"(?i:(.*[ _.-])?(id|ids|index|idx|row|no\.?|nr\.?|cid)|unnamed: \d+)|.*[a-z]I[Dd]s?")
"""What a column of numbers that stand for the rows is called."""
_NUMBER = re.compile(r"\s*[<>=~≤≥]*\s*[-+\u2212]?[\d.,]+([eE][-+]?\d+)?\s*")
_RELATIONS = {"=", "<", ">", "<=", ">=", "≤", "≥", "~", "<<", ">>"}
_SHOWN = 5
_LONGEST = 15
"""No measurement has more digits."""
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
    names = [name for name in others if name not in asked.frame.columns or asked.frame[name].isna().all()]
    if not names:
        raise DataError(
            f"target: {support} has no column that {query} lacks, so that none is known to be a label; name it by "
            f"`target`: {', '.join(others) or 'it has structures alone'}"
        )
    # Beside labels, what differs by nature in every row is an identifier.
    labels = [name for name in names if not identifies(labelled.frame[name])]
    if beside := [name for name in labels if qualifies(labelled.frame[name])]:
        told = ", ".join(f"'{name}'" for name in beside)
        warnings.warn(f"support: not predicted, since they hold bounds or units: {told}", stacklevel=3)
        labels = [name for name in labels if name not in beside]
    if numbered := [name for name in labels if numbers_rows(labelled.frame[name], name)]:
        told = ", ".join(f"'{name}'" for name in numbered)
        warnings.warn(
            f"support: {told} seems to number the rows, and is not predicted unless `target` names it", stacklevel=3
        )
        labels = [name for name in labels if name not in numbered]
    if 0 < len(same := [name for name in labels if _says_the_same(labelled.frame[name])]) < len(labels):
        told = ", ".join(f"'{name}'" for name in same)
        warnings.warn(
            f"support: {told} says the same of every row, and is not predicted unless `target` names it", stacklevel=3
        )
        labels = [name for name in labels if name not in same]
    if not labels:
        raise DataError(f"target: no column of {support} looks like a label; name it by `target`: {', '.join(names)}")
    return labels


def check_qualifiers(frame: Frame, names: Sequence[str], argument: str, kind: str = "auto") -> Frame:
    """Return a table whose measured labels have their bounds before them, where another column has these.

    Args:
        frame: the table.
        names: the columns of labels.
        argument: the name of the argument that gave the table, for messages.
        kind: "classification" for labels that have no bounds, "regression", or "auto" to take words and two different
            numbers for classes.

    Raises:
        DataError: if a column of units has several, or it is not known which of several labels bounds are of.
    """
    bounded = [] if kind == "classification" else [one for one in names if kind != "auto" or _measured(frame[one])]
    if not bounded:
        return frame
    for name in (name for name in frame.columns if name not in names and qualifies(frame[name])):
        written = frame[name].dropna().astype(str).str.strip().str.strip("'")
        if not set(written) <= _RELATIONS:
            if len(units := sorted(set(written))) > 1:
                raise DataError(
                    f"{argument}: column '{name}' has the units {', '.join(units)}; bring the values to one of them"
                )
            continue
        if not set(written) - {"="}:
            continue
        if len(bounded) > 1:
            raise DataError(
                f"{argument}: column '{name}' has bounds, and the labels are {', '.join(bounded)}; write bounds before "
                "the values they are of, as in >10"
            )
        label = frame[bounded[0]]
        signed = label.notna() & frame[name].notna() & ~label.astype(str).str.match(r"\s*[<>=~≤≥]")
        sign = written.reindex(frame.index).fillna("").str.replace("<<", "<").str.replace(">>", ">")
        frame = frame.assign(**{bounded[0]: label.mask(signed, sign + label.astype(str))})
    return frame


def identifies(values: Column) -> bool:
    """Return whether a column holds nothing, or texts that differ in most rows, as names do.

    Example:
        >>> import pandas
        >>> identifies(pandas.Series([f"molecule {at}" for at in range(20)]))
        True
        >>> identifies(pandas.Series(["a", "b"] * 10))
        False
    """
    texts = values.dropna().astype(str)
    return len(texts) == 0 or (not _numeric(texts) and texts.nunique() > max(_FEW, len(texts) / 2))


def qualifies(values: Column) -> bool:
    """Return whether a column says only what stands before a number, or the unit that stands behind it.

    Example:
        >>> import pandas
        >>> qualifies(pandas.Series(["=", ">", "="])), qualifies(pandas.Series(["nM", "uM"]))
        (True, True)
    """
    written = {str(value).strip().strip("'") for value in values.dropna()}
    return bool(written) and (written <= _RELATIONS or all(has_more(f"1 {value}") for value in written))


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
    if texts.str.len().min() > _LONGEST:
        return True
    found = [int(value) for value in texts]
    in_turn = found[0] in (0, 1) and all(after == before + 1 for before, after in pairwise(found))
    return in_turn or _IDENTIFIER.fullmatch(name.strip()) is not None


def assay_labels(
    frame: Frame,
    apart: Sequence[str],
    task: str | None,
    target: str | Sequence[str] | None,
    kind: Literal["classification", "regression"],
    file: str,
) -> list[Labels]:
    """Return the labels of one's own assays, with warnings of what was odd, and of which columns were taken for them.

    Args:
        frame: the table.
        apart: columns that are no labels.
        task: the column that names the assay of a row, beside which there is one of labels; None if each has its own.
        target: the columns of labels; None for `target` beside a task, and else for all that can be.
        kind: of the labels.
        file: of the table, for messages.

    Raises:
        DataError: if a column is absent, or is not of the kind, or none is.
    """
    others = [str(name) for name in frame.columns if name not in apart]
    guessed = target is None and task is None
    given = [target] if isinstance(target, str) else list(target or ([] if task is None else ["target"]))
    need_columns(frame, [*given, *([] if task is None else [task])], "file", file)
    if task is not None and len(given) > 1:
        raise DataError(f"target: expected one column beside `task`, got {', '.join(given)}")
    wanted = given if not guessed else [name for name in others if not _aside(frame[name], name)]
    two = kind == "classification"
    read = [read_labels(frame[name], kind, argument="file") for name in wanted]
    if guessed:
        # Beside assays, a file has names and numbers of other kinds.
        read = [one for one in read if (len(one.classes or ()) == 2 if two else len(one.problems) < one.known.sum())]
    bounded = check_qualifiers(frame, [labels.name for labels in read], "file", kind)
    read = [read_labels(bounded[labels.name], kind, argument="file") for labels in read]
    if not read:
        raise DataError(f"file: {file} has no column of labels for {kind}: {', '.join(others)}")
    left = [name for name in others if guessed and name not in {labels.name for labels in read}]
    if any(not identifies(frame[name]) for name in left) or (guessed and not two):
        besides = f", and none of {', '.join(left)}" if left else ""
        taken = ", ".join(labels.name for labels in read)
        warnings.warn(f"file: took these columns for assays: {taken}{besides}; `target` names them", stacklevel=5)
    for labels in read:
        if two and len(classes := labels.classes or []) != 2:
            more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
            raise DataError(
                f"target: column '{labels.name}' of {file} has {', '.join(classes[:_SHOWN])}{more}; expected two "
                "classes, or the kind 'regression'"
            )
        for remark in labels.remarks:
            warnings.warn(f"file: {remark}", stacklevel=5)
    return read


def _numeric(texts: Column) -> bool:
    """Return whether half of some texts are numbers, or begin with one."""
    return bool(np.mean([has_more(text) or _NUMBER.fullmatch(text) is not None for text in texts] or [False]) >= 0.5)


def _measured(values: Column) -> bool:
    """Return whether a column is of numbers that are no two classes."""
    texts = values.dropna().astype(str)
    return _numeric(texts) and texts.nunique() > 2


def _says_the_same(values: Column) -> bool:
    """Return whether a column has one text in every row, and not that of a class that has an opposite."""
    texts = values.fillna("").astype(str).str.strip().str.lower()
    return (
        texts.nunique() == 1 and not _numeric(texts) and texts.iloc[0] not in {one for two in OPPOSITES for one in two}
    )


def _aside(values: Column, name: str) -> bool:
    """Return whether a column is of names, numbers of rows, bounds or units."""
    return identifies(values) or numbers_rows(values, name) or qualifies(values)
