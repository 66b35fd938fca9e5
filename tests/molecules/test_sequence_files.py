"""Sequences from files as users have them, and from there to predictions."""

import pandas
import pytest
import torch

from metaprior import MAML, PriorClassifier, Ridge, acquire, adapt
from metaprior.cli import main
from metaprior.errors import DataError
from metaprior.molecules import AssayTable, PeptideMHC, Titan
from metaprior.molecules.sequence_files import describe_task, read_sequences
from metaprior.nets import MLP

EPITOPE = {"place": "input", "column": "epitope", "featuriser": {"name": "one_hot", "size": 12}}
BESIDE = ("similarity_to_support", "similarity_to_acquired")


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("Epitope,CDR3B,Affinity", "CDR3B"),
        ("epitope,cdr3_beta,label", "cdr3_beta"),
        ("antigen.epitope,cdr3,score", "cdr3"),
        ("peptide,CDR3b,binder", "CDR3b"),
        ("epitope,junction_aa,binds", "junction_aa"),
        ("epitope,clone,binds", "clone"),
    ],
)
def test_the_column_is_found_by_the_names_of_the_field(tmp_path, header, column):
    file = write(tmp_path, "a.csv", f"{header}\nGILGFVFTL,CASSIRSSYEQYF,1\nGILGFVFTL,CASSF,0\n")
    assert read_sequences(file, apart=["epitope"]).column == column


def test_peptides_beside_alleles(tmp_path):
    file = write(tmp_path, "a.csv", "allele,peptide,nM\nHLA-A*02:01,GILGFVFTL,5\n")
    assert read_sequences(file, apart=["allele"]).column == "peptide"


def test_fasta(tmp_path):
    file = write(tmp_path, "a.fasta", ">one a note\r\nCASSIRS\r\nSYEQYF\r\n>two\nCASSF\n")
    found = read_sequences(file)
    assert list(found.frame[found.column]) == ["CASSIRSSYEQYF", "CASSF"]
    assert list(found.frame["name"]) == ["one a note", "two"]
    with pytest.raises(DataError, match="has no FASTA records"):
        read_sequences(write(tmp_path, "b.fasta", "CASSF\n"))


def test_files_without_sequences(tmp_path):
    with pytest.raises(
        DataError, match=r"file: no column holds sequences in .*; name one by `sequence`. It has: id, x"
    ):
        read_sequences(write(tmp_path, "a.csv", "id,x\n1,2\n"))
    with pytest.raises(DataError, match="file: columns a, b could all hold sequences"):
        read_sequences(write(tmp_path, "b.csv", "a,b\nCASSF,CASSY\n"))
    with pytest.raises(DataError, match=r"file: .*c.csv does not exist; expected a CSV or FASTA file"):
        read_sequences(tmp_path / "c.csv")


def test_what_a_task_is_about():
    frame = pandas.DataFrame({"cdr3": ["CASSF", "CASSY"], "Epitope": ["GILGFVFTL", "gilgfvftl"]})
    assert describe_task(EPITOPE, {"support": frame}, "cdr3")[0] == "GILGFVFTL"
    two = frame.assign(Epitope=["GILGFVFTL", "NLVPMVATV"])
    with pytest.raises(DataError, match=r"support: column 'Epitope' has 2 of them \(GILGFVFTL, NLVPMVATV, ...\)"):
        describe_task(EPITOPE, {"support": two}, "cdr3")
    one = frame.iloc[:1]
    name, found = describe_task(EPITOPE, {"support": one}, "cdr3")
    assert name == "GILGFVFTL"
    assert found.shape == (1, 252)
    assert torch.equal(describe_task(EPITOPE, {}, "cdr3", about="GILGFVFTL")[1], found)
    with pytest.raises(DataError, match="about: the prior must be told the epitope: give it by `about`"):
        describe_task(EPITOPE, {"support": one[["cdr3"]]}, "cdr3")
    assert describe_task(EPITOPE | {"place": "task"}, {"support": one[["cdr3"]]}, "cdr3") == ("", None)
    with pytest.raises(DataError, match="about: 'GIL9' has '9' at position 4"):
        describe_task(EPITOPE, {}, "cdr3", about="GIL9")


@pytest.fixture(scope="module")
def titan(titan_folder, tmp_path_factory):
    """A prior that is told the epitope, acquired for a few steps."""
    out = tmp_path_factory.mktemp("titan-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAPRIOR_DATA", str(titan_folder))
        source = Titan(shots=6, queries=6, about="input", featuriser="composition")
        prior = MAML.for_tasks(source.spec, MLP(source.spec.x_shape[0], 2, hidden=(8,)))
        acquire(prior, source, steps=3, tasks_per_step=2, validations=0, out=out)
    return out


