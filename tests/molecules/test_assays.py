"""Drawing tasks of molecules: stratified, without overlap, from any split."""

import warnings

import numpy as np
import pandas
import pytest
import torch

from metaprior import MAML, ProtoNet, Ridge, acquire, data
from metaprior.controls import FineTune
from metaprior.errors import DataError, UnknownNameError
from metaprior.hyper import Hypernet
from metaprior.molecules import NCI, AssayTable, FSMol, MoleculeNet, ToxicityTasks, assay_protocol
from metaprior.molecules.assays import gathered
from metaprior.molecules.controls import control
from metaprior.molecules.fsmol import read_fsmol
from metaprior.molecules.moleculenet import label_lookup
from metaprior.molecules.nci import nci_smiles
from metaprior.molecules.rows import SparseRows
from metaprior.nets import MLP
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


def test_descriptors_as_tasks(nci):
    for split in ("train", "valid", "test"):
        episode = nci.sample(5, generator(), split)
        assert episode.support.x.shape == (5, 16, 2048)
        assert episode.query.x.shape == (5, 20, 2048)
        assert set(episode.support.y.flatten().tolist()) == {0, 1}
    names = [set(nci.names(split)) for split in ("train", "valid", "test")]
    molecules = [set(nci.assays(split).smiles) for split in ("train", "valid", "test")]
    for parts in (names, molecules):
        assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts))
    assert nci.spec.pool == 2 * len(names[0])
    assert nci.with_shots(8).sample(2, generator()).support.size == 8


def test_labels_are_the_side_of_the_median(nci):
    part = nci.assays("test")
    for at in range(len(part.names)):
        mine = slice(int(part.starts[at]), int(part.starts[at] + part.counts[at]))
        assert part.values[mine][part.labels[mine] == 1].min() > part.values[mine][part.labels[mine] == 0].max()


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


@pytest.mark.parametrize(
    "prior",
    [
        lambda spec: ProtoNet.for_tasks(spec, MLP(2048, hidden=(8,))),
        lambda spec: Ridge.for_tasks(spec, MLP(2048, hidden=(8,))),
        lambda spec: MAML.for_tasks(spec, MLP(2048, 2, hidden=(8,))),
        lambda spec: FineTune.for_tasks(spec, MLP(2048, hidden=(8,)), steps=2),
        lambda spec: Hypernet.for_tasks(spec, MLP(2048, 2, hidden=(8,))),
    ],
    ids=["protonet", "ridge", "maml", "fine_tune", "hypernet"],
)
def test_the_priors_of_the_library_run_unchanged(nci, prior):
    acquired = acquire(prior(nci.spec), nci, steps=2, tasks_per_step=2, validations=1, validation_tasks=3)
    found = assay_protocol(acquired.prior, nci, sizes=[16], draws=1, tasks=2)
    assert found.rows[0]["tasks"] == 2


@pytest.mark.parametrize("name", ["random_forest", "knn", "linear", "tanimoto_gp"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_controls_learn_something(name, kind):
    source = NCI(molecules=300, kind=kind)
    row = assay_protocol(control(name, kind), source, sizes=[32], draws=2, tasks=4).rows[0]
    # Neighbours say little of a value from 32 molecules; that it is better than a wrong guess shows in ranks alone.
    assert row["delta_auprc" if kind == "classification" else "r2"] > (-0.3 if name == "knn" else 0.05)


def old_assays(tmp_path, wide: bool):
    smiles = nci_smiles(120)
    rows = []
    for at, text in enumerate(smiles):
        label = int("N" in text)
        if wide:
            rows.append([text, f"mol{at}", *[str((label + k) % 2) if (at + k) % 3 else "" for k in range(5)]])
        else:
            rows += [[text, f"assay{k}", str((label + k) % 2)] for k in range(5) if (at + k) % 3]
    header = ["SMILES", "name", *[f"assay{k}" for k in range(5)]] if wide else ["SMILES", "assay", "active"]
    path = tmp_path / "old.csv"
    path.write_text("\n".join(",".join(row) for row in [header, *rows]))
    return path


@pytest.mark.parametrize("wide", [True, False])
def test_ones_own_assays(tmp_path, wide):
    path = old_assays(tmp_path, wide)
    source = AssayTable(path, shots=8) if wide else AssayTable(path, task="assay", target="active", shots=8)
    assert sorted(name for split in ("train", "valid", "test") for name in source.names(split)) == [
        f"assay{k}" for k in range(5)
    ]
    assert source.sizes("train") == [80] * 3, "a blank is a missing label"
    part = source.assays("train")
    for at, name in enumerate(part.names):
        for row in range(int(part.starts[at]), int(part.starts[at] + part.counts[at])):
            smiles = part.smiles[int(part.molecule[row])]
            assert (
                int(part.labels[row]) == (int("N" in smiles or "n" in smiles.replace("[nH]", "n")) + int(name[-1])) % 2
                or "n" in smiles
            )
    acquire(ProtoNet.for_tasks(source.spec, MLP(2048, hidden=(8,))), source, steps=1, validations=0)


def test_ones_own_assays_that_cannot_be_used(tmp_path):
    path = old_assays(tmp_path, wide=False)
    with pytest.raises(DataError, match=r"file: .* has no column 'essay': did you mean 'assay'"):
        _ = AssayTable(path, task="essay", target="active").spec
    path.write_text(path.read_text() + "\nC1CC,assay0,1")
    with pytest.raises(DataError, match=r"file: row 402 of .*: 'C1CC' is not a SMILES"):
        _ = AssayTable(path, task="assay", target="active").spec
    with pytest.warns(UserWarning, match="skipped 1 bad rows"):
        _ = AssayTable(path, task="assay", target="active", skip_bad=True).spec


def test_fsmol_files(tmp_path, monkeypatch):
    lines = [
        '{"SMILES": "CO", "Property": "1.0", "Assay_ID": "A", "LogRegressionProperty": "6.5", "fingerprints": [0]}',
        '{"SMILES": "CCO", "Property": "0.0", "Assay_ID": "A", "LogRegressionProperty": ""}',
    ]
    (tmp_path / "A.jsonl").write_text("\n".join(lines))
    (tmp_path / "a.csv").write_text("SMILES,Property,Assay_ID,LogRegressionProperty\nCO,1,A,6.5\nCCO,0,A,\n")
    for path in (tmp_path / "A.jsonl", tmp_path / "a.csv", tmp_path):
        found = read_fsmol(path)
        assert (found["smiles"], found["label"], found["assay"]) == (["CO", "CCO"], [1, 0], ["A", "A"])
        assert np.array_equal(found["value"], [6.5, np.nan], equal_nan=True)
    (tmp_path / "b.csv").write_text("SMILES,Property\nCO,1\n")
    with pytest.raises(DataError, match=r"path: line 2 of .* is no molecule of FS-Mol"):
        read_fsmol(tmp_path / "b.csv")
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "empty"))
    with pytest.raises(DataError, match="run 'metaprior data get fsmol'"):
        _ = FSMol().spec
    with pytest.raises(DataError, match="fsmol: cannot be downloaded as single files"):
        data.get("fsmol")


