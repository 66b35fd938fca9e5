"""Featurisers: their numbers are those of RDKit, and their settings rebuild them."""

import numpy as np
import pytest
import torch

from metaprior.errors import DataError, MetapriorError, UnknownNameError
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import Descriptors, Joined, Morgan, featuriser_of
from metaprior.molecules.nci import NCI, nci_smiles
from metaprior.nets import default_net, net_for

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import Descriptors as Oracle  # noqa: E402


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path))


def test_descriptors_are_those_of_rdkit():
    found = featurise(["CCO", "c1ccncc1"], {"name": "descriptors", "names": ["MolLogP", "TPSA"]})
    expected = [[f(Chem.MolFromSmiles(text)) for f in (Oracle.MolLogP, Oracle.TPSA)] for text in ("CCO", "c1ccncc1")]
    assert np.allclose(found.rows.dense(torch.arange(2)).numpy(), expected, atol=1e-4)


def test_a_polymer_has_no_descriptors():
    found = featurise(["CCO", "C" * 10_000], "morgan+descriptors")
    assert found.problems == {1: "it has 10000 heavy atoms; descriptors are computed for at most 1000"}


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
    rows = featurise(["CCO", "c1ccccc1C(=O)O"], joined).rows
    alone = [featurise(["CCO", "c1ccccc1C(=O)O"], part).rows for part in parts]
    fitted = joined.fit(rows)
    expected = [part.encode(own.dense(torch.arange(2)), part.fit(own)) for part, own in zip(parts, alone, strict=True)]
    assert joined.encode(rows.dense(torch.arange(2)), fitted).equal(torch.cat(expected, dim=1))


def test_settings_rebuild_the_featuriser():
    for featuriser in (Morgan(radius=3, counts=False), Descriptors(["TPSA"]), Joined(["morgan_bits"])):
        again = featuriser_of(featuriser.settings)
        assert again.settings == featuriser.settings
        assert again.digest == featuriser.digest
    assert Morgan(radius=1).digest != Morgan(radius=2).digest


def test_names_with_a_plus_between_them_are_joined():
    assert (
        featuriser_of("torsions+morgan+descriptors").settings == Joined(["torsions", "morgan", "descriptors"]).settings
    )
    with pytest.raises(UnknownNameError, match="unknown featuriser 'morgn': did you mean 'morgan'"):
        featurise(["C"], "torsions+morgn")


def test_unknown_featurisers_and_settings():
    with pytest.raises(UnknownNameError, match="unknown featuriser 'morgn': did you mean 'morgan'"):
        featurise(["C"], "morgn")
    with pytest.raises(DataError, match="featuriser: 'morgan' cannot be built from"):
        featuriser_of({"name": "morgan", "bits": 3})
    for part in ("graph", "smiles_tokens"):
        spec = NCI(featuriser={"name": "joined", "parts": ["morgan", part]}, molecules=100).spec
        with pytest.raises(MetapriorError, match="net: the inputs of these tasks are for 'ensemble' alone, got 'mlp'"):
            net_for("mlp", spec, headless=True)
        with pytest.raises(
            MetapriorError, match=r"net: .* are for 'ensemble' alone; expected members with a network each"
        ):
            default_net(spec, None)
    with pytest.raises(DataError, match="has no descriptor 'MolWeight'"):
        featurise(["C"], {"name": "descriptors", "names": ["MolWeight"]})