SUPPORT = "id,CDR3B,epitope,binds\n1,CASSIRSSYEQYF,GILGFVFTL,yes\n2,CASSGGGF,GILGFVFTL,no\n3,CASSLLLF,GILGFVFTL,no\n"


def test_receptors_of_a_new_epitope(titan, tmp_path):
    support = write(tmp_path, "epitope.csv", SUPPORT)
    query = write(tmp_path, "repertoire.csv", "id,CDR3B\nx,CASSIRSAYEQYF\ny,cassyyf\n")
    result = adapt(titan, support, query)
    assert result.columns == ("id", "CDR3B", "prediction", "probability_no", "probability_yes", "uncertainty", *BESIDE)
    assert result["id"] == ["x", "y"]
    assert result["similarity_to_support"][0] > result["similarity_to_support"][1]
    with pytest.warns(UserWarning, match="about: NLVPMVATV is what was asked for, though the support says GILGFVFTL"):
        other = adapt(titan, support, query, about="NLVPMVATV")
    assert other["probability_yes"] != result["probability_yes"], "the epitope is taken into account"


@pytest.mark.parametrize(
    ("change", "query", "told"),
    [
        (("CASSGGGF", "CASSG*GF"), "id,CDR3B\n1,CASSF\n", r"support: row 3 of .*: 'CASSG\*GF' has '\*' at position 6"),
        (("CASSGGGF", ""), "id,CDR3B\n1,CASSF\n", "support: row 3 of .*: the sequence is empty"),
        (("", ""), "id,CDR3B\n1,CASSF\n2,CA1SF\n", "query: row 3 of .*: 'CA1SF' has '1' at position 3"),
        (("", ""), "id,CDR3B,epitope\n1,CASSF,NLVPMVATV\n", "query: is about NLVPMVATV, the support about GILGFVFTL"),
    ],
)
def test_bad_rows_are_named(titan, tmp_path, change, query, told):
    support = write(tmp_path, "epitope.csv", SUPPORT.replace(*change) if change[0] else SUPPORT)
    asked = write(tmp_path, "repertoire.csv", query)
    with pytest.raises(DataError, match=told):
        adapt(titan, support, asked)


def test_bad_rows_are_skipped_if_asked(titan, tmp_path):
    support = write(tmp_path, "epitope.csv", SUPPORT)
    query = write(tmp_path, "repertoire.csv", "id,CDR3B\n1,CASSF\n2,CA1SF\n")
    with pytest.warns(UserWarning, match=r"query: skipped one bad row of .*: row 3: 'CA1SF' has '1' at position 3"):
        assert len(adapt(titan, support, query, skip_bad=True)) == 1


def test_cdr3_without_their_ends_are_told(titan, tmp_path):
    support = write(tmp_path, "epitope.csv", SUPPORT)
    query = write(tmp_path, "repertoire.csv", "id,CDR3B\n1,ASSIRSSYEQY\n2,ASSGGY\n")
    with pytest.warns(UserWarning, match="query: its sequences lack the C at their beginning"):
        adapt(titan, support, query)


def test_options_of_other_inputs_are_refused(titan, tmp_path):
    support = write(tmp_path, "epitope.csv", SUPPORT)
    with pytest.raises(DataError, match="smiles: it is for molecules"):
        adapt(titan, support, support, smiles="CDR3B")
    with pytest.raises(ValueError, match="X: the prior must be told the epitope; adapt it by files"):
        PriorClassifier(titan).fit(["CASSF", "CASSY"], [0, 1])


@pytest.fixture(scope="module")
def mhc(mhc_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("mhc-run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAPRIOR_DATA", str(mhc_folder))
        source = PeptideMHC(shots=6, queries=6, least=5)
        prior = Ridge.for_tasks(source.spec, MLP(source.spec.x_shape[0], hidden=(8,)))
        acquire(prior, source, steps=3, tasks_per_step=2, validations=0, out=out)
        name = source.names("train")[0]
    return out, name


def test_an_allele_is_predicted_for_without_any_label(mhc, titan, tmp_path, monkeypatch, capsys):
    run, allele = mhc
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))
    query = write(tmp_path, "peptides.csv", "id,peptide\n1,LLLLLLLLL\n2,GGGGGGGGG\n")
    result = adapt(run, None, query, about=allele)
    assert result.columns == ("id", "peptide", "prediction", "uncertainty", "similarity_to_acquired")
    assert all(0.5 < value < 2e5 for value in result["prediction"])
    named = write(tmp_path, "named.csv", f"peptide,allele\nLLLLLLLLL,{allele}\nGGGGGGGGG,{allele}\n")
    assert adapt(run, None, named)["prediction"] == result["prediction"]
    assert main(["adapt", str(run), "--query", str(query), "--about", allele]) == 0
    assert capsys.readouterr().out == result.to_csv()
    with pytest.raises(DataError, match=r"about: .* the allele"):
        adapt(run, None, query)
    with pytest.raises(DataError, match="support: expected labelled examples; only a prior of values of a fixed unit"):
        adapt(titan, None, write(tmp_path, "receptors.csv", "CDR3B\nCASSF\n"), about="GILGFVFTL")


