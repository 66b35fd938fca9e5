"""Epitopes as tasks: what is apart in a strict fold, and where negatives come from."""

import pytest
import torch

from metaprior import MAML, Hypernet, data
from metaprior.errors import DataError
from metaprior.molecules import Titan, assay_protocol
from metaprior.molecules.sequence_source import encode_descriptions
from metaprior.nets import MLP
from metaprior.registry import build, describe

SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def _here(titan_folder, monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(titan_folder))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def members(source, split):
    """Return for each epitope its binders and the others."""
    part = source._split(split)
    found = {}
    for at, name in enumerate(part.names):
        mine = slice(int(part.starts[at]), int(part.starts[at] + part.counts[at]))
        texts = [part.smiles[row] for row in part.molecule[mine].tolist()]
        labels = part.labels[mine].tolist()
        found[name] = [
            {text for text, label in zip(texts, labels, strict=True) if label == wanted} for wanted in (1, 0)
        ]
    return found


def texts(source, split):
    """Return the receptors of a split."""
    return set().union(*(set().union(*pair) for pair in members(source, split).values()))


@pytest.mark.parametrize("negatives", ["given", "shuffled"])
@pytest.mark.parametrize("receptor", ["cdr3", "full"])
def test_no_epitope_and_no_receptor_is_in_two_splits(negatives, receptor):
    source = Titan(negatives=negatives, receptor=receptor)
    names = [set(source.names(split)) for split in SPLITS]
    receptors = [texts(source, split) for split in SPLITS]
    cdr3 = [{text.removesuffix("GPGTRLTVT").split("ECRS")[-1] for text in found} for found in receptors]
    for parts in (names, receptors, cdr3):
        assert sum(map(len, parts)) == len(set().union(*parts))
    assert list(map(len, names)) == [18, 2, 4]
    assert len(texts(Titan(), "test")) == 4 * 12, "the test is what the authors made it"
    assert set(source.inputs["reference"]) == receptors[0], "a card names receptors of acquisition alone"


def test_shuffled_negatives_bind_others_and_are_recorded():
    source = Titan(negatives="shuffled", ratio=2.0, seed=3)
    for split in SPLITS:
        found = members(source, split)
        every = set().union(*(binders for binders, _ in found.values()))
        for binders, others in found.values():
            assert not binders & others
            assert others <= every, "each binds another epitope of the split"
            assert len(others) == min(2 * len(binders), len(every - binders))
    again = build(describe(source))
    assert again.data_hash == source.data_hash
    assert Titan(negatives="shuffled", ratio=2.0, seed=4).data_hash != source.data_hash
    assert members(Titan(), "test") != members(source, "test")


def test_supports_are_half_binders_and_zero_shot_has_none():
    episode = Titan(shots=6, queries=5).sample(3, generator())
    assert episode.support.y.sum(1).tolist() == [3, 3, 3]
    assert Titan(shots=0).sample(3, generator(), "test").support.size == 0
    sizes = Titan(shots=(0, 6)).sample(40, generator()).support.real.sum(1)
    assert sizes.min() == 0
    assert sizes.max() == 6


def test_the_epitope_goes_where_it_is_told_to():
    plain, task, beside = (Titan(shots=4, queries=3, about=about) for about in ("none", "task", "input"))
    wanted = encode_descriptions(task.names("test"), Titan.describer)
    assert plain.spec.about is None
    assert task.spec.about == wanted.shape[1] == beside.spec.x_shape[0] - plain.spec.x_shape[0]
    episode = task.episode("test", 2, 4, generator())
    assert torch.equal(episode.about, wanted[2:3])
    assert episode.support.x.shape[-1] == task.spec.x_shape[0]
    episode = beside.episode("test", 2, 4, generator())
    assert episode.about is None
    assert torch.equal(episode.query.x[0, :, -wanted.shape[1] :], wanted[2].expand(episode.query.size, -1))


def test_a_hypernetwork_is_told_the_epitope():
    source = Titan(shots=4, queries=6, about="task", featuriser="composition")
    prior = Hypernet.for_tasks(source.spec, MLP(21, 2, hidden=(4,)))
    assert prior.about_size == source.spec.about
    episode = source.sample(2, generator())
    prior.loss(episode).backward()
    assert prior.described.grad.abs().sum() > 0


def test_the_protocol_has_the_metrics_of_the_field():
    source = Titan(featuriser="composition", queries=None)
    prior = MAML.for_tasks(source.spec, MLP(21, 2, hidden=(4,)))
    found = assay_protocol(prior, source, sizes=[0, 8], draws=2)
    assert [row["support"] for row in found.rows] == [0, 8]
    assert {"auroc", "auroc_01", "calibration_error"} <= set(found.rows[0])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"fold": 10}, "fold: expected 0 to 9, got 10"),
        ({"receptor": "alpha"}, "receptor: expected 'cdr3' or 'full', got 'alpha'"),
        ({"negatives": "none"}, "negatives: expected 'given' or 'shuffled', got 'none'"),
        ({"ratio": 0}, "ratio: expected a positive number, got 0"),
    ],
)
def test_arguments_that_cannot_be(wrong, told):
    with pytest.raises(DataError, match=told):
        Titan(**wrong)
    with pytest.raises(DataError, match="about: expected 'task', 'input' or 'none', got 'query'"):
        Titan(about="query").spec  # noqa: B018
    with pytest.raises(DataError, match=r"tcr_titan: strict_split/fold1/train\+covid.csv of .* cannot be read"):
        Titan(fold=1).names("train")


REAL = data.find("tcr_titan", "titan_datasets.zip")


@pytest.mark.skipif(REAL is None, reason="no TITAN data")
def test_real_folds(monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(REAL.parent.parent))
    source = Titan(featuriser="composition")
    assert [len(source.names(split)) for split in SPLITS] == [155, 17, 20]
    assert sum(source.sizes("test")) == 4660
    apart = [texts(source, split) for split in SPLITS]
    assert sum(map(len, apart)) == len(set().union(*apart))
