"""Whether a featuriser does here what it did where a prior was acquired."""

import hashlib
from typing import Any

from metaprior.errors import DataError
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import Featuriser, featuriser_of
from metaprior.molecules.structure import Salts, rdkit_version

__all__ = ["agreement", "check_digest"]

_CHECKED = ("CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C[C@H](N)C(=O)O", "FC(F)(F)c1ccncc1Br", "CCS")
"""Molecules whose features show whether a featuriser does here what it did where a prior was acquired."""
_CHECKED_SEQUENCES = ("CASSIRSSYEQYF", "GILGFVFTL", "ARNDCQEGHILKMFPSTWYV")


def check_digest(featuriser: Featuriser, salts: Salts) -> str:
    """Return 12 hexadecimal digits that stand for the features of a few molecules, to four significant digits."""
    checked = _CHECKED if featuriser.reads == "molecules" else _CHECKED_SEQUENCES
    rows = featurise(checked, featuriser, salts, cache=False, processes=1).rows
    text = ";".join(
        f"{column}:{value:.4g}" for column, value in zip(rows.columns.tolist(), rows.values.tolist(), strict=True)
    )
    return hashlib.sha256(f"{rows.starts.tolist()}|{text}".encode()).hexdigest()[:12]


def agreement(inputs: dict[str, Any]) -> str | None:
    """Return what to tell of another version of RDKit; None if the version is the same.

    Raises:
        DataError: if the featuriser gives other numbers here than where the prior was acquired.
    """
    featuriser = featuriser_of(inputs["featuriser"])
    if featuriser.reads == "sequences":
        if check_digest(featuriser, inputs["salts"]) != inputs["check"]:
            raise DataError(
                f"prior: its featuriser '{inputs['featuriser']['name']}' gives other numbers in this version than "
                "where the prior was acquired"
            )
        return None
    here = rdkit_version()
    if check_digest(featuriser, inputs["salts"]) != inputs["check"]:
        raise DataError(
            f"prior: its featuriser '{inputs['featuriser']['name']}' gives other numbers with RDKit {here}, which is "
            f"installed, than with RDKit {inputs['rdkit']}, with which the prior was acquired: install that version"
        )
    if here == inputs["rdkit"]:
        return None
    return f"prior: was acquired with RDKit {inputs['rdkit']}, this is {here}; their features of test molecules agree"
