"""What was measured more than once, as one label, so that no structure is in a support and in its query.

Axis letters: R labels.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["merged"]

_SHOWN = 5
"""How many structures a warning names the rows of."""


def merged(
    owner: np.ndarray,
    molecule: np.ndarray,
    values: np.ndarray,
    kind: str,
    source: str = "file",
    rows: Sequence[Any] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels with one for each structure of an assay: the median, or the class of most, with a warning.

    Args:
        owner: `(R,)`, the assay of each.
        molecule: `(R,)`, its structure.
        values: `(R,)`, class ids or numbers.
        kind: "classification" or "regression".
        source: what gave them, for the warning.
        rows: `(R,)`, the numbers of their rows, of which the warning names the first; None to name none.

    Returns:
        The same of fewer labels; where two classes are as frequent, none.

    Example:
        >>> with warnings.catch_warnings(action="ignore"):
        ...     merged(np.array([0, 0, 0]), np.array([5, 7, 5]), np.array([1.0, 2.0, 3.0]), "regression")
        (array([0, 0]), array([5, 7]), array([2., 2.]))
    """
    pairs, place, counts = np.unique(np.stack([owner, molecule]), axis=1, return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    if not len(several):
        return owner, molecule, values
    middle = np.empty(len(counts))
    middle[place] = values
    order = np.argsort(place, kind="stable")
    parts = np.split(values[order], counts.cumsum()[:-1])
    middle[several] = [np.median(parts[at]) if kind == "regression" else _most(parts[at]) for at in several]
    clear = ~np.isnan(middle)
    counted = "their median counts" if kind == "regression" else "the class of most counts"
    left = f", and {int((~clear).sum())} whose classes are as frequent are left out" if not clear.all() else ""
    what = f"{len(several)} structures have" if len(several) > 1 else "one structure has"
    shown = ""
    if rows is not None:
        groups = [", ".join(str(rows[one]) for one in order[place[order] == at]) for at in several[:_SHOWN]]
        shown = ": rows " + "; ".join(groups) + ("; ..." if len(several) > _SHOWN else "")
    warnings.warn(f"{source}: {what} several labels in one assay; {counted}{left}{shown}", stacklevel=3)
    return pairs[0][clear], pairs[1][clear], middle[clear]


def _most(classes: np.ndarray) -> float:
    """Return the class of most labels; NaN if two are as frequent."""
    found, counts = np.unique(classes, return_counts=True)
    best = found[counts == counts.max()]
    return float(best[0]) if len(best) == 1 else float("nan")
