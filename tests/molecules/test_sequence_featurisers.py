"""Sequences as numbers: aligned, masked, counted, and the same again from what a card says."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules.amino_acids import ALPHABET, ATCHLEY, BLOSUM62
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.sequence_featurisers import Aligned, Composition, KMers

NAMES = ("blosum", "one_hot", "physico_chemical", "kmers", "composition", "blosum+kmers")
SEQUENCES = st.text(ALPHABET, min_size=1, max_size=30)


def encoded(featuriser, *sequences):
    featuriser = featuriser_of(featuriser)
    rows = featurise(sequences, featuriser).rows
    return featuriser.encode(rows.dense(torch.arange(len(rows))))


@pytest.mark.parametrize("name", NAMES)
def test_settings_rebuild_a_featuriser_and_its_numbers(name):
    featuriser = featuriser_of(name)
    again = featuriser_of(json.loads(json.dumps(featuriser.settings)))
    x = encoded(featuriser, "CASSIRSSYEQYF", "GILGFVFTL")
    assert x.shape == (2, featuriser.encoded_width)
    assert featuriser.reads == again.reads == "sequences"
    assert torch.equal(x, encoded(again, "CASSIRSSYEQYF", "GILGFVFTL"))


@settings(deadline=None)
@given(SEQUENCES, st.sampled_from(["ends", "left", "right"]), st.integers(1, 40))
def test_every_letter_that_has_a_place_is_in_it(sequence, align, size):
    x = encoded(Aligned("one_hot", size, align), sequence)[0].view(size, 21)
    mask = x[:, -1].bool()
    kept = min(len(sequence), size)
    assert mask.sum() == kept
    assert torch.equal(x[:, :20].sum(1), x[:, -1])
    spelt = "".join(ALPHABET[at] for at in x[mask, :20].argmax(1).tolist())
    if len(sequence) <= size:
        assert spelt == sequence
    else:
        first = (size + 1) // 2
        assert spelt == sequence[:first] + sequence[len(sequence) - (size - first) :]
    ends = {"left": mask[:kept], "right": mask[size - kept :], "ends": mask[: (kept + 1) // 2]}
    assert ends[align].all()
    if align == "ends" and kept > 1:
        assert mask[-1], "the last letters line up"


def test_letters_become_rows_of_the_tables():
    x = encoded(Aligned("blosum", 3, "left"), "AW")[0].view(3, 21)
    at = ALPHABET.index("W")
    assert torch.equal(x[1, :20], BLOSUM62[at] / 4)
    assert not x[2].any()
    x = encoded(Aligned("physico_chemical", 3, "left"), "AW")[0].view(3, 6)
    assert torch.allclose(x[1, :5], ATCHLEY[at] / 2)


@settings(deadline=None)
@given(SEQUENCES, st.integers(1, 3))
def test_words_are_counted(sequence, k):
    counts = encoded(KMers(k), sequence)[0].expm1().round()
    assert counts.sum() == max(0, len(sequence) - k + 1)
    for start in range(len(sequence) - k + 1):
        word = sequence[start : start + k]
        column = sum(ALPHABET.index(letter) * 20 ** (k - 1 - place) for place, letter in enumerate(word))
        assert counts[column] == sum(sequence[at : at + k] == word for at in range(len(sequence)))


@settings(deadline=None)
@given(SEQUENCES)
def test_composition_knows_no_order(sequence):
    one, other = encoded(Composition(), sequence, sequence[::-1])
    assert torch.allclose(one, other)
    assert one[:20].sum() == pytest.approx(1, abs=1e-5)


def test_bad_sequences_are_known_by_their_position_and_long_ones_are_noted():
    found = featurise(["CASSF", "CA5SF", None, "", "A" * 30], "blosum")
    assert found.problems == {
        1: "'CA5SF' has '5' at position 3; expected letters of the 20 amino acids, ACDEFGHIKLMNPQRSTVWY",
        2: "the sequence is empty",
        3: "the sequence is empty",
    }
    assert found.notes == {4: f"6 letters in the middle of {'A' * 30} were left out"}
    assert found.smiles[0] == "CASSF"


def test_settings_that_cannot_be():
    for wrong in ({"name": "aligned", "letters": "runes"}, {"name": "aligned", "align": "middle"}):
        with pytest.raises(UnknownNameError):
            featuriser_of(wrong)
    with pytest.raises(DataError, match="k: expected 1 to 4 letters, got 7"):
        KMers(7)
    with pytest.raises(DataError, match="parts: expected featurisers of molecules or of sequences, got those of"):
        featuriser_of({"name": "joined", "parts": ["morgan", "kmers"]}).width  # noqa: B018
