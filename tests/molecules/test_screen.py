"""The loop as a user meets it: a table to simulate by, or batches to measure and fill in."""

import csv
import json

import numpy as np
import pandas
import pytest

from metaprior import Ridge, acquire, load, read_card, save
from metaprior.cli import main
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules import NCI
from metaprior.molecules.nci import nci_smiles
from metaprior.molecules.screen import Batch, screen
from metaprior.molecules.simulation import Simulation
from metaprior.nets import MLP

Chem = pytest.importorskip("rdkit.Chem")
from rdkit.Chem.Descriptors import MolWt  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A prior acquired on descriptors, of which the weight is a relative."""
    folder = tmp_path_factory.mktemp("run")
    source = NCI(shots=16, molecules=300, kind="regression")
    acquire(
        Ridge.for_tasks(source.spec, MLP(2048, hidden=(32,))), source, steps=20, tasks_per_step=8,
        validations=0, out=folder,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def library() -> pandas.DataFrame:
    smiles = [text for text in nci_smiles(1200) if not set(text) & set(".+-")][300:420]
    values = [MolWt(Chem.MolFromSmiles(text)) for text in smiles]
    names = [f"m{at}" for at in range(len(smiles))]
    return pandas.DataFrame({"id": names, "SMILES": smiles, "weight": np.round(values, 4)})


def test_a_simulation_finds_more_than_chance(run, library, tmp_path):
    file = tmp_path / "library.csv"
    library.to_csv(file, index=False)
    words = ["--library", str(file), "--target", "weight", "--rounds", "3", "--batch", "8", "--hits", "0.1"]
    assert main(["screen", str(run), *words, "--repeats", "2", "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["hits"], result["library"]) == (12, 120)
    ends = {name: curve["hits"][-1] for name, curve in result["curves"].items()}
    assert set(ends) == {"prior", "gp", "random"}
    assert ends["prior"] > ends["random"]
    with open(tmp_path / "out" / "screen.csv", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 3 * 2 * 4
    assert {row["measured"] for row in rows} == {"8", "16", "24", "32"}
    assert (tmp_path / "out" / "screen.png").read_bytes().startswith(b"\x89PNG")
    picks = pandas.read_csv(tmp_path / "out" / "picks.csv")
    assert picks["round"].value_counts().tolist() == [8] * 4
    assert picks["id"].is_unique
    assert picks.loc[picks["round"] == 0, "weight"].mean() < picks.loc[picks["round"] == 1, "weight"].mean()


def test_low_values_can_be_sought(run, library, tmp_path):
    file = tmp_path / "library.csv"
    library.to_csv(file, index=False)
    found = screen(
        run, file, "weight", tmp_path / "out", minimise=True, rounds=2, batch=8, hits=0.1, repeats=1, controls=()
    )
    assert isinstance(found, Simulation)
    best = [row["best"] for row in found.rows]
    assert best == sorted(best, reverse=True)
    assert min(best) >= library["weight"].min()


def test_batches_are_written_and_taken_back(run, library, tmp_path):
    file, out = tmp_path / "library.csv", tmp_path / "out"
    library.drop(columns="weight").to_csv(file, index=False)
    truth = dict(zip(library["id"], library["weight"], strict=True))
    options = {"target": "weight", "batch": 6, "out": out, "acquisition": "greedy"}
    seen: list[str] = []
    for number in (1, 2, 3):
        found = screen(run, file, **options)
        assert isinstance(found, Batch)
        assert found.file == out / f"round-{number}.csv"
        assert found.measured == 6 * (number - 1)
        frame = pandas.read_csv(found.file)
        assert frame["weight"].isna().all()
        assert ("predicted" in frame) == (number > 1)
        assert not set(frame["id"]) & set(seen)
        seen += list(frame["id"])
        with pytest.raises(DataError, match=rf"round-{number}\.csv waits for its labels: fill in its column 'weight'"):
            screen(run, file, **options)
        frame["weight"] = frame["id"].map(truth)
        frame.to_csv(found.file, index=False)
    means = [library.loc[library["id"].isin(seen[start : start + 6]), "weight"].mean() for start in (0, 6, 12)]
    assert means[2] > means[0]


def test_earlier_measurements_are_taken_into_account(run, library, tmp_path):
    file, before = tmp_path / "library.csv", tmp_path / "before.csv"
    library.drop(columns="weight").to_csv(file, index=False)
    library[:10].to_csv(before, index=False)
    found = screen(run, file, "weight", tmp_path / "out", measured=before, batch=200)
    assert found.measured == 10
    assert found.size == 110, "what was measured is not asked for again"
    frame = pandas.read_csv(found.file)
    assert np.corrcoef(frame["predicted"], frame["id"].map(library.set_index("id")["weight"]))[0, 1] > 0.3


def test_wrong_input(run, library, tmp_path):
    file = tmp_path / "library.csv"
    library.to_csv(file, index=False)
    wrong = [
        ({"acquisition": "ei"}, UnknownNameError, "unknown acquisition 'ei'"),
        ({"hits": 2}, DataError, "hits: expected a share of the library, less than 1; got 2"),
        ({"controls": ["forest"]}, UnknownNameError, "unknown control 'forest'"),
        ({"batch": 100}, DataError, "library: has 120 with a value of 'weight'; expected more than 200"),
        ({"measured": file}, DataError, "measured: .* has the column 'weight', so that the assay is simulated from it"),
    ]
    for change, kind, told in wrong:
        with pytest.raises(kind, match=told):
            screen(run, file, "weight", tmp_path / "out", **change)
    library.assign(SMILES=["C1CC", *library["SMILES"][1:]]).to_csv(file, index=False)
    with pytest.raises(DataError, match=r"library: row 2 of .*: 'C1CC' is not a SMILES"):
        screen(run, file, "weight", tmp_path / "out")


def test_what_is_of_simulations_alone_is_told(run, library, tmp_path):
    file = tmp_path / "library.csv"
    library.drop(columns="weight").to_csv(file, index=False)
    with pytest.warns(UserWarning, match="rounds, controls: of simulations alone; .* has no 'weight', so the next"):
        found = screen(run, file, "weight", tmp_path / "out", rounds=3, batch=5, controls=["gp"])
    assert isinstance(found, Batch)


def test_what_is_in_a_table_twice_is_measured_once(run, library, tmp_path):
    file = tmp_path / "library.csv"
    other = library.assign(weight=library["weight"] + 20, id=library["id"] + "b")
    pandas.concat([library, other, library]).to_csv(file, index=False)
    with pytest.warns(UserWarning, match="library: 120 structures have several labels in one assay; their median"):
        found = screen(run, file, "weight", tmp_path / "out", rounds=15, batch=8, hits=0.1, repeats=1, controls=())
    assert (found.library, found.hits) == (120, 12)
    picks = pandas.read_csv(tmp_path / "out" / "picks.csv")
    assert picks["SMILES"].is_unique
    assert found.rows[-1]["measured"] == 120
    assert found.rows[-1]["hits"] == 12


def test_which_values_are_better(run, library, tmp_path):
    """Of a prior whose tasks took low values for better, low values are looked for."""
    file, fixed = tmp_path / "library.csv", tmp_path / "fixed"
    library.to_csv(file, index=False)
    card = read_card(run)
    target = {"mean": 2.3, "scale": -0.2, "logarithm": True}
    save(load(run), fixed, inputs={**card["inputs"], "target": target}, spec=card["spec"])
    settings = {"rounds": 2, "batch": 8, "hits": 0.1, "repeats": 1, "controls": ()}
    with pytest.warns(UserWarning, match="minimise: low values of 'weight' are looked for"):
        found = screen(fixed, file, "weight", tmp_path / "out", **settings)
    assert found.rows == screen(fixed, file, "weight", tmp_path / "out", minimise=True, **settings).rows
    best = [row["best"] for row in screen(fixed, file, "weight", tmp_path / "out", minimise=False, **settings).rows]
    assert best == sorted(best)
    library.assign(weight=["low", "high"] * 60).to_csv(file, index=False)
    with pytest.raises(DataError, match="library: column 'weight' has no number, but low, high; a screen is by values"):
        screen(run, file, "weight", tmp_path / "out")


def test_a_library_keeps_its_columns_and_its_duplicates_are_measured_once(run, library, tmp_path):
    file, before = tmp_path / "library.csv", tmp_path / "before.csv"
    asked = library.drop(columns="weight").assign(predicted="mine")
    pandas.concat([asked, asked[20:40]]).to_csv(file, index=False)
    library[:10].to_csv(before, index=False)
    with pytest.warns(UserWarning, match="library: has columns .* 'predicted' is 'predicted_given' now"):
        found = screen(run, file, "weight", tmp_path / "out", measured=before, batch=200)
    frame = pandas.read_csv(found.file)
    assert found.size == len(frame) == frame["id"].nunique() == 110
    assert set(frame["predicted_given"]) == {"mine"}
    assert frame["predicted"].dtype == float
