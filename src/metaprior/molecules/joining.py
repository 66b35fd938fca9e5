"""What priors of different featurisers need to predict together: one row of all features, each seeing its own."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from metaprior.errors import DataError
from metaprior.molecules.agreement import check_digest
from metaprior.molecules.featurisers import Joined, featuriser_of

__all__ = ["joined_inputs"]

_OWN = ("featuriser", "fitted", "check", "reference")
"""What checkpoints say of a featuriser and of acquisition; in all else of their inputs, joined priors must agree."""


def joined_inputs(given: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Return the inputs that have the features of all of some priors, and the columns of each prior's own.

    Args:
        given: what the checkpoint of each prior has under `inputs`. Features that several of them share are computed
            once.

    Returns:
        What a checkpoint of all of them should have under `inputs`, with the molecules of reference of all; for each
        prior, the first of its columns and the one past the last.

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
        differing = [name for name in {**first, **one} if name not in _OWN and first.get(name) != one.get(name)]
        if differing:
            raise DataError(
                f"inputs: expected other featurisers of the same molecules; they differ in their {differing[0]}"
            )
    # The widest first, so that the others may be found in them.
    parts: list[Mapping[str, Any]] = []
    for one in sorted(given, key=_width, reverse=True):
        if not any(_place(one, part) for part in parts):
            parts.append(one)
    offsets = list(accumulate(map(_width, parts), initial=0))
    columns = []
    for one in given:
        found = ((offset, _place(one, part)) for offset, part in zip(offsets, parts, strict=False))
        offset, place = next((offset, place) for offset, place in found if place)
        columns.append((offset + place[0], offset + place[1]))
    reference = list(dict.fromkeys(smiles for one in given for smiles in one.get("reference") or ()))
    if len(parts) == 1:
        return {**parts[0], "reference": reference}, columns
    featuriser = Joined([part["featuriser"] for part in parts])
    fitted = {str(at): part["fitted"] for at, part in enumerate(parts)}
    made = {"featuriser": featuriser.settings, "fitted": fitted, "check": check_digest(featuriser, first["salts"])}
    return {**first, **made, "reference": reference}, columns


def _width(inputs: Mapping[str, Any]) -> int:
    return featuriser_of(inputs["featuriser"]).encoded_width


def _place(one: Mapping[str, Any], whole: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the columns at which the features of some inputs are found among those of others; None if they are not."""
    if all(one[name] == whole[name] for name in ("featuriser", "fitted")):
        return 0, _width(one)
    if whole["featuriser"]["name"] != "joined":
        return None
    offset = 0
    for at, part in enumerate(whole["featuriser"]["parts"]):
        width = featuriser_of(part).encoded_width
        if part == one["featuriser"] and whole["fitted"][str(at)] == one["fitted"]:
            return offset, offset + width
        offset += width
    return None
