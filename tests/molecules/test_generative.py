"""Features of a generative prior as inputs of any other, the same wherever they are computed."""

from pathlib import Path

import pytest
import torch

from metaprior import Ridge, acquire, save
from metaprior.errors import DataError
from metaprior.molecules import (
    NCI,
    Generative,
    GenerativePrior,
    MoleculeDiffusion,
    ResidueTokens,
    SequenceDiffusion,
    embed,
)
from metaprior.molecules.amino_acids import ALPHABET
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.conformers import Conformer
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.nets import MLP, Transformer

pytest.importorskip("rdkit")
READS = {"name": "conformer", "atoms": 60}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    prior = MoleculeDiffusion(ConformerNet(width=4, layers=2), outputs=2, levels=20, batch=8)
    out = tmp_path_factory.mktemp("generative")
    acquire(prior, NCI(molecules=40, featuriser=READS), steps=2, validations=0, out=out)
    return str(out)


def test_features_are_those_of_the_prior(folder):
    featuriser = Generative(folder, noise_level=0.2, layer=1)
    found = featurise(["CCO", "C1CC", "CNC"], featuriser, cache=False)
    conformers, _ = embed(["CCO", "CNC"], Conformer(atoms=60), cache=False)
    expected = featuriser._loaded.encode(conformers, 0.2, 1)
    assert torch.allclose(found.rows.dense(torch.tensor([0, 2])), expected, atol=1e-5)
    assert list(found.problems) == [1]
    assert isinstance(featuriser._loaded, GenerativePrior)


def test_any_prior_takes_them(folder):
    source = NCI(molecules=40, shots=6, queries=4, featuriser={"name": "generative", "prior": folder})
    found = acquire(Ridge.for_tasks(source.spec), source, steps=2, validations=1, validation_tasks=2)
    assert 0 <= found.log[-1].validation <= 1


def test_settings_hold_the_weights(folder, tmp_path):
    settings = Generative(folder).settings
    assert featuriser_of(settings).settings == settings
    with pytest.raises(DataError, match="are others than those that features were recorded with"):
        Generative(folder, weights="0" * 16).width  # noqa: B018
    save(Ridge(MLP(3)), tmp_path, inputs={"kind": "molecules"})
    with pytest.raises(DataError, match="is a Ridge; expected a generative prior"):
        Generative(str(tmp_path)).width  # noqa: B018
    save(MoleculeDiffusion(ConformerNet(width=4, layers=1)), tmp_path)
    with pytest.raises(DataError, match="was not acquired on molecules or sequences"):
        Generative(str(tmp_path))._reader  # noqa: B018


def test_the_generator_is_found_from_anywhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(folder).parent)
    settings = Generative(Path(folder).name).settings
    monkeypatch.chdir(tmp_path)
    assert featuriser_of(settings).settings == Generative(folder).settings
    with pytest.raises(
        DataError, match=r"featuriser: 'generative' makes features by the generator nowhere: .* no such"
    ):
        Generative("nowhere").width  # noqa: B018


def test_sequences_have_features_too(tmp_path):
    net = Transformer(12, 20, width=4, layers=1, heads=1)
    prior = SequenceDiffusion(net, tuple(ALPHABET)).eval()
    save(prior, tmp_path, inputs={"kind": "sequences", "featuriser": {"name": "residue_tokens", "size": 12}})
    featuriser = Generative(str(tmp_path), noise_level=0.5)
    found = featurise(["CASSF", "CASSFCASSFCASSF", "cavs"], featuriser)
    assert found.problems == {1: "it has 15 tokens; at most 12 were asked for"}
    rows = featurise(["CASSF", "CAVS"], ResidueTokens(12)).rows.dense(torch.arange(2))
    assert torch.allclose(found.rows.dense(torch.tensor([0, 2])), prior.encode(rows, 0.5), atol=1e-6)
