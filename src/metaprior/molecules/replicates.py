"""What was measured more than once, as one label, so that no structure is in a support and in its query.

Axis letters: R labels.
"""

import warnings

import numpy as np

__all__ = ["merged"]


def merged(
    owner: np.ndarray, molecule: np.ndarray, values: np.ndarray, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels with one for each structure of an assay: the median, or the class of most, with a warning.

    Args:
        owner: `(R,)`, the assay of each.
        molecule: `(R,)`, its structure.
        values: `(R,)`, 0 or 1 for two classes.
        kind: "classification" or "regression".

    Returns:
        The same of fewer labels; where two classes are as frequent, none.

    Example:
        >>> merged(np.array([0, 0, 0]), np.array([5, 7, 5]), np.array([1.0, 2.0, 3.0]), "regression")
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
    middle[several] = [np.median(parts[at]) for at in several]
    # The median of as many zeros as ones lies between them.
    clear = np.ones(len(counts), dtype=bool) if kind == "regression" else middle == middle.round()
    counted = "their median counts" if kind == "regression" else "the class of most counts"
    left = f", and {int((~clear).sum())} whose classes are as frequent are left out" if not clear.all() else ""
    what = f"{len(several)} structures have" if len(several) > 1 else "one structure has"
    warnings.warn(f"file: {what} several labels in one assay; {counted}{left}", stacklevel=2)
    return pairs[0][clear], pairs[1][clear], middle[clear]
