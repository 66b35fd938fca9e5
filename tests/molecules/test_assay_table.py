"""One's own assays as tasks: a file with a row for each measurement, or with a column for each assay."""

import pytest

from metaprior import ProtoNet, acquire
from metaprior.errors import DataError
from metaprior.molecules import AssayTable
from metaprior.molecules.nci import nci_smiles
from metaprior.nets import MLP

pytest.importorskip("rdkit")


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
