"""One task as a user's own files state it: names, ids, order, units, and what cannot be used."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from metaprior.errors import DataError
from metaprior.tasks.own import read_task

IMAGES = {"kind": "images", "channels": 1, "height": 8, "width": 8, "dark_on_light": False, "fit": "crop"}
DOSE = {"name": "dose", "kind": "number", "mean": 1.0, "scale": 2.0, "missing": False}


def table(**target) -> dict:
    return {"kind": "table", "task": "assay", "columns": [DOSE], "target": {"name": "effect"} | target}


def written(frame: pandas.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Two classes, of two and one images, and three queries; the grey level tells which is which."""
    for level, name in enumerate(
        ["support/dog/a", "support/dog/b", "support/cat/a", "query/z", "query/b/y", "query/a"]
    ):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), level).save(path)
    return tmp_path / "support", tmp_path / "query"


def test_images_are_labelled_by_their_folders_and_queries_named_by_their_paths(folders):
    task = read_task(*folders, IMAGES)
    assert task.classes == ["cat", "dog"]
    assert task.support.y.tolist() == [[0, 1, 1]]
    assert (task.support.x[0, :, 0, 0, 0] * 255).round().tolist() == [2, 0, 1]
    assert (task.columns, task.known) == (["file"], [("a.png",), ("b/y.png",), ("z.png",)])
    assert (task.query[0, :, 0, 0, 0] * 255).round().tolist() == [5, 4, 3]


def test_a_bad_image_goes_with_its_label_and_its_name(folders):
    support, query = folders
    (support / "dog" / "a.png").write_bytes(b"no image")
    (query / "b" / "y.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"support: .*a\.png cannot be read as an image"):
        read_task(support, query, IMAGES)
    with pytest.warns(UserWarning, match="skipped 1 images that cannot be read") as warned:
        task = read_task(support, query, IMAGES, skip_bad=True)
    assert [str(warning.message).split(":")[0] for warning in warned] == ["support", "query"]
    assert task.support.y.tolist() == [[0, 1]]
    assert task.known == [("a.png",), ("z.png",)]
    (support / "cat" / "a.png").write_bytes(b"no image")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(DataError, match="support: class 'cat' has no images in"),
    ):
        read_task(support, query, IMAGES, skip_bad=True)


def test_targets_are_standardised_as_in_acquisition(tmp_path):
    support = written(pandas.DataFrame({"dose": [1, 3], "effect": [10.0, 30.0]}), tmp_path / "s.csv")
    query = written(pandas.DataFrame({"id": ["p", None], "dose": [5, 1]}), tmp_path / "q.csv")
    task = read_task(support, query, table(kind="regression", mean=10.0, scale=5.0))
    assert torch.equal(task.support.x, torch.tensor([[[0.0], [1.0]]]))
    assert torch.equal(task.support.y, torch.tensor([[[0.0], [4.0]]]))
    assert torch.equal(task.query, torch.tensor([[[2.0], [0.0]]]))
    assert (task.classes, task.mean, task.scale) == (None, 10.0, 5.0)
    assert (task.columns, task.known) == (["id"], [("p",), (None,)])


def test_classes_of_acquisition_keep_their_ids_and_others_are_numbered_by_name(tmp_path):
    frame = pandas.DataFrame({"dose": [1, 3, 2], "effect": ["no", "yes", "no"]})
    support = written(frame, tmp_path / "s.csv")
    query = written(frame[["dose"]], tmp_path / "q.csv")
    fixed = read_task(support, query, table(kind="classification", classes=["yes", "maybe", "no"]))
    assert (fixed.classes, fixed.support.y.tolist()) == (["yes", "maybe", "no"], [[2, 0, 2]])
    free = read_task(support, query, table(kind="classification", classes=None))
    assert (free.classes, free.support.y.tolist()) == (["no", "yes"], [[0, 1, 0]])
    assert free.known == [(2,), (3,), (4,)], "rows are numbered as a spreadsheet does"


@pytest.mark.parametrize(
    ("support", "query", "match"),
    [
        ({"effect": ["a", "a"]}, {}, "support: expected at least two classes, got only 'a'"),
        ({"assay": ["p", "q"]}, {}, "support: column 'assay' of .* names 2 tasks; expected the rows of one"),
        ({"effect": ["a", np.nan]}, {}, "support: row 3 of .*: column 'effect' is missing a value"),
        ({}, {"dose": ["1", "x"]}, "query: row 3 of .*: column 'dose' is 'x', expected a number"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, support, query, match):
    frame = pandas.DataFrame({"dose": [1, 3], "effect": ["a", "b"]})
    files = (
        written(frame.assign(**support), tmp_path / "s.csv"),
        written(frame[["dose"]].assign(**query), tmp_path / "q.csv"),
    )
    with pytest.raises(DataError, match=match):
        read_task(*files, table(kind="classification", classes=None))


def test_files_of_an_unknown_kind():
    with pytest.raises(DataError, match="inputs: expected the kind 'images' or 'table', got 'sounds'"):
        read_task("support", "query", {"kind": "sounds"})
