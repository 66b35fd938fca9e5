"""One's own assays as tasks: a file with a row for each measurement, or with a column for each assay."""

import json

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from metaprior import ProtoNet, acquire
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules import AssayTable, assay_protocol
from metaprior.molecules.dealing import QUERY
from metaprior.molecules.featurise import featurise
from metaprior.molecules.nci import nci_smiles
from metaprior.molecules.splits import scaffold
from metaprior.nets import MLP

pytest.importorskip("rdkit")
TWICE = pytest.mark.filterwarnings("ignore:file. .* have several labels in one assay")


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


def dated(tmp_path, assays=4):
    """Write assays whose newer rows come first; the third molecule of each ten was measured twice, long ago and now."""
    lines = ["SMILES,assay,active,when"]
    for at, text in enumerate(nci_smiles(100)):
        for k in range(assays):
            lines.append(f"{text},assay{k},{(at + k) % 2},{2020 - at // 10}-01-01")
            if at % 10 == 2:
                lines.append(f"{text},assay{k},{(at + k) % 2},2021-01-01")
    path = tmp_path / "dated.csv"
    path.write_text("\n".join(lines))
    return path


@TWICE
@pytest.mark.parametrize("by", ["random", "scaffold", "cluster", "time"])
def test_molecules_may_be_divided_instead(tmp_path, by):
    path = dated(tmp_path)
    source = AssayTable(path, "assay", "active", shots=8, by=by, time="when" if by == "time" else None)
    molecules, queries = {}, {}
    for split in ("train", "valid", "test"):
        part = source.assays(split)
        assert part.names == [f"assay{k}" for k in range(4)], "tasks are the same"
        smiles = [part.smiles[at] for at in part.molecule.tolist()]
        molecules[split] = set(smiles)
        asked = (part.roles == QUERY).tolist() if split != "train" else [True] * len(smiles)
        queries[split] = {text for text, one in zip(smiles, asked, strict=True) if one}
    assert sum(map(len, queries.values())) == len(set().union(*queries.values())) == 100
    assert all(molecules[split] == queries["train"] | queries[split] for split in molecules)
    assert {split: set(found) for split, found in source.divided["splits"].items()} == queries
    episode = source.sample(3, torch.Generator().manual_seed(0), "test")
    assert episode.support.size == 8
    again = AssayTable(path, "assay", "active", shots=8, by=by, time="when" if by == "time" else None)
    assert again.divided == source.divided
    if by == "scaffold":
        scaffolds = [{scaffold(text) for text in found} for found in queries.values()]
        assert sum(map(len, scaffolds)) == len(set().union(*scaffolds))
    if by == "time":
        year = {text: 2020 - at // 10 for at, text in enumerate(featurise(nci_smiles(100)).smiles)}
        assert max(map(year.get, queries["train"])) <= min(map(year.get, queries["test"])), "the first time counts"


@TWICE
def test_the_protocol_draws_as_many_as_it_says(tmp_path):
    source = AssayTable(dated(tmp_path), "assay", "active", by="random", splits=(0.2, 0.1, 0.7), shots=8)
    assert source.supports("test") == [20] * 4
    assert assay_protocol(LogisticRegression(), source, sizes=[20], draws=1).rows[0]["tasks"] == 4
    with pytest.raises(DataError, match=r"with 21 molecules for a support, and more to ask about; the most .* are 20"):
        assay_protocol(LogisticRegression(), source, sizes=[21])


@TWICE
def test_an_assay_that_has_nothing_to_ask_is_left_out(tmp_path):
    path = dated(tmp_path)
    old = [f"{text},old,{at % 2},1990-01-01" for at, text in enumerate(nci_smiles(90)[80:])]
    path.write_text("\n".join([path.read_text(), *old]))
    source = AssayTable(path, "assay", "active", shots=8, by="time", time="when")
    assert "old" in source.names("train")
    assert "old" not in source.names("test")


@TWICE
def test_a_run_keeps_its_splits(tmp_path):
    path = dated(tmp_path)
    for by, time in (("task", None), ("time", "when")):
        source = AssayTable(path, "assay", "active", shots=4, queries=4, by=by, time=time)
        acquire(
            ProtoNet.for_tasks(source.spec, MLP(2048, hidden=(4,))), source, steps=1, validations=0, out=tmp_path / by
        )
        kept = json.loads((tmp_path / by / "splits.json").read_text())
        assert kept == source.divided
        assert kept["by"] == by
    assert kept["splits"]["test"]


@TWICE
def test_splits_that_cannot_be(tmp_path):
    path = dated(tmp_path)
    with pytest.raises(UnknownNameError, match="by"):
        AssayTable(path, "assay", "active", by="scafold")
    for by, time in (("time", None), ("random", "when")):
        with pytest.raises(DataError, match=f"time: expected a column with by='time', and else none; got {time}"):
            AssayTable(path, "assay", "active", by=by, time=time)
    with pytest.raises(DataError, match=r"time: .* has no column 'wen': did you mean 'when'"):
        _ = AssayTable(path, "assay", "active", by="time", time="wen").spec
    path.write_text(path.read_text() + "\nCCO,assay0,1,")
    with pytest.raises(DataError, match=r"file: row 442 of .*: column 'when' is blank"):
        _ = AssayTable(path, "assay", "active", by="time", time="when").spec
    receptors = tmp_path / "receptors.csv"
    receptors.write_text(
        "cdr3,epitope,binds\n"
        + "".join(f"CASS{'AGLT'[at % 4] * (at % 7 + 1)}F,e{at % 3},{at % 2}\n" for at in range(40))
    )
    with pytest.raises(DataError, match="by: expected 'random' or 'time' for sequences, which have no scaffolds"):
        _ = AssayTable(receptors, "epitope", "binds", featuriser="kmers", by="scaffold").spec


def test_ones_own_assays_that_cannot_be_used(tmp_path):
    path = old_assays(tmp_path, wide=False)
    with pytest.raises(DataError, match=r"file: .* has no column 'essay': did you mean 'assay'"):
        _ = AssayTable(path, task="essay", target="active").spec
    path.write_text(path.read_text() + "\nC1CC,assay0,1")
    with pytest.raises(DataError, match=r"file: row 402 of .*: 'C1CC' is not a SMILES"):
        _ = AssayTable(path, task="assay", target="active").spec
    with pytest.warns(UserWarning, match="skipped one bad row"):
        _ = AssayTable(path, task="assay", target="active", skip_bad=True).spec


def test_what_was_measured_twice_is_in_no_support_and_its_query(tmp_path):
    smiles = nci_smiles(60)
    lines = [f"{text},a{k},{at % 7 + k}" for at, text in enumerate(smiles) for k in range(4)]
    lines += [f"{text},a0,{at % 7 + 2}" for at, text in enumerate(smiles)]
    path = tmp_path / "twice.csv"
    path.write_text("\n".join(["smiles,assay,ic", *lines]))
    source = AssayTable(path, "assay", "ic", kind="regression", shots=8, splits=(1, 0, 0))
    with pytest.warns(UserWarning, match="file: 60 structures have several labels in one assay; their median counts"):
        part = source.assays("train")
    assert part.counts.tolist() == [60] * 4
    for at in range(4):
        own = slice(int(part.starts[at]), int(part.starts[at] + part.counts[at]))
        assert part.molecule[own].unique().numel() == 60
    first = part.values[: part.counts[0]].tolist()
    place = {text: at for at, text in enumerate(featurise(smiles).smiles)}
    found = [part.smiles[at] for at in part.molecule[: part.counts[0]].tolist()]
    assert first == [place[text] % 7 + 1 for text in found]


def test_how_columns_were_read_is_told(tmp_path):
    smiles = nci_smiles(40)
    path = tmp_path / "wide.csv"
    lines = [f"{text},{at},{at / 7:.2f},{'>10' if at % 5 else at},{2**at % 11}.5" for at, text in enumerate(smiles)]
    path.write_text("\n".join(["smiles,cid,ki,ic50,ec50", *lines]))
    source = AssayTable(path, kind="regression", shots=4)
    with pytest.warns(UserWarning, match="file: ") as told:
        names = [name for split in ("train", "valid", "test") for name in source.names(split)]
    assert sorted(names) == ["ec50", "ic50", "ki"]
    said = [str(one.message) for one in told]
    assert "file: took these columns for assays: ki, ic50, ec50, and none of cid; `target` names them" in said
    assert any(text.startswith("file: column 'ic50': 32 of 40 values lie beyond a bound") for text in said)
    with pytest.raises(DataError, match=r"column 'ki' of .* has 0, 0.14, .* and 35 more; .* the kind 'regression'"):
        _ = AssayTable(path, target="ki").spec


def test_rows_that_name_no_assay_are_told(tmp_path):
    lines = [f"{text},{['', 'NA', 'b', 'c'][at % 4]},{at % 3 % 2}" for at, text in enumerate(nci_smiles(80))]
    path = tmp_path / "nameless.csv"
    path.write_text("\n".join(["smiles,assay,active", *lines]))
    source = AssayTable(path, "assay", "active", shots=4)
    with pytest.warns(UserWarning, match="file: 20 rows name no assay, and are left out: 2, 6, 10, 14, 18, ..."):
        names = [name for split in ("train", "valid", "test") for name in source.names(split)]
    assert sorted(names) == ["NA", "b", "c"]
