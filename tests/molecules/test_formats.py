"""Files as chemists have them."""

import gzip
import json

import pytest

from metaprior.errors import DataError
from metaprior.molecules.formats import read_structures

Chem = pytest.importorskip("rdkit.Chem")


@pytest.fixture
def file(tmp_path):
    def make(content: str | bytes, name: str = "a.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


@pytest.mark.parametrize("header", ["smiles", "SMILES", "Canonical SMILES", "Structure", "Ligand_SMILES", "x"])
def test_the_column_of_smiles_is_found(file, header):
    found = read_structures(file(f"id,{header},active\n1,CCO,1\n2,c1ccccc1,0\n"))
    assert found.column == header
    assert list(found.frame[header]) == ["CCO", "c1ccccc1"]
    assert list(found.frame.index) == [2, 3], "rows as a spreadsheet counts them"


def test_a_column_that_is_named_wins(file):
    path = file("smiles,other\nCCO,CCN\n")
    assert read_structures(path, smiles="other").column == "other"
    with pytest.raises(DataError, match=r"support: .* has no column 'smile': did you mean 'smiles'"):
        read_structures(path, "support", smiles="smile")


def test_no_column_and_two(file):
    with pytest.raises(DataError, match=r"no column holds SMILES in .*; name one by `smiles`. It has: id, name"):
        read_structures(file("id,name\n1,ethanol\n"))
    with pytest.raises(DataError, match="columns a, b could all hold SMILES"):
        read_structures(file("a,b\nCCO,CCN\n"))


@pytest.mark.parametrize("content", ["selfies,y\n[C][C][O],5\n[C][=C],6\n", "smiles,y\n[C][C][O],5\n[C][C][N],6\n"])
def test_selfies_are_not_taken_for_smiles(file, content):
    with pytest.raises(DataError, match=r"support: column 's.*' of .* is of SELFIES; turn them into SMILES"):
        read_structures(file(content), "support")
    with pytest.raises(DataError, match="is of SELFIES"):
        read_structures(file("[C][C][O] a\n[C][Branch1][C] b\n", "a.smi"))
    assert read_structures(file("smiles\n[Na+].[Cl-]\n[H][H]\n[CH4]\n")).column == "smiles"


def test_files_that_are_not_in_utf8(file):
    with pytest.warns(UserWarning, match=r"is not in UTF-8; it was read as Windows-1252"):
        found = read_structures(file("smiles,Maßstab\nCCO,µM\n".encode("cp1252")))
    assert list(found.frame.columns) == ["smiles", "Maßstab"]
    assert found.frame["Maßstab"].item() == "µM"
    assert read_structures(file("smiles,Maß\nCCO,1\n".encode("utf-16"))).column == "smiles"
    assert read_structures(file("\ufeffsmiles\nCCO\n")).column == "smiles"


def test_lines_of_smiles(file):
    found = read_structures(file("CCO ethanol\n\nc1ccccc1\tbenzene ring\n", "a.smi"))
    assert list(found.frame["smiles"]) == ["CCO", "c1ccccc1"]
    assert list(found.frame["name"]) == ["ethanol", "benzene ring"]
    assert list(found.frame.index) == [1, 3]


def sdf() -> bytes:
    parts = []
    for name, text in (("one", "CCO"), ("two", "c1ccccc1")):
        block = Chem.MolToMolBlock(Chem.MolFromSmiles(text)).split("\n", 1)[1]
        parts.append(f"{name}\n{block}> <active>\n1\n\n$$$$\n")
    broken = "bad\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 Q\n$$$$\n"
    return "".join([parts[0], broken, parts[1]]).encode()


def test_sdf_records_and_a_broken_one(file):
    for path in (file(sdf(), "a.sdf"), file(gzip.compress(sdf()), "a.sdf.gz")):
        found = read_structures(path)
        assert list(found.frame.index) == [1, 2, 3]
        assert found.problems == {2: "the record is no molecule"}
        assert found.frame.loc[3].to_dict() == {"smiles": "c1ccccc1", "name": "two", "active": "1"}


@pytest.mark.parametrize(("name", "content"), [("a.csv", ""), ("a.csv", "smiles\n"), ("a.smi", "\n"), ("a.sdf", "")])
def test_empty_files(file, name, content):
    with pytest.raises(DataError, match=r"file: .*a"):
        read_structures(file(content, name))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="does not exist; expected a CSV or SDF"):
        read_structures(tmp_path / "a.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_structures(tmp_path)


def test_a_file_without_a_header_is_refused(tmp_path):
    for content in ("CCO\nCCN\nCCCl\n", "CCO,5.1\nCCN,6.2\n"):
        (tmp_path / "list.csv").write_text(content)
        with pytest.raises(DataError, match="has no header, since its first line has the structure 'CCO'"):
            read_structures(tmp_path / "list.csv")


def test_what_is_no_csv_is_named(tmp_path):
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(DataError, match="is a spreadsheet or an archive; save it as CSV"):
        read_structures(tmp_path / "book.csv")
    with pytest.raises(DataError, match="support: expected the path of a file, got list"):
        read_structures(["CCO"], "support")


def noted(tmp_path, note):
    molecule = Chem.MolFromSmiles("CCO")
    molecule.SetProp("note", note)
    with Chem.SDWriter(str(tmp_path / "a.sdf")) as writer:
        writer.write(molecule)
    return (tmp_path / "a.sdf").read_text()


def test_an_sdf_of_a_western_spreadsheet_is_read(tmp_path):
    (tmp_path / "west.sdf").write_bytes(noted(tmp_path, "gel\u00f6st").encode("cp1252"))
    with pytest.warns(UserWarning, match="read as Windows-1252"):
        found = read_structures(tmp_path / "west.sdf")
    assert found.frame["note"].tolist() == ["gel\u00f6st"]


def test_an_archive_that_ends_early_is_named(tmp_path):
    packed = gzip.compress(noted(tmp_path, "x" * 4000).encode())
    (tmp_path / "a.sdf.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"file: .*a\.sdf\.gz cannot be read"):
        read_structures(tmp_path / "a.sdf.gz")


def test_json_lines_as_those_of_fs_mol(tmp_path):
    path = tmp_path / "CHEMBL1.jsonl.gz"
    records = [
        {"SMILES": "CCO", "Property": "1.0", "LogRegressionProperty": 6.5, "fingerprints": [0, 1], "graph": {"a": []}},
        {"SMILES": "CO", "Property": "0.0", "LogRegressionProperty": None},
    ]
    with gzip.open(path, "wt") as file:
        file.write("\n\n".join(json.dumps(record) for record in records) + "\n")
    found = read_structures(path)
    assert found.column == "SMILES"
    assert list(found.frame.columns) == ["SMILES", "Property", "LogRegressionProperty"]
    assert list(found.frame["Property"]) == ["1", "0"]
    assert list(found.frame.index) == [1, 3]
    assert found.frame["LogRegressionProperty"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"SMILES": "CO"}\n{"SMILES": ', "support: line 2 of .* is no JSON"),
        ('["CO"]', "support: line 1 of .*: expected an object with fields, got '"),
        ("\n", "support: .* has no structures"),
    ],
)
def test_what_is_no_json_lines_is_named_by_its_line(tmp_path, content, told):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=told):
        read_structures(path, "support")


