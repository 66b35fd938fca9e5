"""The assays of MoleculeNet: which molecules are in which split, and what a look-up of labels would know."""

import numpy as np
import pandas
import pytest
import torch

from metaprior import data
from metaprior.errors import UnknownNameError
from metaprior.molecules import MoleculeNet, ToxicityTasks, assay_protocol
from metaprior.molecules.moleculenet import label_lookup
from metaprior.molecules.nci import nci_smiles

pytest.importorskip("rdkit")

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
    episode = source.sample(2, torch.Generator().manual_seed(0), "test")
    assert episode.support.size == 50
    assert episode.query.size == len(source.assays("test").roles) - len(source.assays("train").labels)
    with pytest.raises(UnknownNameError, match="did you mean 'esol'"):
        MoleculeNet("esl")
