"""QM7: what the file says, splits that share no molecule, and a clear error where it is absent or damaged."""

import zipfile

import pytest
import torch

from metaprior import data
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules import QM7
from metaprior.molecules.qm7 import read_qm7

pytest.importorskip("rdkit")
needs_data = pytest.mark.skipif(data.find("qm7_3d", "qm7_xyz.zip") is None, reason="QM7 is not on this machine")


def write(folder, molecules=40):
    """Write hydrogen molecules, ever longer, under an energy of minus their length."""
    (folder / "qm7_3d").mkdir()
    with zipfile.ZipFile(folder / "qm7_3d" / "qm7_xyz.zip", "w") as archive:
        names = [f"{at:04}.xyz" for at in range(molecules)]
        for at, name in enumerate(names):
            archive.writestr(f"qm7/{name}", f"2\ncharge = 0\n H 0 0 0\n H 0 0 {0.7 + at / 100}")
        archive.writestr("data/hof_qm7.txt", "".join(f"{name} {-at - 1} {-2 * at}\n" for at, name in enumerate(names)))


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_small_file_of_the_same_kind(small):
    write(small)
    conformers, smiles, energies = read_qm7()
    assert conformers.positions[5, 1, 2] == pytest.approx(0.75)
    assert smiles[0] == "[H][H]"
    assert smiles[-1] == "[HH]", "apart, they are two atoms"
    assert energies[3].tolist() == [-4, -6]
    source = QM7(shots=6, energy="difference")
    _, values = source.conformers("test")
    assert set(values.tolist()) <= {float(at - 1) for at in range(40)}
    assert source.assays("test").counts.tolist() == [36]
    episode = source.sample(2, torch.Generator().manual_seed(0), "test")
    assert episode.support.x.shape == (2, 6, 92)
    assert episode.query.size == 8


def test_splits_share_no_molecule_and_queries_are_of_theirs(small):
    write(small)
    source = QM7(shots=5)
    lengths = {split: source.conformers(split)[0].positions[:, 1, 2] for split in ("train", "valid", "test")}
    assert [len(found) for found in lengths.values()] == [28, 4, 8]
    assert len(torch.cat(list(lengths.values())).unique()) == 40
    episode = source.sample(3, torch.Generator().manual_seed(0), "test")
    assert torch.isin(episode.query.x[..., 7], lengths["test"]).all()
    assert torch.isin(episode.support.x[..., 7], lengths["train"]).all()


def test_absent_or_damaged(small):
    with pytest.raises(DataError, match=r"qm7_3d: qm7_xyz.zip is neither"):
        read_qm7()
    (small / "qm7_3d").mkdir()
    (small / "qm7_3d" / "qm7_xyz.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        read_qm7()
    with pytest.raises(UnknownNameError, match="unknown energy 'b3lyp'"):
        QM7(energy="b3lyp")


@needs_data
def test_the_real_file():
    with zipfile.ZipFile(data.need("qm7_3d", "qm7_xyz.zip")) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".xyz")]) == 7101
        methane = archive.read("qm7/0001.xyz").decode().split()
    assert methane[:5] == ["5", "charge", "=", "0", "C"]
