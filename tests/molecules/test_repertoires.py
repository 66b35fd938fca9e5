"""Repertoires: many sequences in one cell of a table."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior import ProtoNet, acquire, adapt
from metaprior.molecules import AssayTable
from metaprior.molecules.amino_acids import ALPHABET
from metaprior.molecules.featurise import featurise
from metaprior.molecules.own_rows import similarity
from metaprior.molecules.repertoires import LETTERS, Repertoire

READS = {"name": "repertoire", "sequences": 4}


def ids(text, sequences=4):
    found = featurise([text], Repertoire(sequences))
    assert not found.problems
    return found.rows.dense(torch.tensor([0])).view(sequences, LETTERS).long()


@given(st.lists(st.text(ALPHABET, min_size=1, max_size=LETTERS), min_size=1, max_size=4), st.sampled_from("; ,|\n\t"))
def test_every_letter_is_at_its_place(sequences, between):
    found = ids(between.join(sequences))
    for at, text in enumerate(sequences):
        assert "".join(ALPHABET[one - 1] for one in found[at] if one) == text
        assert (found[at, len(text) :] == 0).all()
    assert (found[len(sequences) :] == 0).all()


def test_how_it_is_written():
    found = featurise([" cassf ;; CASSLF |CAF"], READS)
    assert found.smiles == ["CASSF;CASSLF;CAF"]
    long = "C" + "A" * 30 + "F"
    kept = ids(long)[0]
    assert (kept > 0).all()
    assert [ALPHABET[int(kept[at]) - 1] for at in (0, -1)] == ["C", "F"]


def test_what_is_wrong_is_told():
    found = featurise(["CASSF;CA*F", "", ";", "CAF " * 6, None], READS)
    assert found.problems[0].startswith("sequence 2 of the repertoire: 'CA*F' has '*' at position 3")
    assert [found.problems[at] for at in (1, 2, 4)] == ["the repertoire is empty"] * 3
    assert found.notes == {3: "2 sequences beyond the first 4 were left out"}
    found = featurise(["C" + "A" * 30 + "F;CASSF", "CASSF"], READS)
    assert found.notes == {
        0: "letters in the middle of 1 sequences longer than 28 were left out",
        1: "a repertoire of one sequence",
    }


def test_repertoires_that_share_sequences_are_alike():
    one, other = featurise(["CASSLLF;CAGGYYF", "CDDWWEF"], READS), featurise(["CAGGYYF;CASSLLF"], READS)
    near, far = similarity(one, other, {"featuriser": READS})
    assert near > 0.7
    assert far == 0


def test_from_a_table_to_predictions(tmp_path):
    tasks = AssayTable("examples/repertoires_old.csv", shots=8, by="random", featuriser={"name": "repertoire"})
    assert sorted(tasks.names("train")) == [f"disease_{letter}" for letter in "abcd"]
    prior = ProtoNet.for_tasks(tasks.spec)
    acquire(prior, tasks, steps=2, validations=0, tasks_per_step=2, out=tmp_path / "run")
    scored = adapt(tmp_path / "run", "examples/repertoires_labelled.csv", "examples/repertoires_new.csv")
    assert len(scored.rows) == 30
    assert {"prediction", "similarity_to_support"} <= set(scored.columns)
    with open("examples/repertoires_new.csv") as file:
        (tmp_path / "bad.csv").write_text(file.read() + "q99,CASSF;CAXF\n")
    with pytest.raises(Exception, match=r"query: row 32 of .*: sequence 2 of the repertoire: 'CAXF' has 'X'"):
        adapt(tmp_path / "run", "examples/repertoires_labelled.csv", tmp_path / "bad.csv")