def test_nan_in_json_lines_is_a_missing_label(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"smiles": "CO", "y": NaN}\n{"smiles": "CC", "y": 1}\n')
    assert read_structures(tmp_path / "a.jsonl").frame["y"].tolist() == [None, "1"]


def test_a_field_of_sdf_does_not_replace_the_structure(tmp_path):
    molecule = Chem.MolFromSmiles("c1ccccc1")
    molecule.SetProp("smiles", "CCO")
    with Chem.SDWriter(str(tmp_path / "a.sdf")) as writer:
        writer.write(molecule)
    frame = read_structures(tmp_path / "a.sdf").frame
    assert (frame["smiles"].tolist(), frame["smiles_given"].tolist()) == (["c1ccccc1"], ["CCO"])


def test_an_sdf_of_which_nothing_can_be_read_names_its_records(tmp_path):
    (tmp_path / "a.sdf").write_text("broken\n\n\n  1  0  0 nonsense\nM  END\n$$$$\n")
    found = read_structures(tmp_path / "a.sdf")
    assert found.frame["smiles"].tolist() == [None]
    assert found.problems == {1: "the record is no molecule"}


def test_a_broken_record_loses_no_other(tmp_path):
    blocks = [Chem.MolToMolBlock(Chem.MolFromSmiles(text)) for text in ("CCO", "CCN", "CCC", "CCS")]
    blocks[1] = "\n"
    blocks[2] = blocks[2].replace("V2000", "V2000 broken").replace(" C ", " Q#")
    path = tmp_path / "a.sdf"
    path.write_text("".join(f"{block}>  <id>\n{at}\n\n$$$$\n" for at, block in enumerate(blocks)))
    found = read_structures(path)
    assert len(found.frame) == 4
    assert found.frame.loc[1, "smiles"] == "CCO"
    assert found.frame.loc[4, "smiles"] == "CCS"
    assert found.frame.loc[4, "id"] == "3"
    assert 3 in found.problems
