"""A user's own table: splits, sampling, and every kind of file that cannot be used."""

import json
import sys

import numpy as np
import pandas
import pytest
import torch

from metaprior.errors import DataError, MetapriorError
from metaprior.registry import build, describe
from metaprior.tasks import Table
from metaprior.tasks.encoding import encode_table
from metaprior.tasks.rows import read_table


def assays(tasks: int = 10, rows: int = 24) -> pandas.DataFrame:
    """A table of related tasks: each its own slope, with a category and a column that has holes."""
    numbers = np.random.default_rng(0)
    dose = numbers.normal(size=tasks * rows)
    task = np.repeat(np.arange(tasks), rows)
    frame = pandas.DataFrame({"task": [f"t{name}" for name in task], "dose": dose})
    frame["weight"] = np.where(numbers.random(len(frame)) < 0.2, np.nan, 50 + 10 * numbers.normal(size=len(frame)))
    frame["solvent"] = numbers.choice(["water", "oil", "wine"], len(frame))
    frame["target"] = 3 + task * dose + numbers.normal(size=len(frame)) / 10
    return frame


def binary(**arguments) -> pandas.DataFrame:
    frame = assays(**arguments)
    return frame.assign(target=np.where(frame["target"] > 3, "active", "inactive"))


@pytest.fixture
def table(tmp_path):
    def make(frame, **arguments) -> Table:
        path = tmp_path / "table.csv"
        if isinstance(frame, str):
            path.write_text(frame)
        else:
            frame.to_csv(path, index=False)
        return Table(path, **({"shots": 3, "queries": 4} | arguments))

    return make


def read(source: Table) -> Table:
    _ = source.spec
    return source


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def broken(frame: pandas.DataFrame, column: str, value: object, row: int = 17) -> pandas.DataFrame:
    """Put a value into a row, counted as a spreadsheet does: the header is row 1."""
    frame = frame.astype(object)
    frame.loc[row - 2, column] = value
    return frame


def test_regression_tasks(table):
    source = table(assays())
    episode = source.sample(5, generator())
    assert source.spec.kind == "regression"
    assert source.spec.x_shape == (1 + 2 + 4,)
    assert episode.support.x.shape == (5, 3, 7)
    assert episode.query.y.shape == (5, 4, 1)
    assert episode.support.mask is None
    assert episode.ways is None


