"""The rows of a table: reading them from a file, and finding and leaving out the bad ones."""

import difflib
import gzip
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metaprior.errors import DataError
from metaprior.tasks.columns import Frame, numbers_in, pandas, text

__all__ = ["good_rows", "kept_names", "need_columns", "problems", "read_table"]

_SHOWN = 5
"""How many bad rows a message names."""


def read_table(file: str | Path, argument: str, encoding: str = "utf-8-sig") -> Frame:
    """Read a CSV as text, its index the numbers of its rows; columns may be set apart by tabs or semicolons too.

    Rows are numbered as a spreadsheet does: the header is row 1. Blank rows count, and are left out. Only a blank is
    missing; `without_words` finds what else may stand for nothing, which is right for values and wrong for names.

    Args:
        file: with a header.
        argument: the name of the argument, for error messages.
        encoding: of the file.

    Raises:
        DataError: if there is no such file, or it is no table with a header and at least one row.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.csv"
        >>> _ = file.write_text("task,target\\na,1\\n\\na,2\\n")
        >>> list(read_table(file, "file").index)
        [2, 4]
    """
    package = pandas()
    path = Path(file)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{argument}: {path} {found}; expected a CSV file")
    try:
        separator = "\t" if path.suffix.lower() == ".tsv" else _separator(path, encoding)
        with warnings.catch_warnings():
            warnings.simplefilter("error", package.errors.ParserWarning)
            frame = package.read_csv(
                path,
                sep=separator,
                dtype=str,
                encoding=encoding,
                skipinitialspace=True,
                skip_blank_lines=False,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
            )
    except package.errors.ParserWarning as error:
        raise DataError(f"{argument}: {path} has rows with more values than its header has columns") from error
    except (package.errors.ParserError, package.errors.EmptyDataError, UnicodeError, OSError, EOFError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{argument}: {path} cannot be read as a CSV file ({said})") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    if twice := list(frame.columns[frame.columns.duplicated()]):
        raise DataError(f"{argument}: {path} has several columns '{twice[0]}'; give each a name of its own")
    frame.index = package.RangeIndex(2, len(frame) + 2)
    _check_quotes(frame, separator, argument, path)
    frame = frame.dropna(how="all")
    frame.attrs["separator"] = separator
    if frame.empty:
        raise DataError(f"{argument}: {path} has no rows; expected a CSV file with a header and a row for each example")
    return frame


def _check_quotes(frame: Frame, separator: str, argument: str, path: Path) -> None:
    """Raise DataError if a cell holds what look like whole rows, which a stray quotation mark leads to."""
    others = len(frame.columns) - 1
    for name in frame.columns if others else ():
        for row, value in frame.loc[frame[name].astype(str).str.contains("\n", regex=False), name].items():
            if any(line.count(separator) >= others for line in str(value).splitlines()[1:]):
                raise DataError(
                    f"{argument}: row {row} of {path}: column '{name}' holds several lines that look like rows; is a "
                    "quotation mark missing, or one too many?"
                )


def _separator(path: Path, encoding: str) -> str:
    """Return what sets the names of the header apart: the comma, unless another occurs in it more often."""
    with gzip.open(path, "rt", encoding=encoding) if path.suffix == ".gz" else open(path, encoding=encoding) as file:
        header = file.readline()
    plain = re.sub(r'"[^"]*"', "", header)
    return max(",", "\t", ";", key=plain.count)


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
            hint = f": did you mean '{close[0]}'? It" if close else "; it"
            raise DataError(f"{argument}: {where} has no column '{name}'{hint} has: {', '.join(known)}")


def kept_names(given: Sequence[str], added: Sequence[str], argument: str) -> list[str]:
    """Return the names of a user's columns, changed where they are those of columns that are added, with a warning.

    Args:
        given: the user's.
        added: the others.
        argument: the name of the argument that gave the table, for the warning.
    """
    names: list[str] = []
    for name in given:
        new = name
        while new in added or (new != name and new in given):
            new = f"{new}_given"
        names.append(new)
    if changed := [f"'{old}' is '{new}'" for old, new in zip(given, names, strict=True) if old != new]:
        text = "has columns that are called as those of predictions are, so that"
        warnings.warn(f"{argument}: {text} {', '.join(changed)} now", stacklevel=3)
    return names


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


def good_rows(frame: Frame, bad: dict[Any, str], argument: str, file: str | Path, skip_bad: bool) -> Frame:
    """Return a table without its bad rows, of which a warning names the first.

    Args:
        frame: the table.
        bad: what is wrong with each bad row, by its index.
        argument: the name of the argument that gave the table, for messages.
        file: of the table, for messages.
        skip_bad: leave bad rows out, instead of raising what is wrong with the first.

    Raises:
        DataError: if a row is bad and `skip_bad` is false, or no row is good.

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"size": ["1", "big"]}, index=[2, 3])
        >>> good_rows(frame, problems(frame, {"size": "number"}), "support", "sizes.csv", skip_bad=False)
        Traceback (most recent call last):
        metaprior.errors.DataError: support: row 3 of sizes.csv: column 'size' is 'big', expected a number; skip_bad leaves such rows out
    """  # noqa: E501
    if not bad:
        return frame
    if not skip_bad:
        row, problem = min(bad.items())
        more = f" (and {len(bad) - 1} more bad rows)" if len(bad) > 1 else ""
        raise DataError(f"{argument}: row {row} of {file}: {problem}{more}; skip_bad leaves such rows out")
    listed = "; ".join(f"row {row}: {problem}" for row, problem in sorted(bad.items())[:_SHOWN])
    listed += f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    if len(bad) == len(frame):
        raise DataError(f"{argument}: none of the rows of {file} can be used: {listed}")
    skipped = f"{len(bad)} bad rows" if len(bad) > 1 else "one bad row"
    warnings.warn(f"{argument}: skipped {skipped} of {file}: {listed}", stacklevel=2)
    return frame.drop(index=list(bad))
