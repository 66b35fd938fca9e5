"""Features are those of RDKit, the same in parallel and from the cache, and each is computed once."""

import sqlite3

import numpy as np
import pytest
import torch

from metaprior import data
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules import featurise as module
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import Descriptors, Joined, Morgan, featuriser_of
from metaprior.molecules.nci import nci_smiles

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import Descriptors as Oracle  # noqa: E402
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


def test_descriptors_are_those_of_rdkit():
    found = featurise(["CCO", "c1ccncc1"], {"name": "descriptors", "names": ["MolLogP", "TPSA"]})
    expected = [[f(Chem.MolFromSmiles(text)) for f in (Oracle.MolLogP, Oracle.TPSA)] for text in ("CCO", "c1ccncc1")]
    assert np.allclose(dense(found).numpy(), expected, atol=1e-4)


def test_descriptors_are_standardised_by_what_they_were_fitted_to():
    names = ["MolWt", "RingCount"]
    rows = featurise(nci_smiles(200), Descriptors(names)).rows
    fitted = Descriptors(names).fit(rows)
    encoded = Descriptors(names).encode(rows.dense(torch.arange(200)), fitted)
    assert encoded.mean(0).abs().max() < 0.2
    assert ((encoded.std(0) > 0.7) & (encoded.std(0) < 1.5)).all()
    assert Descriptors(names).encode(torch.tensor([[float("nan"), 1e6]]), fitted).tolist() == [[0.0, 5.0]]
    with pytest.raises(DataError, match="fitted: descriptors are standardised"):
        Descriptors(names).encode(torch.zeros(1, 2))


def test_joined_features_are_those_of_the_parts():
    parts = [Morgan(size=64), Descriptors(["MolWt"])]
    joined = Joined([part.settings for part in parts])
    rows = featurise(SMILES[:2], joined).rows
    alone = [featurise(SMILES[:2], part).rows for part in parts]
    fitted = joined.fit(rows)
    expected = [part.encode(own.dense(torch.arange(2)), part.fit(own)) for part, own in zip(parts, alone, strict=True)]
    assert joined.encode(rows.dense(torch.arange(2)), fitted).equal(torch.cat(expected, dim=1))


def test_settings_rebuild_the_featuriser():
    for featuriser in (Morgan(radius=3, counts=False), Descriptors(["TPSA"]), Joined(["morgan_bits"])):
        again = featuriser_of(featuriser.settings)
        assert again.settings == featuriser.settings
        assert again.digest == featuriser.digest
    assert Morgan(radius=1).digest != Morgan(radius=2).digest


def test_unknown_featurisers_and_settings():
    with pytest.raises(UnknownNameError, match="unknown featuriser 'morgn': did you mean 'morgan'"):
        featurise(["C"], "morgn")
    with pytest.raises(DataError, match="featuriser: 'morgan' cannot be built from"):
        featuriser_of({"name": "morgan", "bits": 3})
    with pytest.raises(DataError, match="has no descriptor 'MolWeight'"):
        featurise(["C"], {"name": "descriptors", "names": ["MolWeight"]})


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
