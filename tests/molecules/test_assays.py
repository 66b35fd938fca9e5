"""Drawing tasks of molecules: stratified, without overlap, from any split."""

import numpy as np
import pytest
import torch

from metaprior.errors import DataError
from metaprior.molecules import NCI
from metaprior.molecules.assay_split import gathered
from metaprior.molecules.rows import SparseRows
from metaprior.registry import build, describe

pytest.importorskip("rdkit")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_by_size_every_molecule_is_as_likely_as_any_other():
    rows = SparseRows.of([([at], [1.0]) for at in range(40)], width=40)
    owner = np.repeat([0, 1], [4, 36])
    part = gathered(rows, ["C"] * 40, owner, np.arange(40), np.arange(40) % 2, None, ["small", "large"])

    class Uneven(NCI):
        by_size = True

        def assays(self, split):
            return part

    episode = Uneven(shots=2, queries=1, featuriser={"name": "morgan", "size": 40}).sample(2000, generator())
    small = (episode.labels[:, 0] == 0).double().mean()
    assert 0.07 < small < 0.13, "a tenth of the molecules are of the small assay"


@pytest.fixture(scope="module")
def nci() -> NCI:
    return NCI(shots=16, queries=20, molecules=300)


def test_regression_is_standardised_by_the_support(nci):
    episode = NCI(shots=16, queries=20, molecules=300, kind="regression").sample(5, generator())
    assert torch.allclose(episode.support.y.mean(1), torch.zeros(5, 1), atol=1e-5)
    assert torch.allclose(episode.support.y.std(1, correction=0), torch.ones(5, 1), atol=1e-4)
    assert episode.query.y.std() > 0.5
    assert episode.ways is None


def test_shots_of_a_range_and_those_that_cannot_be(nci):
    source = NCI(shots=(4, 12), molecules=300)
    sizes = source.sample(30, generator()).support.real.sum(1)
    assert sizes.min() >= 4
    assert sizes.max() <= 12
    assert len(set(sizes.tolist())) > 3
    with pytest.raises(DataError, match="the train split has no assay of more than 500 molecules; the most are 180"):
        nci.with_shots(500).sample(1, generator())
    with pytest.raises(DataError, match="shots: expected 2 or more"):
        nci.with_shots(1).sample(1, generator())
    with pytest.raises(DataError, match="split: expected one of"):
        nci.sample(1, generator(), "tests")


def test_a_card_rebuilds_the_source_and_repeats_its_features(nci):
    again = build(describe(nci))
    assert again.data_hash == nci.data_hash
    assert again.inputs == nci.inputs
    assert nci.inputs["featuriser"] == {"name": "morgan", "radius": 2, "size": 2048, "counts": True, "chirality": False}
