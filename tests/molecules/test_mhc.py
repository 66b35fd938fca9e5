"""Alleles as tasks: one scale for all of them, so that one can be predicted for without any measurement."""

import numpy as np
import pytest
import torch

from metaprior import MAML, Ridge, adapt, data, save
from metaprior.errors import DataError
from metaprior.estimators import PriorRegressor
from metaprior.molecules import PeptideMHC, assay_protocol
from metaprior.molecules.mhc import log_affinity
from metaprior.nets import MLP

SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def _here(mhc_folder, monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(mhc_folder))


@pytest.fixture(scope="module")
def source():
    return PeptideMHC(shots=(0, 8), queries=8, least=5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def peptides(source, split):
    part = source._split(split)
    return {part.smiles[row] for row in part.molecule.tolist()}


def test_alleles_and_peptides_are_apart(source):
    names = [source.names(split) for split in SPLITS]
    assert sum(map(len, names)) == 19, "two alleles share a pseudosequence, and a serotype has none"
    texts = [peptides(source, split) for split in SPLITS]
    assert sum(map(len, texts)) == len(set().union(*texts))
    assert max(map(len, set().union(*texts))) <= 15
    assert "LLLLLLLLL" not in set().union(*texts), "bounds are no measurements"
    shared = PeptideMHC(peptides="shared", least=5)
    assert peptides(shared, "train") & peptides(shared, "test")


def test_values_are_on_one_scale(source):
    part = source._split("train")
    episode = source.episode("train", 0, 8, generator())
    values = episode.query.y.flatten() * -1.3 + 3.4
    known = part.values[: int(part.counts[0])]
    assert all((value - known).abs().min() < 1e-4 for value in values)
    assert log_affinity(np.array([1e-3, 1e6])).tolist() == pytest.approx([0, np.log10(50_000)])
    assert (part.labels == (part.values < np.log10(500))).all(), "strata are binders and others"


def test_an_allele_without_measurements(source):
    episode = source.episode("test", 0, 0, generator())
    assert episode.support.size == 0
    prior = MAML.for_tasks(source.spec, MLP(source.spec.x_shape[0], 1, hidden=(8,)))
    assert torch.isfinite(prior.loss(episode)), "no example is no step"
    for subject in (prior, Ridge.for_tasks(source.spec, MLP(source.spec.x_shape[0], hidden=(8,)))):
        found = assay_protocol(subject, source, sizes=[0, 4], draws=2)
        assert {"spearman", "rmse"} <= set(found.rows[0])
        assert all(np.isfinite(row["rmse"]) for row in found.rows)


def test_a_card_knows_the_training_alleles(source):
    described = source.inputs["about"]
    assert set(described["alleles"]) == set(source.names("train"))
    assert described["column"] == "allele"
    assert source.inputs["target"] == {"mean": 3.4, "scale": -1.3, "logarithm": True}
    assert source.inputs["kind"] == "sequences"
    assert source.inputs["rdkit"] is None


def test_classes_are_binders():
    source = PeptideMHC(shots=4, kind="classification", least=5, about="task")
    episode = source.sample(3, generator())
    assert set(episode.support.y.flatten().tolist()) == {0, 1}
    assert episode.about.shape == (3, source.spec.about)
    assert source.inputs["target"] is None
    with pytest.raises(DataError, match="peptides: expected 'disjoint' or 'shared', got 'all'"):
        PeptideMHC(peptides="all")


REAL = data.find("pmhc", "curated_training_data.no_mass_spec.csv.bz2")


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="no peptide-MHC data")
def test_real_alleles(monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(REAL.parent.parent))
    source = PeptideMHC(featuriser="composition")
    assert [len(source.names(split)) for split in SPLITS] == [76, 8, 18]
    assert sum(source.sizes("test")) == 8899


def test_the_estimator_takes_affinities_as_files_do(tmp_path):
    """Values in nM in, values in nM out, and deviations in powers of ten."""
    source = PeptideMHC(shots=8, queries=8, least=5, about="none")
    prior = Ridge.for_tasks(source.spec, MLP(source.spec.x_shape[0], hidden=(8,)))
    save(prior, tmp_path / "run", inputs=source.inputs)
    peptides = ["LLAAGGGGG", "GGGGGGGGG", "LLLLAGGGG", "GALLGGGGG", "LGGGGGGGG", "GGAGGGGGG", "GGLLGGGGG", "GGGGGALLL"]
    values = [20_000 / 10 ** min(4, text.count("L") + text.count("A")) for text in peptides]
    (tmp_path / "support.csv").write_text(
        "peptide,affinity\n" + "".join(f"{text},{value}\n" for text, value in zip(peptides, values, strict=True))
    )
    (tmp_path / "query.csv").write_text("peptide\nLLGGGGGGG\nGGGGGGGGA\n")
    files = adapt(tmp_path / "run", tmp_path / "support.csv", tmp_path / "query.csv")
    regressor = PriorRegressor(tmp_path / "run").fit(peptides, values)
    found, spread = regressor.predict(["LLGGGGGGG", "GGGGGGGGA"], return_std=True)
    assert found == pytest.approx(files["prediction"], rel=1e-4)
    assert spread == pytest.approx(files["uncertainty"], rel=1e-4)
    assert (spread > 0).all()
    with pytest.raises(ValueError, match="y: expected positive numbers, since their logarithm is predicted; got -5"):
        regressor.fit(peptides, [-5, *values[1:]])
