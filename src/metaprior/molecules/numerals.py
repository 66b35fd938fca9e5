"""Numbers as people write them in tables: with bounds, decimal commas, thousands set apart, and units."""

import re
from collections.abc import Sequence

from metaprior.errors import DataError

__all__ = ["bound_and_number", "has_more", "with_points"]

_BOUND, _WHOLE, _EXPONENT = r"^\s*(<=?|>=?|≤|≥|=|~)?\s*", r"(?:\d{1,3}(?:,\d{3})+|\d+)", r"(?:[eE][-+]?\d+)?"
_VALUE = re.compile(rf"{_BOUND}([-+\u2212]?(?:{_WHOLE}\.?\d*|\.\d+){_EXPONENT})\s*$")
"""A number, whose thousands may be set apart by commas."""
_COMMA = re.compile(rf"{_BOUND}[-+\u2212]?\d*,\d+{_EXPONENT}\s*$")
"""A number whose decimal point is a comma, unless it sets thousands apart."""
_SURE = re.compile(rf"{_BOUND}[-+\u2212]?(?:0?,\d+|\d+,(?!\d{{3}}$)\d+|\d{{4,}},\d+){_EXPONENT}\s*$")
"""A number whose comma cannot set thousands apart."""
_THOUSANDS = re.compile(rf"{_BOUND}[-+\u2212]?\d{{1,3}}(?:,\d{{3}}){{2,}}|{_BOUND}[-+\u2212]?\d{{1,3}}(?:,\d{{3}})+\.")
"""A number whose commas can do nothing else."""
_MORE = re.compile(
    rf"{_BOUND}[-+\u2212]?[\d.,]*\d{_EXPONENT}\s*"
    r"(?:[pnuµμm]?M|%|[pnuµμm]?mol(?:/L)?|[pnuµμm]?g/m?[lL]|(?:±|\+/-|\+-)\s*[\d.,]+.*|\(.*\))\s*$"
)
"""A number with its unit, its error or a remark."""


def bound_and_number(given: str) -> tuple[str | None, float] | None:
    """Return the bound that stands before a number, if any, and the number; None if it is none.

    Example:
        >>> bound_and_number(">10,000"), bound_and_number("n.d.")
        (('>', 10000.0), None)
    """
    match = _VALUE.match(given)
    return None if match is None else (match[1], float(match[2].replace(",", "").replace("\u2212", "-")))


def has_more(given: str) -> bool:
    """Return whether there is more than a number: a unit, an error, or a remark in brackets.

    Example:
        >>> has_more("3.2 nM"), has_more("3.2 ± 0.2"), has_more("3.2"), has_more("3D")
        (True, True, False, False)
    """
    return _MORE.match(given) is not None


def with_points(name: str, texts: Sequence[str | None], decimal: bool = False) -> tuple[list[str | None], list[str]]:
    """Return the texts of a column with points in place of decimal commas, and a remark if there were any.

    Args:
        name: of the column.
        texts: its cells.
        decimal: whether a comma is the decimal one where it could set thousands apart, as in a file whose columns are
            set apart by semicolons.

    Raises:
        DataError: if some commas, or commas and points, contradict each other, or nothing tells what a comma is.

    Example:
        >>> with_points("ki", ["0,5", "1,234"])[0]
        ['0.5', '1.234']
        >>> with_points("ki", ["5,107", "6,204"])
        Traceback (most recent call last):
        metaprior.errors.DataError: column 'ki' has '5,107', which is 5107 or 5.107; write it with a point, or ...
    """
    present = [value for value in texts if value is not None]
    commas = [value for value in present if "," in value and (_COMMA.match(value) or _VALUE.match(value))]
    if not commas:
        return list(texts), []
    sure = [value for value in commas if _SURE.match(value)]
    thousands = [value for value in commas if _THOUSANDS.match(value)]
    if all(value.endswith(",000") for value in commas) and not decimal:
        return list(texts), []
    if not sure and not thousands and not decimal:
        shown = commas[0]
        raise DataError(
            f"column '{name}' has '{shown}', which is {shown.replace(',', '')} or {shown.replace(',', '.')}; write it "
            "with a point, or without a comma"
        )
    if thousands and not sure:
        return list(texts), []
    other = thousands or [value for value in present if "." in value and _VALUE.match(value)]
    if other:
        raise DataError(
            f"column '{name}' has '{(sure or commas)[0]}' and '{other[0]}'; is the comma or the point the decimal one?"
        )
    read = [None if value is None else value.replace(",", ".") if _COMMA.match(value) else value for value in texts]
    shown = (sure or commas)[0]
    return read, [f"column '{name}': '{shown}' has a decimal comma; all commas of the column were read as such"]
