"""Tokens and back: what is split can be joined, what is unknown is said to be, what is too long is reported."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import DataError, ShapeError
from metaprior.molecules.amino_acids import ALPHABET
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.nci import nci_smiles
from metaprior.molecules.token_featurisers import (
    SMILES_TOKENS,
    UNKNOWN,
    ResidueTokens,
    SmilesTokens,
    split_smiles,
    tokens_of,
)


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.text(max_size=30), st.lists(st.sampled_from(SMILES_TOKENS)).map("".join)))
def test_what_is_split_can_be_joined(text):
    assert "".join(split_smiles(text)) == text


@pytest.mark.parametrize("token", SMILES_TOKENS)
def test_every_token_of_the_vocabulary_is_one(token):
    assert split_smiles(token) == [token]


@settings(max_examples=30, deadline=None)
@given(st.text(ALPHABET, min_size=1, max_size=40))
def test_residues_round_trip(sequence):
    featuriser = ResidueTokens(40)
    columns, ids = featuriser.raw(sequence)
    assert columns.tolist() == list(range(len(sequence)))
    assert featuriser.text(ids) == sequence


def test_molecules_round_trip():
    chem = pytest.importorskip("rdkit.Chem")
    featuriser = SmilesTokens()
    found = featurise(nci_smiles(150), featuriser, cache=False, processes=1)
    for ids, smiles in zip(found.rows.dense(torch.arange(150)), found.smiles, strict=True):
        text = featuriser.text(ids)
        assert text == smiles or UNKNOWN in text
    twice = featurise(["OCC", "C(O)C"], featuriser, cache=False).rows.dense(torch.arange(2))
    assert twice[0].equal(twice[1]), "one molecule is one row, however it is spelt"
    assert featuriser.text(twice[0]) == chem.CanonSmiles("OCC")


def test_what_is_too_long_is_reported_by_its_row():
    pytest.importorskip("rdkit")
    found = featurise(["CC", "CCCCCC"], SmilesTokens(size=4), cache=False)
    assert found.problems == {1: "it has 6 tokens; at most 4 were asked for"}
    found = featurise(["CASS", "CASSF"], ResidueTokens(size=4))
    assert found.problems == {1: "it has 5 tokens; at most 4 were asked for"}


def test_the_vocabulary_is_recorded():
    featuriser = SmilesTokens(vocabulary=("C", "O"))
    assert featuriser.settings == {"name": "smiles_tokens", "size": 160, "vocabulary": ["C", "O"]}
    again = featuriser_of(featuriser.settings)
    assert again.tokens == (UNKNOWN, "C", "O")
    assert again.digest == featuriser.digest
    with pytest.raises(DataError, match="vocabulary: expected different tokens"):
        SmilesTokens(vocabulary=("C", "C"))
    with pytest.raises(ShapeError, match="rows: expected token ids"):
        tokens_of(torch.zeros(3))
