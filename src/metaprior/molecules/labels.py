"""The labels of a user's molecules: classes, values, values beyond a bound, and what is odd about them.

Axis letters: M molecules.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaprior.errors import DataError
from metaprior.molecules.numerals import bound_and_number, has_more, with_points
from metaprior.tasks.columns import NOTHING, Column, pandas, target_of, text

__all__ = ["Labels", "check_few", "in_order", "mixed_units", "read_labels"]

OPPOSITES = (
    ("0", "1"),
    ("inactive", "active"),
    ("negative", "positive"),
    ("no", "yes"),
    ("n", "y"),
    ("false", "true"),
    ("f", "t"),
    ("nonbinder", "binder"),
    ("non-binder", "binder"),
    ("nontoxic", "toxic"),
    ("non-toxic", "toxic"),
    ("-", "+"),
)
"""Two classes whose order is known, so that the second is what a prior acquired as being active."""
_GAPS = NOTHING | {
    "?",
    "-",
    "n.d.",
    "n.d",
    "nd",
    "n.t.",
    "n.t",
    "nt",
    "not determined",
    "not tested",
    "missing",
    "none",
}
"""What is written among numbers, without regard to case, where a value was not measured."""
_LEVELS = 5
"""So many different whole numbers are rarely classes."""
_CLASSES = 10
"""As many different texts may be classes, however few labels there are."""
_GAP = 1.5
"""Orders of magnitude without any value between two groups of values that make two units likely."""


@dataclass(frozen=True, eq=False)
class Labels:
    """One property of M molecules.

    Args:
        name: of the column.
        values: `(M,)`, class ids or numbers; NaN where the label is missing.
        classes: their names in the order of their ids; None for numbers.
        remarks: what a user should know of them.
        problems: what is wrong with a label, by row.
    """

    name: str
    values: np.ndarray
    classes: list[str] | None
    remarks: list[str]
    problems: dict[Any, str]

    @property
    def known(self) -> np.ndarray:
        """`(M,)`, whether there is a label."""
        return ~np.isnan(self.values)


def read_labels(column: Column, kind: str = "auto", logarithms: bool = False, argument: str = "support") -> Labels:
    """Read a column of labels; a blank is a label that is missing.

    Text, or at most ten different whole numbers, stand for classes. A value that is only known to lie beyond a bound,
    such as `>10000`, is taken to be the bound.

    Args:
        column: M values as text, their index the numbers of the rows.
        kind: "classification", "regression" or "auto".
        logarithms: whether those of the values are taken later, so that they may span many orders of magnitude, and
            be in groups.
        argument: the name of the argument that gave the column, for messages.

    Raises:
        DataError: if no label is there, units stand beside numbers, or kind is another.

    Example:
        >>> import pandas
        >>> read_labels(pandas.Series(["0.5", ">10", None], name="ic50")).values
        array([ 0.5, 10. ,  nan])
        >>> read_labels(pandas.Series(["yes", "no", "yes"], name="binds")).classes
        ['no', 'yes']
    """
    if kind not in ("auto", "classification", "regression"):
        raise DataError(f"kind: expected 'auto', 'classification' or 'regression', got '{kind}'")
    name = str(column.name)
    texts = [None if value is None or value != value or not str(value).strip() else text(value) for value in column]
    present = [value for value in texts if value is not None]
    if not present:
        raise DataError(f"{argument}: column '{name}' has no labels")
    numeric = [value for value in present if bound_and_number(value) is not None]
    with_unit = [value for value in present if has_more(value)]
    if kind == "auto" and with_unit and len(with_unit) + len(numeric) > len(present) / 2:
        kind = "regression"
    if kind == "regression" and len(with_unit) > len(present) / 2:
        raise DataError(
            f"{argument}: column '{name}' has '{with_unit[0]}'; expected numbers alone, their unit in the column's name"
        )
    try:
        texts, remarks = with_points(name, texts, column.attrs.get("separator") == ";")
        texts, missing = _without_gaps(name, texts)
    except DataError as error:
        raise DataError(f"{argument}: {error}") from error
    remarks += missing
    matched = [None if value is None else bound_and_number(value) for value in texts]
    bounded = [bool(match and match[0] not in (None, "=", "~")) for match in matched]
    guessed = kind == "auto"
    if guessed:
        plain = [value if match is None else match[1] for value, match in zip(texts, matched, strict=True)]
        kind = "regression" if any(bounded) else target_of(pandas().Series(plain, dtype=object).dropna(), "auto")[0]
        if kind == "classification":
            check_few(name, present, argument)
    if kind == "classification":
        return _classes(name, texts, remarks + (_doubts(name, texts) if guessed else []))
    values = np.array([np.nan if match is None else match[1] for match in matched])
    problems = {
        row: f"column '{name}' is '{value}', expected a number"
        for row, value, number in zip(column.index, texts, values, strict=True)
        if value is not None and not np.isfinite(number)
    }
    if any(bounded):
        remarks.append(
            f"column '{name}': {sum(bounded)} of {len(present)} values lie beyond a bound (<, >); each was taken to be "
            "its bound, so that predictions beyond the bounds are too tame"
        )
    return Labels(name, values, None, remarks + ([] if logarithms else mixed_units(values, name)), problems)


def check_few(name: str, present: Sequence[str], argument: str = "support") -> None:
    """Raise DataError if the labels of a column are too many different ones to be classes.

    Example:
        >>> check_few("name", [f"molecule {at}" for at in range(20)])
        Traceback (most recent call last):
        metaprior.errors.DataError: support: column 'name' has 20 different texts ('molecule 0', 'molecule 1', ...
    """
    if len(different := set(present)) > max(_CLASSES, len(present) / 2):
        some = ", ".join(f"'{value}'" for value in sorted(different)[:3])
        raise DataError(
            f"{argument}: column '{name}' has {len(different)} different texts ({some}, ...); expected numbers, "
            "or the names of a few classes"
        )


def mixed_units(values: np.ndarray, name: str) -> list[str]:
    """Return a warning if values look like those of two units, or like concentrations that are no logarithms.

    Example:
        >>> len(mixed_units(np.array([0.012, 0.02, 0.051, 12.0, 55.0, 80.0]), "ic50"))
        1
        >>> mixed_units(np.array([5.1, 6.2, 7.3]), "pic50")
        []
    """
    values = values[np.isfinite(values)]
    if len(values) < 6 or (values <= 0).any():
        return []
    orders = np.sort(np.log10(values))
    gaps = np.diff(orders)
    # A lone outlier is no unit.
    inner = gaps[1:-1]
    if len(inner) and inner.max() >= _GAP:
        at = int(inner.argmax()) + 1
        low, high = 10 ** orders[at], 10 ** orders[at + 1]
        return [
            f"column '{name}': {at + 1} values are {low:.3g} or less, {len(orders) - at - 1} are {high:.3g} or more, "
            "and none is between: are units mixed, nM with µM for example, or with logarithms?"
        ]
    if orders[-1] - orders[0] > 2.5:
        return [
            f"column '{name}': values span {orders[-1] - orders[0]:.1f} orders of magnitude; if they are "
            "concentrations, give their negative logarithms (pIC50 instead of IC50), or large values decide alone"
        ]
    return []


def _without_gaps(name: str, texts: list[str | None]) -> tuple[list[str | None], list[str]]:
    """Return the texts of labels without what stands for none, and a remark if there was any."""
    others = [value for value in texts if value is not None and value.lower() not in _GAPS]
    numbers = sum(bound_and_number(value) is not None for value in others) > len(others) / 2
    lower = {value.lower() for value in others}
    # Beside a pair of opposites there is no third class; one of them may be a minus.
    pair = next((set(pair) for pair in OPPOSITES if lower and lower <= set(pair)), set())
    empty = _GAPS - pair - {"none"} if pair else _GAPS if numbers else NOTHING
    gaps = [value for value in texts if value is not None and value.lower() in empty]
    if not gaps:
        return texts, []
    if len(gaps) == sum(value is not None for value in texts):
        raise DataError(f"column '{name}' has no labels, only '{gaps[0]}'")
    among = " among numbers" if numbers else ""
    read = [None if value is None or value.lower() in empty else value for value in texts]
    return read, [f"column '{name}': '{gaps[0]}'{among} was taken to be a label that is missing, {len(gaps)} times"]


def _doubts(name: str, texts: list[str | None]) -> list[str]:
    """Return what may be wrong with taking texts for classes."""
    found = sorted({value for value in texts if value is not None})
    numbers = [value for value in found if bound_and_number(value) is not None]
    if len(numbers) == len(found) >= _LEVELS:
        return [
            f"column '{name}': {len(found)} different whole numbers, from {min(numbers, key=float)} to "
            f"{max(numbers, key=float)}, were taken for classes without an order; the kind 'regression' takes them for "
            "values"
        ]
    if 0 < len(numbers) < len(found):
        words = next(value for value in found if value not in numbers)
        return [
            f"column '{name}': '{numbers[0]}' and '{words}' are classes of their own; if they mean the same, write one"
        ]
    return []


def _classes(name: str, texts: list[str | None], remarks: list[str]) -> Labels:
    given = {value for value in texts if value is not None}
    spelt: dict[str, list[str]] = {}
    for value in sorted(given):
        spelt.setdefault(value.lower(), []).append(value)
    # Of several ways to write a class, the last in the alphabet has the fewest capitals.
    texts = [None if value is None else spelt[value.lower()][-1] for value in texts]
    if several := [ways for ways in spelt.values() if len(ways) > 1]:
        shown = "; ".join(" and ".join(f"'{way}'" for way in ways) for ways in several)
        remarks.append(f"column '{name}': {shown} were taken to be one class")
    found = sorted({value for value in texts if value is not None})
    if len(found) == 1:
        other = next(
            (pair[1 - side] for pair in OPPOSITES for side in (0, 1) if pair[side] == found[0].lower()),
            f"not {found[0]}",
        )
        remarks.append(
            f"column '{name}': all labels are '{found[0]}', so nothing shows what sets '{other}' apart: probabilities "
            "say how alike a molecule is to these, not how likely it is one of them"
        )
        found.append(other)
    ordered = in_order(found)
    ids = {value: position for position, value in enumerate(ordered)}
    values = np.array([np.nan if value is None else ids[value] for value in texts], dtype=float)
    return Labels(name, values, ordered, remarks, {})


def in_order(found: Iterable[str]) -> list[str]:
    """Return names of classes in the order of their ids: by the alphabet, or inactive before active.

    Example:
        >>> in_order(["Active", "Inactive"]), in_order(["weak", "strong"])
        (['Inactive', 'Active'], ['strong', 'weak'])
    """
    found = list(found)
    lower = {value.lower(): value for value in found}
    for negative, positive in OPPOSITES:
        if len(found) == 2 and set(lower) == {negative, positive}:
            return [lower[negative], lower[positive]]
    if len(found) == 2 and any(value.startswith("not ") for value in found):
        return sorted(found, key=lambda value: not value.startswith("not "))
    return sorted(found)