def test_support_and_query_are_rows_of_one_task_and_never_the_same(table):
    frame = assays()
    source = table(frame.assign(target=np.arange(len(frame)) / 7))
    target = source.inputs["target"]
    for split in ("train", "valid", "test"):
        episode = source.sample(20, generator(), split)
        rows = torch.cat([episode.support.y, episode.query.y], 1)[..., 0] * target["scale"] + target["mean"]
        rows = (rows * 7).round().long()
        assert all(len(set(task.tolist())) == 7 for task in rows)
        assert (rows // 24 == rows[:, :1] // 24).all()


def test_splits_share_no_task(table):
    parts = table(assays())._loaded.parts
    names = {split: set(part.names) for split, part in parts.items()}
    assert [len(part) for part in names.values()] == [6, 2, 2]
    assert len(set.union(*names.values())) == 10


def test_features_and_targets_are_standardised_by_the_training_tasks_alone(table):
    frame = assays()
    source = table(frame)
    train = source._loaded.parts["train"]
    assert train.y.mean().abs() < 1e-6
    assert (train.y.std(correction=0) - 1).abs() < 1e-5
    training = frame[frame["task"].isin(train.names)]
    assert source.inputs["columns"][0]["mean"] == pytest.approx(training["dose"].mean())
    frame.loc[~frame["task"].isin(train.names), "dose"] *= 1000
    assert table(frame).inputs["columns"] == source.inputs["columns"]


def test_classes_that_mean_the_same_in_every_task(table):
    source = table(binary())
    episode = source.sample(8, generator())
    assert source.inputs["target"]["classes"] == ["active", "inactive"]
    assert source.spec.outputs == source.spec.pool == 2
    assert episode.support.y[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert episode.labels.tolist() == [[0, 1]] * 8
    assert episode.ways.tolist() == [2] * 8


def test_classes_that_differ_from_task_to_task(table):
    frame = assays()
    frame["target"] = frame["task"] + "-" + pandas.Series(np.tile(["a", "b", "c", "d"], len(frame) // 4))
    source = table(frame, ways=3)
    assert source.spec.outputs == 3
    assert source.inputs["target"]["classes"] is None
    classes = source._loaded.classes
    for split in ("train", "test"):
        episode = source.sample(10, generator(), split)
        owners = [{classes[label][:2] for label in task} for task in episode.labels.tolist()]
        assert all(len(owner) == 1 for owner in owners)
        assert (episode.labels < source.spec.pool).all() == (split == "train")
    assert source.sample(10, generator()).labels.tolist() != [sorted(task) for task in episode.labels.tolist()]


def test_small_tasks_are_masked(table):
    frame = binary(rows=12)
    source = table(frame, shots=(1, 5), queries=6)
    episode = source.sample(50, generator())
    counts = source._loaded.parts["train"].counts
    assert episode.support.size == 10
    assert episode.query.size == 12
    per_task = episode.support.real.sum(1) + episode.query.real.sum(1)
    assert per_task.max() <= counts.sum(1).max()
    assert (episode.query.real.sum(1) > 0).all()
    assert len(set(episode.support.real.sum(1).tolist())) > 2


def test_tasks_that_are_too_small_are_left_out_and_named(table):
    frame = pandas.concat([assays(), assays().assign(task="tiny")[:3]])
    with pytest.warns(UserWarning, match="1 tasks have too few rows and are left out: tiny"):
        _ = table(frame).spec


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["red", "blue"], "classification"),
        (["0", "1"], "classification"),
        (["1.0", "0.0"], "classification"),
        (["0.5", "1"], "regression"),
        ([str(number) for number in range(12)], "regression"),
        (["True", "False"], "classification"),
    ],
)
def test_the_kind_of_the_target_is_told_by_its_values(table, values, kind):
    frame = assays(rows=36)
    frame["target"] = np.resize(values, len(frame))
    assert table(frame).spec.kind == kind
    if values == ["1.0", "0.0"]:
        assert table(frame).inputs["target"]["classes"] == ["0", "1"]
        assert table(frame, kind="regression").spec.kind == "regression"


def test_numbers_as_classes_are_ordered_as_numbers(table):
    frame = assays()
    frame["target"] = np.resize([2, 10, 1], len(frame))
    assert table(frame).inputs["target"]["classes"] == ["1", "2", "10"]


def test_encoding(table):
    source = table(assays())
    dose, weight, solvent = source.inputs["columns"]
    assert not dose["missing"]
    assert weight["missing"]
    assert solvent["values"] == ["oil", "water", "wine"]
    frame = pandas.DataFrame(
        {
            "weight": [weight["mean"], None],
            "dose": [dose["mean"] + dose["scale"], dose["mean"]],
            "solvent": ["oil", "tar"],
        }
    )
    encoded = encode_table(frame, source.inputs)
    assert torch.allclose(encoded, torch.tensor([[1.0, 0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 1]]))


def test_the_encoding_survives_json_and_the_file(table):
    source = table(assays())
    frame = read_table(source.file, "file")
    again = encode_table(frame, json.loads(json.dumps(source.inputs)))
    assert torch.equal(again, encode_table(frame, source.inputs))
    assert torch.allclose(again, encode_table(assays(), source.inputs), atol=1e-6)


def test_columns_can_be_ignored_or_taken_as_names(table):
    frame = assays().assign(id=np.arange(240), zip=np.resize([8001, 8002], 240))
    names = [column["name"] for column in table(frame, ignore=["id"]).inputs["columns"]]
    assert names == ["dose", "weight", "solvent", "zip"]
    assert table(frame, categorical=["zip"]).inputs["columns"][-1]["values"] == ["8001", "8002"]


def test_an_identifier_makes_no_features_of_its_own(table):
    frame = assays().assign(name=[f"row {number}" for number in range(240)])
    assert table(frame).inputs["columns"][-1] == {"name": "name", "kind": "category", "values": []}


def test_a_column_that_never_varies_and_one_without_values(table):
    source = table(assays().assign(same=1, empty=None))
    assert [column["name"] for column in source.inputs["columns"]] == ["dose", "weight", "solvent", "same"]
    assert source.sample(3, generator()).support.x.isfinite().all()


def test_a_description_rebuilds_it(table):
    source = table(assays(), ignore=("weight",))
    assert build(describe(source)).test_set(5).hash == source.test_set(5).hash


def test_other_shots_do_not_read_again(table, tmp_path):
    source = table(assays())
    _ = source.spec
    (tmp_path / "table.csv").unlink()
    assert source.with_shots(5).sample(2, generator()).support.size == 5


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"file: .*absent\.csv does not exist; expected a CSV file"):
        _ = Table(tmp_path / "absent.csv").spec
    with pytest.raises(DataError, match="is a folder; expected a CSV file"):
        _ = Table(tmp_path).spec


@pytest.mark.parametrize("argument", ["task", "target", "ignore", "categorical"])
def test_no_such_column(table, argument):
    given = {"task": "tasks", "target": "targte", "ignore": ["dosis"], "categorical": ["solvents"]}[argument]
    name = given if isinstance(given, str) else given[0]
    near = {"task": "task", "target": "target", "ignore": "dose", "categorical": "solvent"}[argument]
    with pytest.raises(
        DataError, match=rf"{argument}: .* has no column '{name}': did you mean '{near}'\? It has: task, "
    ):
        _ = table(assays(), **{argument: given}).spec


def test_text_in_a_column_of_numbers(table):
    frame = broken(assays(), "dose", "n.d. ")
    with pytest.raises(
        DataError, match=r"file: row 17 of .*: column 'dose' is 'n\.d\.', expected a number; skip_bad lea"
    ):
        _ = table(frame).spec
    with pytest.warns(UserWarning, match=r"skipped one bad row of .*: row 17: column 'dose'"):
        source = read(table(frame, skip_bad=True))
    assert sum(len(part.x) for part in source._loaded.parts.values()) == 239
    assert source.inputs == table(assays().drop(index=15)).inputs


