"""A table as numbers: every good row is in one split, next to those of its task and class."""

import numpy as np
import pandas
import pytest
import torch

from metaprior.errors import DataError
from metaprior.tasks.loaded_table import LoadedTable, load_table


def load(tmp_path, frame, **changes) -> LoadedTable:
    frame.to_csv(tmp_path / "a.csv", index=False)
    given = {"task": "task", "target": "target", "ways": None, "kind": "auto", "ignore": (), "categorical": ()}
    return load_table(
        str(tmp_path / "a.csv"), **(given | {"splits": (0.6, 0.2, 0.2), "seed": 0, "skip_bad": False} | changes)
    )


def shuffled(classes: int) -> pandas.DataFrame:
    """Ten tasks of unequal size in no order; the feature tells the row, the target its class."""
    numbers = np.random.default_rng(0)
    task = np.repeat(np.arange(10), np.arange(11, 21))
    frame = pandas.DataFrame(
        {"task": task, "row": np.arange(len(task)), "target": numbers.integers(0, classes, len(task))}
    )
    return frame.sample(frac=1, random_state=0)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_rows_lie_next_to_those_of_their_task_and_class(tmp_path, kind):
    frame = shuffled(3)
    table = load(tmp_path, frame, kind=kind)
    column = table.inputs["columns"][0]
    seen = []
    for part in table.parts.values():
        for name, starts, counts in zip(part.names, part.starts.tolist(), part.counts.tolist(), strict=True):
            for label, (start, count) in enumerate(zip(starts, counts, strict=True)):
                rows = part.x[start : start + count, 0] * column["scale"] + column["mean"]
                asked = frame[frame["task"] == int(name)]
                if kind == "classification":
                    asked = asked[asked["target"] == int(table.classes[label])]
                    assert (part.y[start : start + count] == label).all()
                assert sorted(rows.round().int().tolist()) == sorted(asked["row"])
                seen += rows.round().int().tolist()
    assert sorted(seen) == list(range(len(frame)))


def test_the_training_tasks_alone_settle_the_encoding(tmp_path):
    frame = shuffled(30)
    table = load(tmp_path, frame, kind="regression")
    training = frame[frame["task"].astype(str).isin(table.parts["train"].names)]
    assert table.inputs["target"]["mean"] == pytest.approx(training["target"].mean())
    assert table.parts["train"].x.mean().item() == pytest.approx(0, abs=1e-5)
    assert table.parts["train"].y.var(correction=0).item() == pytest.approx(1, rel=1e-5)


def test_classes_known_from_training_come_first(tmp_path):
    frame = shuffled(2)
    names = load(tmp_path, frame).parts["test"].names
    frame.loc[frame["task"].astype(str).isin(names), "target"] += 7
    with pytest.raises(DataError, match=r"class '[78]' occurs in no training task"):
        load(tmp_path, frame)
    table = load(tmp_path, frame, ways=2)
    assert (table.classes, table.known) == (["0", "1", "7", "8"], 2)
    assert table.inputs["target"]["classes"] is None
    assert torch.equal(table.parts["test"].y.unique(), torch.tensor([2, 3]))


def test_decimal_commas_are_refused(tmp_path):
    file = tmp_path / "german.csv"
    rows = [f"a{task};0,{dose}7;{task * dose / 10}" for task in range(10) for dose in range(4)]
    file.write_text("\n".join(["assay;dose;effect", *rows]))
    with pytest.raises(DataError, match=r"file: column 'dose' of .* has '0,07'; write numbers with points"):
        load_table(str(file), "assay", "effect", None, "auto", (), (), (0.6, 0.2, 0.2), 0, False)
