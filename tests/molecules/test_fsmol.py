"""FS-Mol, as its files are written."""

import gzip

import numpy as np
import pytest
import torch

from metaprior import data
from metaprior.errors import DataError
from metaprior.molecules import FSMol
from metaprior.molecules.fsmol import read_fsmol

pytest.importorskip("rdkit")


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


def test_names_need_no_features(tmp_path, monkeypatch):
    rows = [f"{'C' * (at + 1)},{at % 2},assay{at // 4}," for at in range(12)]
    (tmp_path / "fsmol").mkdir()
    for split in ("train", "test"):
        with gzip.open(tmp_path / "fsmol" / f"fsmol_{split}.csv.gz", "wt") as file:
            file.write("\n".join(["SMILES,Property,Assay_ID,LogRegressionProperty", *rows]))
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    source = FSMol(shots=2, featuriser={"name": "morgan", "size": 16})
    assert source.spec.pool == 6
    assert source.names("train") == ["assay0", "assay1", "assay2"]
    assert source.sample(1, torch.Generator().manual_seed(0), "test").support.size == 2
    assert not list((tmp_path / "cache").glob("fsmol-train*")), "training molecules were not featurised"
    assert source.assays("train").names == source.names("train")


@pytest.mark.slow
@pytest.mark.skipif(data.find("fsmol", "fsmol_valid.csv.gz") is None, reason="FS-Mol is not here")
def test_fsmol_as_it_is():
    source = FSMol(shots=16)
    assert len(source.names("valid")) == 39
    assert sum(source.sizes("valid")) == 14_311
    episode = source.episode("valid", 0, 16, torch.Generator().manual_seed(0))
    assert episode.support.size + episode.query.size == source.sizes("valid")[0]