def test_affinities_are_read_and_predicted_in_nanomolar(mhc, tmp_path, monkeypatch):
    run, allele = mhc
    monkeypatch.setenv("METAPRIOR_DATA", str(tmp_path))  # a card knows its alleles without the data
    spelt = allele.replace("HLA-", "").replace("*", "").replace(":", "").lower()
    rows = "".join(f"{'LLAV'[at % 4] * 9},{10 ** (at % 5)},{spelt}\n" for at in range(12))
    support = write(tmp_path, "allele.csv", "peptide,affinity,allele\n" + rows)
    query = write(tmp_path, "peptides.csv", "peptide\nLLLLLLLLL\nGGGGGGGGG\n")
    with pytest.warns(UserWarning, match="support: 3 structures have several .* median counts: rows 2, 3, 6"):
        result = adapt(run, support, query)
    assert all(0.5 < value < 2e5 for value in result["prediction"])
    assert all(0 <= value < 5 for value in result["uncertainty"])
    scarce = "".join(f"{'LA'[at % 2] * 3}{'GSTNDE'[at]}VVVVV,{(at + 1) / 1e6},{spelt}\n" for at in range(6))
    other = write(tmp_path, "molar.csv", "peptide,affinity,allele\n" + scarce)
    with pytest.warns(UserWarning, match=r"has values about 3e-06; those of acquisition were about .* same unit"):
        adapt(run, other, query)
    bad = write(tmp_path, "bad.csv", f"peptide,affinity,allele\nLLLLLLLLL,-5,{spelt}\nLLLLLLLLA,5,{spelt}\n")
    with pytest.raises(DataError, match=r"support: row 2 of .*: column 'affinity' is -5; expected a positive number"):
        adapt(run, bad, query)
    with pytest.raises(DataError, match=r"about: allele 'HLA-A2' is not known|pmhc: .* run 'metaprior data get pmhc'"):
        adapt(run, support, query, about="HLA-A2")


def test_ones_own_tables_of_sequences(tmp_path):
    rows = "".join(
        f"CASS{'LW'[at % 2] * 3}{'AGSTND'[at % 6]}{'VIYQ'[at // 8 % 4]}{'KREH'[at // 32 % 4]}F,e{at % 8},{at % 2}\n"
        for at in range(128)
    )
    file = write(tmp_path, "old.csv", "cdr3,epitope,binds\n" + rows)
    source = AssayTable(file, task="epitope", target="binds", shots=4, featuriser="blosum")
    assert source.inputs["kind"] == "sequences"
    assert source.spec.x_shape == (504,)
    episode = source.sample(2, torch.Generator().manual_seed(0))
    assert episode.support.x.isfinite().all()
    prior = Ridge.for_tasks(source.spec, MLP(504, hidden=(8,)))
    support = write(tmp_path, "new.csv", "cdr3,epitope,binds\nCASSLLLAF,e9,1\nCASSWWWAF,e9,0\nCASSLLLGF,e9,1\n")
    query = write(tmp_path, "asked.csv", "cdr3\nCASSLLLSF\n")
    result = adapt(prior, support, query, inputs=source.inputs)
    assert result.columns[1:3] == ("prediction", "probability_0"), "the column that names the epitope is no label"
    with pytest.raises(DataError, match=r"support: column 'epitope' of .*old.csv names 8 assays; expected the rows of"):
        adapt(prior, file, query, inputs=source.inputs)


def test_nucleotides_are_no_amino_acids(tmp_path):
    both = "cdr3,cdr3_aa\nTGTGCCAGC,CAS\nTGTGCCAGT,CAS\nTGTGCTAGC,CAS\n"
    assert read_sequences(write(tmp_path, "airr.csv", both)).column == "cdr3_aa"
    alone = "cdr3\nTGTGCCAGC\nTGTGCCAGT\nTGTGCTAGC\n"
    with pytest.raises(DataError, match=r"file: column 'cdr3' of .* holds nucleotides; expected amino acids"):
        read_sequences(write(tmp_path, "dna.csv", alone))
