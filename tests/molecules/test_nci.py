"""Descriptors of molecules that come with RDKit, as tasks."""

import pytest
import torch

from metaprior.molecules import NCI

pytest.importorskip("rdkit")


@pytest.fixture(scope="module")
def nci() -> NCI:
    return NCI(shots=16, queries=20, molecules=300)


def test_descriptors_as_tasks(nci):
    for split in ("train", "valid", "test"):
        episode = nci.sample(5, torch.Generator().manual_seed(0), split)
        assert episode.support.x.shape == (5, 16, 2048)
        assert episode.query.x.shape == (5, 20, 2048)
        assert set(episode.support.y.flatten().tolist()) == {0, 1}
    names = [set(nci.names(split)) for split in ("train", "valid", "test")]
    molecules = [set(nci.assays(split).smiles) for split in ("train", "valid", "test")]
    for parts in (names, molecules):
        assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts))
    assert nci.spec.pool == 2 * len(names[0])
    assert nci.with_shots(8).sample(2, torch.Generator().manual_seed(0)).support.size == 8


def test_labels_are_the_side_of_the_median(nci):
    part = nci.assays("test")
    for at in range(len(part.names)):
        mine = slice(int(part.starts[at]), int(part.starts[at] + part.counts[at]))
        assert part.values[mine][part.labels[mine] == 1].min() > part.values[mine][part.labels[mine] == 0].max()
