"""What priors of different featurisers need to predict together: one row of all features, each seeing its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from metaprior.errors import DataError
from metaprior.molecules.agreement import check_digest
from metaprior.molecules.featurisers import Joined, featuriser_of

__all__ = ["joined_inputs"]

_FEATURISED = ("featuriser", "fitted", "check")
"""What checkpoints say of a featuriser; in all else of their inputs, priors that are joined must agree."""


def joined_inputs(given: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Return the inputs that have the features of all of some priors, and the columns of each prior's own.

    Args:
        given: what the checkpoint of each prior has under `inputs`. Features that several of them share are computed
            once.

    Returns:
        What a checkpoint of all of them should have under `inputs`; for each prior, the first of its columns and the
        one past the last.

    Raises:
        DataError: if the inputs are of no featuriser, have a description beside them, or differ in something else.

    Example:
        >>> from metaprior.molecules import NCI
        >>> sources = [NCI(molecules=40, featuriser={"name": "morgan", "size": size}) for size in (64, 32)]
        >>> inputs, columns = joined_inputs([source.inputs for source in sources])
        >>> inputs["featuriser"]["name"], columns
        ('joined', [(0, 64), (64, 96)])
    """
    first = given[0]
    for one in given:
        if "featuriser" not in one or one.get("about"):
            raise DataError("inputs: expected those of a featuriser alone, of each prior")
        differing = [name for name in {**first, **one} if name not in _FEATURISED and first.get(name) != one.get(name)]
        if differing:
            raise DataError(
                f"inputs: expected other featurisers of the same molecules; they differ in their {differing[0]}"
            )
    parts: list[Mapping[str, Any]] = []
    for one in given:
        if not any(_same(one, part) for part in parts):
            parts.append(one)
    widths = [featuriser_of(part["featuriser"]).encoded_width for part in parts]
    places = [next(at for at, part in enumerate(parts) if _same(one, part)) for one in given]
    columns = [(sum(widths[:place]), sum(widths[: place + 1])) for place in places]
    featuriser = Joined([part["featuriser"] for part in parts])
    fitted = {str(at): part["fitted"] for at, part in enumerate(parts)}
    made = {"featuriser": featuriser.settings, "fitted": fitted, "check": check_digest(featuriser, first["salts"])}
    return {**first, **made}, columns


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("featuriser", "fitted"))
