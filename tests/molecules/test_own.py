"""From a chemist's own files to predictions, and every kind of input that is odd."""

import csv
import math

import numpy as np
import pandas
import pytest

from metaprior import PriorClassifier, PriorRegressor, acquire, adapt, load, read_card, save
from metaprior.cli import main
from metaprior.errors import DataError
from metaprior.molecules import NCI, MultitaskProbe
from metaprior.molecules.nci import nci_smiles
from metaprior.nets import MLP

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem.Descriptors import MolLogP  # noqa: E402

BESIDE = ("similarity_to_support", "similarity_to_acquired")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A prior acquired on descriptors of molecules that come with RDKit."""
    folder = tmp_path_factory.mktemp("run")
    source = NCI(shots=16, molecules=400)
    prior = MultitaskProbe.for_tasks(source.spec, MLP(2048, hidden=(64,)))
    acquire(prior, source, steps=40, tasks_per_step=8, validations=0, out=folder)
    return folder


def plain() -> list[str]:
    """Structures without salts and charges, of which nothing is to be told."""
    return [text for text in nci_smiles(5000) if not set(text) & set(".+-")]


def table(first: int = 400, last: int = 440) -> pandas.DataFrame:
    smiles = plain()[first:last]
    value = [MolLogP(Chem.MolFromSmiles(text)) for text in smiles]
    active = ["active" if one > np.median(value) else "inactive" for one in value]
    names = [f"m{at}" for at in range(first, last)]
    return pandas.DataFrame({"id": names, "SMILES": smiles, "active": active, "logp": [f"{one:.4f}" for one in value]})


@pytest.fixture
def files(tmp_path):
    """Write support and query, changed as a test wants them."""

    def make(support=lambda frame: frame, query=lambda frame: frame, columns=("active",)):
        rows = support(table())[["id", "SMILES", *columns]]
        asked = query(table(500, 530)[["id", "SMILES"]].assign(Größe=range(30)))
        paths = tmp_path / "assay.csv", tmp_path / "library.csv"
        for frame, path in zip((rows, asked), paths, strict=True):
            frame.to_csv(path, index=False)
        return paths

    return make


def test_classes_of_ones_own_molecules(run, files, tmp_path):
    support, query = files()
    result = adapt(run, support, query, tmp_path / "scored.csv")
    assert result.columns == (
        "id", "SMILES", "Größe", "prediction", "probability_inactive", "probability_active", "uncertainty", *BESIDE
    )  # fmt: skip
    assert result["id"] == [f"m{at}" for at in range(500, 530)], "order and identifiers are kept"
    assert adapt(load(run), support, query).rows == result.rows, "a prior that was loaded knows its inputs"
    truth = table(500, 530)["active"]
    assert (np.array(result["prediction"]) == truth.to_numpy()).mean() > 0.6
    assert all(0 <= value <= 1 for name in BESIDE for value in result[name])
    with open(tmp_path / "scored.csv", newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == result["prediction"]


@pytest.mark.parametrize(
    ("name", "numbers"), [("position", range(40)), ("Compound ID", range(1000, 1120, 3))], ids=["in turn", "by name"]
)
def test_numbers_of_rows_are_no_labels(run, files, name, numbers):
    support, query = files(lambda frame: frame.assign(**{name: numbers}), columns=("active", name))
    with pytest.warns(UserWarning, match=f"'{name}' seems to number the rows, and is not predicted unless"):
        assert "prediction" in adapt(run, support, query).columns
    assert not any(column.startswith("probability") for column in adapt(run, support, query, target=name).columns)


def test_values_with_the_deviation_of_the_prior(run, files):
    result = adapt(run, *files(columns=("logp",)))
    truth = table(500, 530)["logp"].astype(float).to_numpy()
    assert result.columns[3:] == ("prediction", "uncertainty", *BESIDE)
    assert np.corrcoef(result["prediction"], truth)[0, 1] > 0.4
    error = np.abs(np.array(result["prediction"]) - truth)
    within = (error < 1.96 * np.array(result["uncertainty"])).mean()
    assert within > 0.7


def test_several_properties_with_holes(run, files):
    def holes(frame):
        frame.loc[3:6, "active"] = None
        frame.loc[8, "logp"] = None
        return frame

    result = adapt(run, *files(holes, columns=("active", "logp")))
    assert result.columns[3:] == (
        "active_prediction", "active_probability_inactive", "active_probability_active", "active_uncertainty",
        "logp_prediction", "logp_uncertainty", *BESIDE,
    )  # fmt: skip
    alone = adapt(run, *files(holes, columns=("active",)))
    assert result["active_prediction"] == alone["prediction"]


def test_the_support_itself_is_most_alike(run, files):
    support, query = files(query=lambda frame: table()[["id", "SMILES"]])
    assert adapt(run, support, query)["similarity_to_support"] == [1.0] * 40


def test_bad_structures_are_named_by_row_and_left_out_on_demand(run, files):
    def bad(frame):
        frame.loc[4, "SMILES"] = "C1CC"
        frame.loc[7, "SMILES"] = None
        return frame

    support, query = files(bad)
    with pytest.raises(DataError, match=r"support: row 6 of .*'C1CC' is not a SMILES \(and 1 more bad rows\)"):
        adapt(run, support, query)
    with pytest.warns(UserWarning, match=r"skipped 2 bad rows .* row 6: .*; row 9: the structure is empty"):
        adapt(run, support, query, skip_bad=True)
    support, query = files(query=bad)
    with pytest.raises(DataError, match="query: row 6 of"):
        adapt(run, support, query)
    with pytest.warns(UserWarning, match="query: skipped 2 bad rows"):
        result = adapt(run, support, query, skip_bad=True)
    assert result["id"] == [f"m{at}" for at in range(500, 530) if at not in (504, 507)]


def test_salts_and_duplicates_are_told(run, files):
    def odd(frame):
        frame.loc[1, "SMILES"] += ".[Na+].[Cl-]"
        frame.loc[5, "SMILES"] = frame.loc[4, "SMILES"]
        frame.loc[4:5, "active"] = ["active", "inactive"]
        return frame

    support, query = files(odd)
    with pytest.warns(UserWarning, match="support: ") as told:
        adapt(run, support, query)
    texts = [str(one.message) for one in told]
    assert any("one salt, mixture or charged structure of" in text and "row 3: kept" in text for text in texts)
    counted = "one structure has several labels in one assay; the class of most counts"
    assert any(f"{counted}, and 1 whose classes are as frequent are left out: rows 6, 7" in text for text in texts)


def test_labels_of_one_class_are_predicted_and_told(run, files):
    support, query = files(lambda frame: frame.assign(active="active"))
    with pytest.warns(UserWarning, match="nothing shows what sets 'inactive' apart"):
        result = adapt(run, support, query)
    assert set(result["prediction"]) == {"active"}
    assert all(math.isfinite(value) for value in result["uncertainty"])


def test_which_columns_are_labels(run, files):
    support, query = files(query=lambda frame: frame.assign(active=1, logp=1), columns=("active", "logp"))
    with pytest.raises(DataError, match=r"target: .* has no column that .* lacks"):
        adapt(run, support, query)
    assert "active" in adapt(run, support, query, target="active").columns
    with pytest.raises(DataError, match=r"support: .* has no column 'actve': did you mean 'active'"):
        adapt(run, support, query, target=["actve"])
    support.write_text(support.read_text().replace("SMILES", "smi"))
    with pytest.raises(DataError, match=r"query: .* has no column 'smi'"):
        adapt(run, support, query, target="active", smiles="smi")


def test_how_columns_were_read_is_told(run, files, capsys):
    support, query = files(columns=("active", "logp"))
    text = support.read_text().splitlines()
    text[3] = ",".join([*text[3].split(",")[:-1], ""])
    support.write_text("\n".join(text))
    found = adapt(run, support, query)
    values = table()["logp"].astype(float).drop(index=2)
    assert found.understood == (
        "'active' as classes, 20 of 'inactive', 20 of 'active'; 'SMILES' is what they are of",
        f"'logp' as 39 values from {values.min():.3g} to {values.max():.3g}, 1 without a label; 'SMILES' is what they "
        "are of",
    )
    assert main(["adapt", str(run), "--support", str(support), "--query", str(query), "--target", "active"]) == 0
    assert "metaprior: support: read 'active' as classes, 20 of 'inactive', 20 of 'active'" in capsys.readouterr().err


def test_the_kind_of_labels_can_be_said(run, files):
    rounded = lambda frame: frame.assign(logp=frame["logp"].astype(float).round().astype(int))  # noqa: E731
    support, query = files(support=rounded, columns=("logp",))
    assert "probability_1" in adapt(run, support, query, kind="classification").columns
    with pytest.warns(UserWarning, match=r"column 'logp': \d+ different whole numbers, from -1 to .* without an order"):
        assert "probability_1" in adapt(run, support, query).columns, "few whole numbers may be classes"
    assert adapt(run, support, query, kind="regression").columns[-4:] == ("prediction", "uncertainty", *BESIDE)
    with pytest.raises(DataError, match=r"has \d+ different texts"):
        adapt(run, *files(columns=("logp",)), kind="classification")
    with pytest.raises(DataError, match=r"column 'active' is '.*', expected a number"):
        adapt(run, *files(), kind="regression")
    with pytest.raises(DataError, match="kind: expected 'auto', 'classification' or 'regression', got 'values'"):
        adapt(run, *files(), kind="values")
    mixed = lambda frame: frame.assign(active=["1", *frame["active"][1:]])  # noqa: E731
    with pytest.warns(UserWarning, match="column 'active': '1' and 'active' are classes of their own; if they mean"):
        adapt(run, *files(support=mixed))


def test_another_featuriser_is_refused_and_another_rdkit_told(run, files, tmp_path):
    card = read_card(run)
    facts = {key: card[key] for key in ("spec", "inputs")}
    for name, change in (("other", {"check": "0" * 12}), ("old", {"rdkit": "2020.1"})):
        save(load(run), tmp_path / name, **(facts | {"inputs": card["inputs"] | change}))
    with pytest.raises(DataError, match="its featuriser 'morgan' gives other numbers"):
        adapt(tmp_path / "other", *files())
    with pytest.warns(UserWarning, match=r"was acquired with RDKit 2020.1"):
        adapt(tmp_path / "old", *files())


def test_estimators_take_smiles(run, files):
    rows, asked = table(), table(500, 530)
    classifier = PriorClassifier(run).fit(list(rows["SMILES"]), rows["active"])
    result = adapt(run, *files())
    assert list(classifier.predict(asked["SMILES"])) == result["prediction"]
    assert np.allclose(classifier.predict_proba(list(asked["SMILES"]))[:, 0], result["probability_active"], atol=1e-5)
    molecules = [Chem.MolFromSmiles(text) for text in rows["SMILES"]]
    regressor = PriorRegressor(run).fit(molecules, rows["logp"].astype(float))
    expected = adapt(run, *files(columns=("logp",)))["prediction"]
    assert np.allclose(regressor.predict(asked[["SMILES"]]), expected, atol=1e-4)
    with pytest.raises(DataError, match="X: molecule 1: 'C1CC' is not a SMILES"):
        classifier.predict(["CC", "C1CC"])


def test_a_library_is_predicted_some_molecules_at_a_time(run, files, tmp_path):
    support, _ = files()
    library = tmp_path / "large.csv"
    library.write_text("smiles\n" + "\n".join(2 * plain()[:600]) + "\n")
    support.write_text(support.read_text().replace("SMILES", "smiles"))
    assert len(adapt(run, support, library, target="active")) == 1200


@pytest.mark.filterwarnings("ignore:support. 20 labels")
def test_equal_values_say_nothing_of_how_uncertain_they_are(run, files):
    support, query = files(lambda frame: frame.assign(logp="5.0"), columns=("logp",))
    with pytest.warns(UserWarning, match="support: column 'logp': all values are 5, so nothing shows what is higher"):
        result = adapt(run, support, query, kind="regression")
    assert set(result["prediction"]) == {5.0}
    assert all(math.isnan(value) for value in result["uncertainty"])


def test_names_that_read_as_nothing_are_kept(run, files):
    names = ["NA", "None", "null", "nan", "N/A"]

    def called(frame):
        frame.loc[:4, "id"] = names
        return frame

    support, query = files(lambda frame: frame.assign(active=frame["active"].replace("inactive", "None")), called)
    result = adapt(run, support, query)
    assert result["id"][:5] == names
    assert result.columns[3:6] == ("prediction", "probability_None", "probability_active")


def test_columns_and_files_that_cannot_be(run, files, tmp_path):
    support, query = files(columns=("active", "logp"))
    with pytest.raises(DataError, match="target: expected different columns, got active, active"):
        adapt(run, support, query, target=["active", "active"])
    with pytest.raises(DataError, match=r"out: predictions are written as CSV; .* got .*scored.xlsx"):
        adapt(run, support, query, tmp_path / "scored.xlsx")
    with pytest.raises(DataError, match=r"column 'logp' has \d+ different texts \('-\d\.\d{4}', "):
        adapt(run, support, query, target="logp", kind="classification")
    other = tmp_path / "other.csv"
    pandas.read_csv(query).rename(columns={"SMILES": "structure"}).to_csv(other, index=False)
    found = adapt(run, support, other, target="active")
    assert found.understood[0].endswith("; 'SMILES' is what they are of, and 'structure' that of the query")


def test_replicates_do_not_make_it_surer(run, files):
    support, query = files(columns=("logp",))
    once = adapt(run, support, query)["uncertainty"]
    rows = support.read_text().splitlines()
    support.write_text("\n".join([rows[0], *rows[1:] * 4]))
    with pytest.warns(
        UserWarning, match="support: 40 structures have several labels in one assay; their median counts"
    ):
        again = adapt(run, support, query)["uncertainty"]
    assert again == pytest.approx(once)


def test_what_says_the_same_of_every_row_is_no_label_beside_others(run, files):
    paths = files(lambda frame: frame.assign(project="beta", hit="yes"), columns=("active", "project", "hit"))
    with (
        pytest.warns(UserWarning, match="support: 'project' says the same of every row, and is not predicted unless"),
        pytest.warns(UserWarning, match="column 'hit': all labels are 'yes'"),
    ):
        found = adapt(run, *paths)
    assert {"active_prediction", "hit_prediction"} <= {*found.columns}


def test_bounds_and_units_may_stand_in_columns_of_their_own(run, files):
    def typed(relation, unit):
        return lambda frame: frame.assign(
            relation=[relation if at % 4 == 0 else "'='" for at in range(len(frame))],
            units=[unit if at % 2 else "nM" for at in range(len(frame))],
        )

    names = ("logp", "relation", "units")
    support, query = files(typed(">", "nM"), columns=names)
    with pytest.warns(UserWarning, match="support: ") as told:
        found = adapt(run, support, query)
    said = [str(one.message) for one in told]
    assert "support: not predicted, since they hold bounds or units: 'relation', 'units'" in said
    assert any("column 'logp': 10 of 40 values lie beyond a bound" in text for text in said)
    assert len(found.understood) == 1
    support, query = files(typed(">", "uM"), columns=names)
    with pytest.raises(
        DataError, match="support: column 'units' has the units nM, uM; bring the values to one of them"
    ):
        adapt(run, support, query, target="logp")
    support, query = files(typed(">", "nM"), columns=("active", *names))
    with pytest.warns(UserWarning, match="column 'logp': 10 of 40 values lie beyond a bound"):
        found = adapt(run, support, query, target=["active", "logp"])
    assert {"active_probability_inactive", "logp_prediction"} <= {*found.columns}
    support, query = files(lambda frame: typed(">", "nM")(frame).assign(logd=frame.logp), columns=(*names, "logd"))
    with pytest.raises(DataError, match="support: column 'relation' has bounds, and the labels are logp, logd; write"):
        adapt(run, support, query, target=["logp", "logd"])


def test_columns_that_were_lost_or_broke(run, files, tmp_path):
    """A label that the query has a blank column for; numbers too long for a machine; names that differ in blanks."""
    support, query = files(
        lambda frame: frame.assign(Barcode=[f"{10**20 + at}" for at in range(len(frame))]),
        lambda frame: frame.assign(active=""),
        ("active", "Barcode"),
    )
    found = adapt(run, support, query, target="active")
    assert "prediction" in found.columns
    with pytest.warns(UserWarning, match="support: 'Barcode' seems to number the rows, and is not predicted unless"):
        assert len(adapt(run, support, query).understood) == 1
    twice = tmp_path / "twice.csv"
    twice.write_text(support.read_text().replace("id,SMILES", "id,SMILES ", 1).replace("active", "SMILES", 1))
    with pytest.raises(
        DataError, match=r"support: .*twice.csv has several columns 'SMILES'; give each a name of its own"
    ):
        adapt(run, twice, query)


def test_an_error_beside_a_number_is_no_class(run, files):
    support, query = files(lambda frame: frame.assign(logp=frame["logp"] + " ± 0.2"), columns=("active", "logp"))
    with pytest.raises(DataError, match=r"support: column 'logp' has '.* ± 0.2'; expected numbers alone"):
        adapt(run, support, query)
