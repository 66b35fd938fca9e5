"""Inputs of several featurisers as one."""

import pytest
import torch

from metaprior.errors import DataError
from metaprior.molecules import NCI
from metaprior.molecules.agreement import agreement
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.joining import joined_inputs

SMALL = {"name": "morgan", "size": 32}


def inputs(featuriser):
    return NCI(molecules=60, featuriser=featuriser).inputs


def encoded(given, smiles=("CCO", "c1ccccc1")):
    featuriser, index = featuriser_of(given["featuriser"]), torch.arange(len(smiles))
    return featuriser.encode(featurise(smiles, featuriser, "largest", cache=False).rows.dense(index), given["fitted"])


def test_each_finds_what_it_would_see_alone():
    given = [inputs(name) for name in (SMALL, "descriptors", {"name": "joined", "parts": [SMALL, "descriptors"]})]
    together, columns = joined_inputs([*given, given[1]])
    assert columns[1] == columns[3]
    assert columns[:3] == [(0, 32), (32, columns[2][1]), (0, columns[2][1])]
    assert together["featuriser"] == given[2]["featuriser"]
    x = encoded(together)
    for (first, end), own in zip(columns, given, strict=False):
        torch.testing.assert_close(x[:, first:end], encoded(own))
    assert x.shape[1] == columns[2][1]
    assert agreement(together) is None
    assert together["reference"] == given[0]["reference"]


def test_what_is_in_neither_is_put_side_by_side():
    given = [inputs(name) for name in (SMALL, "descriptors", {"name": "morgan", "size": 64})]
    together, columns = joined_inputs(given)
    assert sorted(columns, key=lambda pair: pair[0]) == [columns[1], columns[2], columns[0]]
    x = encoded(together)
    for (first, end), own in zip(columns, given, strict=True):
        torch.testing.assert_close(x[:, first:end], encoded(own))
    assert agreement(together) is None


@pytest.mark.parametrize("other", [SMALL, "descriptors"])
def test_molecules_of_reference_of_all_are_kept(other):
    given = [inputs(SMALL) | {"reference": ["C", "CC"]}, inputs(other) | {"reference": ["CC", "CCC"]}]
    assert joined_inputs(given)[0]["reference"] == ["C", "CC", "CCC"]


def test_what_cannot_be_joined():
    with pytest.raises(DataError, match="inputs: expected those of a featuriser alone"):
        joined_inputs([inputs(SMALL), {"kind": "table"}])
    with pytest.raises(DataError, match="inputs: expected those of a featuriser alone"):
        joined_inputs([inputs(SMALL) | {"about": {"column": "allele"}}])
    with pytest.raises(DataError, match="they differ in their salts"):
        joined_inputs([inputs(SMALL), inputs(SMALL) | {"salts": "keep"}])
