"""Geometries from SMILES and files: what chemistry says of them, and what is said of those that cannot be."""

import gzip

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import DataError, ShapeError
from metaprior.molecules.conformers import Conformer, Conformers, embed, parse_xyz, read_conformers, stacked, unpacked
from metaprior.molecules.featurise import featurise

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem import rdDistGeom  # noqa: E402

WATER = "3\nwater\nO 0 0 0\nH 0.96 0 0\n 1 -0.24 0.93 0\n"


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 3))
def test_packing_is_undone(sizes, more):
    random = np.random.default_rng(0)
    given_ = stacked([(random.integers(1, 54, size), random.normal(size=(size, 3))) for size in sizes])
    found = unpacked(given_.packed(max(sizes) + more))
    assert found.sizes.tolist() == sizes
    for left, right in zip(found.trimmed(), given_, strict=True):
        assert left.equal(right)


def test_geometry_is_that_of_chemistry():
    conformers, found = embed(["C", "O=C=O"], cache=False)
    distances = torch.cdist(conformers.positions, conformers.positions)
    assert found.smiles == ["C", "O=C=O"]
    assert torch.allclose(distances[0, 0, 1:5], torch.full((4,), 1.09), atol=0.05), "the length of a bond of methane"
    assert torch.allclose(distances[1, 0, 2], torch.tensor(2.4), atol=0.2), "carbon dioxide is straight"
    assert conformers.elements[1].tolist() == [8, 6, 8, 0, 0]


def test_it_repeats_with_the_seed_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path))
    first, _ = embed(["CCCCO"])
    with monkeypatch.context() as patch:
        patch.setattr(Conformer, "raw", lambda *_: pytest.fail("it was kept"))
        assert embed(["CCCCO"])[0].positions.equal(first.positions)
    assert embed(["CCCCO"], cache=False)[0].positions.equal(first.positions)
    assert not embed(["CCCCO"], Conformer(seed=1))[0].positions.equal(first.positions)


def test_hydrogens_and_relaxation_are_settings():
    heavy, _ = embed(["CCO", "[H][H]"], Conformer(hydrogens=False), cache=False)
    assert heavy.elements.tolist() == [[6, 6, 8], [1, 1, 0]]
    plain, _ = embed(["CCO"], cache=False)
    relaxed, _ = embed(["CCO"], Conformer(relax=True), cache=False)
    assert 0 < (plain.positions - relaxed.positions).abs().max() < 2


def test_what_cannot_be_embedded_is_known_by_its_row(monkeypatch):
    given_ = ["CO", "not", "C" * 10_000, "", "C" * 9]
    _, found = embed(given_, Conformer(atoms=20), cache=False)
    assert sorted(found.problems) == [1, 2, 3, 4]
    assert found.problems[2] == "it has 30002 atoms; conformers of at most 20 were asked for"
    monkeypatch.setattr(rdDistGeom, "EmbedMolecule", lambda *_: -1)
    assert embed(["CO"], cache=False)[1].problems == {0: "no conformer was found for it"}


def test_it_is_a_featuriser():
    rows = featurise(["CO"], {"name": "conformer", "atoms": 8}, cache=False).rows
    assert rows.width == 32
    assert unpacked(rows.dense(torch.tensor([0]))).sizes.tolist() == [6]


def test_xyz_files(tmp_path):
    (tmp_path / "a.xyz").write_text(WATER + "\n1\n\nNa 1e-3 2 -3 4.5")
    found = read_conformers(tmp_path / "a.xyz")
    assert found.names == ["water", ""]
    assert found.conformers.elements.tolist() == [[8, 1, 1], [11, 0, 0]]
    assert torch.allclose(found.conformers.positions[1, 0], torch.tensor([1e-3, 2.0, -3.0]))
    for wrong in ("2\n\nH 0 0 0\n", "1\n\nXx 0 0 0\n", "1\n\nH 0 0\n", "water\n"):
        with pytest.raises(DataError, match="the frame at line 1 is not XYZ"):
            parse_xyz(wrong)


def test_sdf_files(tmp_path):
    molecule = Chem.AddHs(Chem.MolFromSmiles("CO"))
    flat = Chem.MolToMolBlock(molecule)
    rdDistGeom.EmbedMolecule(molecule, randomSeed=1)
    molecule.SetProp("_Name", "methanol")
    impossible = Chem.MolToMolBlock(Chem.MolFromSmiles("CN(C)(C)(C)C", sanitize=False), kekulize=False)
    records = "".join(f"{block}$$$$\n" for block in (Chem.MolToMolBlock(molecule), impossible, flat))
    with gzip.open(tmp_path / "a.sdf.gz", "wt") as file:
        file.write(records)
    found = read_conformers(tmp_path / "a.sdf.gz")
    assert found.names[0] == "methanol"
    assert np.allclose(found.conformers.positions[0], molecule.GetConformer().GetPositions(), atol=1e-3)
    assert found.conformers.sizes.tolist() == [6, 0, 0]
    assert sorted(found.problems) == [1, 2]


def test_wrong_files_and_shapes(tmp_path):
    with pytest.raises(DataError, match=r"file: expected .xyz, .sdf, .sdf.gz or .mol"):
        read_conformers(tmp_path / "a.pdb")
    with pytest.raises(DataError, match="cannot be read"):
        read_conformers(tmp_path / "a.xyz")
    with pytest.raises(ShapeError, match="rows: expected conformers"):
        unpacked(torch.zeros(2, 7))
    with pytest.raises(ShapeError, match="atoms: expected room for 3, got 2"):
        stacked([([8, 1, 1], np.zeros((3, 3)))]).packed(2)


def test_of_no_molecules():
    nothing = stacked([])
    assert isinstance(nothing, Conformers)
    assert nothing.trimmed().sizes.shape == (0,)
