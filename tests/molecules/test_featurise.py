"""Features are the same in parallel and from the cache, and each is computed once."""

import sqlite3

import numpy as np
import pytest
import torch

from metaprior import data
from metaprior.errors import DataError
from metaprior.molecules import featurise as module
from metaprior.molecules.featurise import featurise
from metaprior.molecules.nci import nci_smiles

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import rdFingerprintGenerator  # noqa: E402

SMILES = ["CCO", "c1ccccc1C(=O)O", "CC(=O)[O-].[Na+]", "C1CC", "CCO"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path))


def dense(found):
    return found.rows.dense(torch.arange(len(found.rows)))


def test_fingerprints_are_those_of_rdkit():
    found = featurise(SMILES, "morgan")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for position, text in enumerate(["CCO", "c1ccccc1C(=O)O", "CC(=O)O"]):
        expected = generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(text)).astype(np.float32)
        assert np.array_equal(dense(found)[position].numpy(), expected)
    assert dense(found)[4].equal(dense(found)[0]), "the same structure twice"
    assert not dense(found)[3].any(), "what is no structure has a row of zeros"
    assert list(found.problems) == [3]
    assert found.notes == {2: "kept CC(=O)O of CC(=O)[O-].[Na+]"}


def test_nothing_is_computed_twice(monkeypatch):
    first = featurise(SMILES)

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "_one", refuse)
    second = featurise(SMILES)
    assert dense(second).equal(dense(first))
    assert (second.smiles, second.notes, second.problems) == (first.smiles, first.notes, first.problems)
    with pytest.raises(AssertionError, match="computed again"):
        featurise(SMILES, "morgan_bits")
    with pytest.raises(AssertionError, match="computed again"):
        featurise(SMILES, salts="keep")


def test_a_damaged_cache_is_told_and_gone_without(capsys):
    path = data.cache_folder() / "molecules.sqlite"
    path.write_bytes(b"no database" * 100)
    assert featurise(["CCO"]).smiles == ["CCO"]
    assert "going on without the cache" in capsys.readouterr().err
    path.unlink()
    featurise(["CCO"])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE rows SET value = ?", (b"short",))
    connection.close()
    assert featurise(["CCO"]).smiles == ["CCO"]


def test_processes_give_what_one_does():
    smiles = nci_smiles(1200)
    one = featurise(smiles, cache=False, processes=1)
    two = featurise(smiles, cache=False, processes=2)
    assert one.smiles == two.smiles
    assert one.problems == two.problems
    assert dense(one).equal(dense(two))


def test_molecules_of_any_size_and_kind():
    assert featurise(["C" * 10_000, Chem.MolFromSmiles("CCO"), None, float("nan")]).problems == {
        2: "the structure is empty",
        3: "the structure is empty",
    }
    with pytest.raises(DataError, match="molecules: expected SMILES or RDKit Mols, got a int"):
        featurise([3])