def test_a_column_that_is_text_more_often_is_a_category(table):
    frame = assays()
    frame["dose"] = frame["dose"].astype(object).where(frame.index % 5 > 0, "low")
    assert table(frame).inputs["columns"][0]["kind"] == "category"


def test_blank_lines_count_as_rows(table):
    text = broken(assays(), "dose", "none?", row=16).to_csv(index=False)
    lines = text.splitlines()
    with pytest.raises(DataError, match="row 17 of"):
        _ = table("\n".join([*lines[:5], "", *lines[5:]])).spec


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "is missing a value"),
        ("nan", "is missing a value"),
        ("inf", "is 'inf', expected a n"),
        ("high", "is 'high'"),
    ],
)
def test_a_target_that_is_no_number(table, value, problem):
    with pytest.raises(DataError, match=f"row 17 of .*: column 'target' {problem}"):
        _ = table(broken(assays(), "target", value)).spec
    with pytest.warns(UserWarning, match="skipped one bad row"):
        _ = table(broken(assays(), "target", value), skip_bad=True).spec


def test_an_infinite_feature(table):
    with pytest.raises(DataError, match=r"row 17 of .*: column 'dose' is '-inf', expected a number"):
        _ = table(broken(assays(), "dose", -np.inf)).spec


def test_a_class_or_a_task_that_is_missing(table):
    for column in ("target", "task"):
        with pytest.raises(DataError, match=f"row 17 of .*: column '{column}' is missing a value"):
            _ = table(broken(binary(), column, None)).spec


def test_one_odd_value_among_integer_classes(table):
    frame = assays()
    frame["target"] = np.resize([0, 1], len(frame))
    with pytest.raises(DataError, match=r"row 17 of .*: column 'target' is '[?]'"):
        _ = table(broken(frame, "target", "?")).spec


def test_a_class_that_no_training_task_has(table):
    source = table(binary())
    test = source._loaded.parts["test"].names[0]
    frame = binary()
    row = frame.index[frame["task"] == test][0]
    frame.loc[row, "target"] = "unclear"
    with pytest.raises(DataError, match=f"row {row + 2} of .*: class 'unclear' occurs in no training task"):
        _ = table(frame).spec


def test_all_bad_rows_are_counted(table):
    with pytest.raises(DataError, match=r"row 17 of .*\(and 1 more bad rows\)"):
        _ = table(broken(broken(assays(), "dose", "x", row=20), "target", None)).spec


def test_too_few_rows_in_all_tasks(table):
    with pytest.raises(
        DataError, match=r"shots: none of the 6 tasks in the train split of .* has 41 rows, which 40 shots and"
    ):
        _ = table(assays(), shots=40).spec
    with pytest.raises(DataError, match="has 2 classes of at least 41 rows"):
        _ = table(binary(), shots=40).spec


def test_too_few_tasks(table):
    with pytest.raises(DataError, match="none of the 0 tasks in the valid split"):
        _ = table(assays(tasks=2)).spec
    assert table(assays(tasks=2), splits=(0.5, 0.5, 0)).spec.outputs == 1
    with pytest.raises(DataError, match=r"split: the test split of .* has no tasks"):
        table(assays(tasks=2), splits=(0.5, 0.5, 0)).sample(1, generator(), "test")


def test_more_ways_than_classes(table):
    with pytest.raises(DataError, match=r"ways: .* has 2 classes in all, too few for tasks of 3"):
        _ = table(binary(), ways=3).spec


@pytest.mark.parametrize("shots", [0, (3, 2)])
def test_shots_that_are_no_number_of_rows(table, shots):
    with pytest.raises(DataError, match="shots: expected a positive number"):
        _ = table(assays(), shots=shots).spec


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot be read as a CSV file"),
        ("task,x,target\n", "has no rows"),
        ("task,x,target\na,1,2\na,1,2,3\n", "line 3"),
        ("task,x,target\na,1,2,3\na,1,2,3\n", "more values than its header has columns"),
        ("task,target\na,1\n", "no values besides the task, the target"),
    ],
)
def test_a_file_that_is_no_table(table, text, match):
    with pytest.raises(DataError, match=match):
        _ = table(text).spec


def test_a_file_in_another_encoding(table, tmp_path):
    source = table(assays())
    (tmp_path / "table.csv").write_bytes("task,größe,target\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read as a CSV file"):
        _ = source.spec


def test_encoding_refuses_what_the_source_would(table):
    inputs = table(assays()).inputs
    with pytest.raises(DataError, match="frame: the table has no column 'dose': did you mean 'doses'"):
        encode_table(assays().rename(columns={"dose": "doses"}), inputs)
    with pytest.raises(DataError, match="frame: row 15: column 'dose' is 'x', expected a number"):
        encode_table(broken(assays(), "dose", "x"), inputs)


def test_without_pandas_the_error_says_what_to_install(table, monkeypatch):
    source = table(assays())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        MetapriorError, match=r"reading a table needs the package 'pandas': pip install \"metaprior\[tab"
    ):
        _ = source.spec