@pytest.mark.slow
@pytest.mark.skipif(data.find("fsmol", "fsmol_valid.csv.gz") is None, reason="FS-Mol is not here")
def test_fsmol_as_it_is():
    source = FSMol(shots=16)
    assert len(source.names("valid")) == 39
    assert sum(source.sizes("valid")) == 14_311
    episode = source.episode("valid", 0, 16, generator())
    assert episode.support.size + episode.query.size == source.sizes("valid")[0]


needs_moleculenet = pytest.mark.skipif(
    data.find("moleculenet", "sider.csv.gz") is None, reason="MoleculeNet is not here"
)


@needs_moleculenet
def test_a_look_up_of_labels_tells_the_modes_apart():
    scores = {}
    for mode in ("legacy", "disjoint"):
        source = ToxicityTasks("sider", mode)
        found = assay_protocol(label_lookup(source), source, sizes=[20], draws=1)
        scores[mode] = found.rows[0]["auroc"]
    assert scores["legacy"] > 0.8, "what legacy scores give away without any model"
    assert scores["disjoint"] == 0.5


def test_molecules_of_sparse_assays_follow_them(tmp_path, monkeypatch):
    """What a test assay of MUV has is in the test, and nowhere else; the same structure written twice is one."""
    smiles = [text for text in nci_smiles(200) if not set(text) & set(".+-@/\\")][:60]
    table = pandas.DataFrame({f"MUV-{at}": np.nan for at in range(17)}, index=range(60)).assign(smiles=smiles)
    for at in range(60):
        table.loc[at, [f"MUV-{at % 17}", f"MUV-{(at + 7) % 17}"]] = at % 2
    table.loc[3, "smiles"] = table.loc[13, "smiles"]  # of a training assay, and of a test assay
    (tmp_path / "moleculenet").mkdir()
    table.to_csv(tmp_path / "moleculenet" / "muv.csv", index=False)
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    source = ToxicityTasks("muv", shots=2)
    assert [len(source.assays(split).names) for split in ("train", "valid", "test")] == [9, 3, 5]
    found = {split: set(source.assays(split).smiles) for split in ("train", "valid", "test")}
    assert not found["train"] & found["test"]
    assert not found["train"] & found["valid"]
    assert not found["valid"] & found["test"]
    tested = table[table[[f"MUV-{at}" for at in range(12, 17)]].notna().any(axis=1)]
    assert len(found["test"]) == tested["smiles"].nunique()


@needs_moleculenet
def test_one_property_from_few_labels():
    source = MoleculeNet("freesolv", shots=50)
    episode = source.sample(2, generator(), "test")
    assert episode.support.size == 50
    assert episode.query.size == len(source.assays("test").roles) - len(source.assays("train").labels)
    with pytest.raises(UnknownNameError, match="did you mean 'esol'"):
        MoleculeNet("esl")


def test_one_class_of_queries_has_no_auroc_and_warns_of_nothing():
    from metaprior.molecules.protocol import scores_of

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores_of(torch.tensor([0.2, 0.9]), torch.tensor([1, 1]))
    assert found["delta_auprc"] == 0
    assert np.isnan(found["auroc"])
