"""Features here and where a prior was acquired are compared by a few molecules or sequences."""

import pytest

from metaprior.errors import DataError
from metaprior.molecules import NCI
from metaprior.molecules.agreement import agreement, check_digest
from metaprior.molecules.sequence_featurisers import Composition, KMers

pytest.importorskip("rdkit")


def test_the_same_features_are_not_mentioned():
    assert agreement(NCI(molecules=300).inputs) is None


def test_another_version_of_rdkit_is_told_and_other_numbers_are_refused():
    inputs = NCI(molecules=300).inputs
    assert "was acquired with RDKit 2020.1" in agreement(inputs | {"rdkit": "2020.1"})
    with pytest.raises(DataError, match="its featuriser 'morgan' gives other numbers with RDKit"):
        agreement(inputs | {"check": "0"})


def test_sequences_do_not_depend_on_rdkit():
    checks = [check_digest(featuriser, "largest") for featuriser in (Composition(), KMers())]
    assert checks[0] != checks[1]
    inputs = {"featuriser": {"name": "composition"}, "salts": "largest", "check": checks[0], "rdkit": "2020.1"}
    assert agreement(inputs) is None
    with pytest.raises(DataError, match="'composition' gives other numbers in this version"):
        agreement(inputs | {"check": checks[1]})
