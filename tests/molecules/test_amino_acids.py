"""Letters of amino acids, and what is said of those that are none."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.molecules.amino_acids import ALPHABET, ATCHLEY, BLOSUM62, residues

SEQUENCES = st.text(ALPHABET, min_size=1, max_size=40)


@settings(deadline=None)
@given(SEQUENCES, st.sampled_from(["", " ", "\t"]))
def test_case_and_blanks_do_not_matter(sequence, blank):
    assert residues(blank + sequence.lower() + blank) == sequence


@settings(deadline=None)
@given(SEQUENCES, st.characters(min_codepoint=33, max_codepoint=126), st.data())
def test_a_wrong_letter_is_named_with_its_position(sequence, letter, data):
    if letter.upper() in ALPHABET:
        return
    at = data.draw(st.integers(0, len(sequence)))
    with pytest.raises(DataError) as error:
        residues(sequence[:at] + letter + sequence[at:])
    assert f"has '{letter.upper()}' at position {at + 1}" in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the sequence is empty"),
        ("CASSX", "X stands for any amino acid"),
        ("CAS-S", "- is a gap"),
        ("CAS_S", "_ is a frame shift"),
        ("CASСS", "expected letters of the 20 amino acids, ACDEFGHIKLMNPQRSTVWY"),  # noqa: RUF001
    ],
)
def test_what_a_letter_means_is_told(text, told):
    with pytest.raises(DataError, match=told.replace("(", r"\(")):
        residues(text)


def test_tables_are_what_they_are_called():
    at = {letter: place for place, letter in enumerate(ALPHABET)}
    assert len(at) == 20
    assert torch.equal(BLOSUM62, BLOSUM62.T)
    assert BLOSUM62.diagonal().tolist() == [4, 5, 6, 6, 9, 5, 5, 6, 8, 4, 4, 5, 5, 6, 7, 4, 5, 11, 7, 4]
    assert BLOSUM62[at["I"], at["V"]] == 3
    assert BLOSUM62[at["D"], at["W"]] == -4
    assert BLOSUM62.sum() == -426
    assert ATCHLEY[:, 0].mean().abs() < 0.01, "the factors are about zero"
    assert ATCHLEY[at["K"], 4] > 0 > ATCHLEY[at["D"], 4], "charge"
