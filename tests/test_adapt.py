"""From a user's own files to predictions, and every kind of input that cannot be used."""

import csv
import math
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image, ImageDraw
from torch import nn

from metaprior import MAML, ProtoNet, acquire, save
from metaprior.adapt import Predictions, adapt
from metaprior.cli import main
from metaprior.errors import DataError
from metaprior.metric import Ridge
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Images, Table

SHAPES = [("ellipse", "red"), ("rectangle", "red"), ("ellipse", "lime"), ("rectangle", "blue")]


def draw(folder: Path, images: int, classes: range, seed: int = 0) -> Path:
    """Draw classes of images: a shape of a colour at a place of its own, on a dark ground with noise."""
    numbers = np.random.default_rng(seed)
    for index in classes:
        (folder / f"class{index:02}").mkdir(parents=True)
        shape, colour = SHAPES[index % 4]
        corner = 2 + 2 * (index // 4)
        for number in range(images):
            noise = numbers.integers(0, 60, (24, 24, 3), dtype=np.uint8)
            image = Image.fromarray(noise)
            getattr(ImageDraw.Draw(image), shape)((corner, corner, corner + 9, corner + 9), fill=colour)
            image.save(folder / f"class{index:02}" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def images_run(tmp_path_factory) -> Path:
    """A prototypical network acquired on twelve classes."""
    folder = tmp_path_factory.mktemp("images")
    source = Images(draw(folder / "acquire", 6, range(12)), ways=3, queries=3, size=16, splits=(0.5, 0.25, 0.25))
    prior = ProtoNet(Conv4(3, 16, width=16), ways=3)
    acquire(prior, source, steps=15, tasks_per_step=4, validations=1, validation_tasks=5, out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def novel(tmp_path_factory) -> Path:
    """Classes that were never seen, each with two images of support and a nested folder of queries."""
    folder = tmp_path_factory.mktemp("novel")
    draw(folder / "support", 2, range(12, 16), seed=1)
    draw(folder / "query", 4, range(12, 16), seed=2)
    return folder


def assays(tasks: int = 10, rows: int = 30, seed: int = 0) -> pandas.DataFrame:
    numbers = np.random.default_rng(seed)
    frame = pandas.DataFrame({"assay": np.repeat([f"a{name}" for name in range(tasks)], rows)})
    frame["dose"] = numbers.normal(size=len(frame))
    frame["solvent"] = numbers.choice(["oil", "water"], len(frame))
    slope = np.repeat(numbers.uniform(-2, 2, tasks), rows)
    frame["effect"] = 500 + 100 * (slope * frame["dose"] + (frame["solvent"] == "oil"))
    return frame


def written(frame: pandas.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def regression_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("regression")
    source = Table(written(assays(), folder / "a.csv"), task="assay", target="effect", shots=8)
    prior = Ridge(MLP(source.spec.x_shape[0], hidden=(32,)), outputs=1, scale=1.0, penalty=0.1)
    acquire(prior, source, steps=60, learning_rate=0.01, validations=0, out=folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def classes_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    frame = assays()
    frame["effect"] = np.where(frame["effect"] > 500, "active", "inactive")
    source = Table(written(frame, folder / "a.csv"), task="assay", target="effect", shots=3)
    acquire(MAML(MLP(source.spec.x_shape[0], 2)), source, steps=3, validations=0, out=folder / "run")
    return folder / "run"


@pytest.fixture
def rows(tmp_path):
    """Write support and query of one more assay, changed as a test wants them."""

    def make(support=lambda frame: frame, query=lambda frame: frame) -> tuple[Path, Path]:
        frame = assays(tasks=1, rows=40, seed=5)
        asked = frame[20:].assign(id=[f"q{number}" for number in range(20)])[["id", "solvent", "dose"]]
        return written(support(frame[:20]), tmp_path / "support.csv"), written(query(asked), tmp_path / "query.csv")

    return make


def test_images_of_classes_never_seen(images_run, novel, tmp_path):
    result = adapt(images_run, novel / "support", novel / "query", tmp_path / "predictions.csv")
    names = [f"class{index}" for index in range(12, 16)]
    assert result.columns == ("file", "prediction", *(f"probability_{name}" for name in names), "uncertainty")
    assert result["file"] == [f"{name}/{number}.png" for name in names for number in range(4)]
    right = [file.startswith(guess) for file, guess in zip(result["file"], result["prediction"], strict=True)]
    assert sum(right) >= 12
    probabilities = np.array([row[2:6] for row in result.rows])
    assert np.allclose(probabilities.sum(1), 1)
    entropy = -(probabilities * np.log(probabilities.clip(1e-300))).sum(1) / math.log(4)
    assert np.allclose(result["uncertainty"], entropy)
    with open(tmp_path / "predictions.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["prediction"] for row in read] == result["prediction"]
    assert float(read[0]["uncertainty"]) == pytest.approx(result["uncertainty"][0], rel=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"], "no temporary file is left"


def test_flat_folders_and_single_images_are_queries_too(images_run, novel):
    flat = adapt(images_run, novel / "support", novel / "query" / "class13")
    assert flat["file"] == ["0.png", "1.png", "2.png", "3.png"]
    single = adapt(images_run, novel / "support", novel / "query" / "class13" / "2.png")
    assert single["file"] == ["2.png"]
    assert single["uncertainty"][0] == pytest.approx(flat["uncertainty"][2], abs=1e-4)


def test_a_table_of_targets(regression_run, rows):
    support, query = rows()
    result = adapt(regression_run, support, query)
    assert result.columns == ("id", "prediction", "uncertainty")
    assert result["id"] == [f"q{number}" for number in range(20)]
    truth = assays(tasks=1, rows=40, seed=5)["effect"][20:]
    assert np.corrcoef(result["prediction"], truth)[0, 1] > 0.9
    assert abs(np.mean(result["prediction"]) - truth.mean()) < 60
    assert all(0 < spread < 300 for spread in result["uncertainty"])


def test_less_support_is_less_certain(regression_run, rows):
    many = adapt(regression_run, *rows())
    few = adapt(regression_run, *rows(support=lambda frame: frame[:5]))
    assert np.mean(few["uncertainty"]) > np.mean(many["uncertainty"])


def test_one_support_row_has_no_standard_error(regression_run, rows):
    result = adapt(regression_run, *rows(support=lambda frame: frame[:1]))
    assert all(math.isnan(spread) for spread in result["uncertainty"])
    assert result.to_csv().splitlines()[1].endswith(",")


def test_a_table_of_classes(classes_run, rows):
    def label(frame):
        return frame.assign(effect=np.where(frame["effect"] > 500, "active", "inactive"))

    result = adapt(classes_run, *rows(support=label))
    assert result.columns == ("id", "prediction", "probability_active", "probability_inactive", "uncertainty")
    with pytest.raises(
        DataError, match=r"support: row 7 of .*: class 'toxic' was not among those of acquisition: active"
    ):
        adapt(classes_run, *rows(support=lambda frame: broken(label(frame), "effect", "toxic")))
    with pytest.raises(DataError, match=r"row 7 of .*: column 'effect' is missing a value"):
        adapt(classes_run, *rows(support=lambda frame: broken(label(frame), "effect", None)))


def broken(frame: pandas.DataFrame, column: str, value: object, row: int = 7) -> pandas.DataFrame:
    frame = frame.astype(object).reset_index(drop=True)
    frame.loc[row - 2, column] = value
    return frame


def test_rows_are_numbered_where_nothing_else_tells_them_apart(regression_run, rows):
    assert adapt(regression_run, *rows(query=lambda frame: frame[["dose", "solvent"]]))["row"] == list(range(2, 22))


def test_a_prior_in_memory_is_left_in_its_mode(novel):
    prior = ProtoNet(nn.Flatten(), ways=2).train()
    inputs = Images("unused", size=16).inputs
    assert len(adapt(prior, novel / "support", novel / "query", inputs=inputs)) == 16
    assert prior.training


def test_predictions_as_a_csv():
    predictions = Predictions(("a, b", "c"), ((1.23456789, None), ("x", float("nan"))))
    assert predictions.to_csv() == '"a, b",c\n1.23457,\nx,\n'


def test_paths_that_do_not_exist(images_run, regression_run, novel, rows, tmp_path):
    absent, (support, query) = tmp_path / "absent", rows()
    for run, known, asked in ((images_run, novel / "support", novel / "query"), (regression_run, support, query)):
        with pytest.raises(DataError, match=r"support: .*absent does not exist"):
            adapt(run, absent, asked)
        with pytest.raises(DataError, match=r"query: .*absent does not exist"):
            adapt(run, known, absent)


def test_an_empty_query(images_run, regression_run, novel, rows, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"query: .*empty holds no images"):
        adapt(images_run, novel / "support", tmp_path / "empty")
    with pytest.raises(DataError, match=r"query: .*query.csv has no rows"):
        adapt(regression_run, *rows(query=lambda frame: frame[:0]))


def test_a_table_for_a_prior_of_images_and_the_reverse(images_run, regression_run, novel, rows):
    support, query = rows()
    with pytest.raises(DataError, match=r"support: the prior is for images; expected a folder .*, got .*support\.csv"):
        adapt(images_run, support, novel / "query")
    with pytest.raises(
        DataError, match=r"query: the prior is for images; expected a folder of images, got .*query\.csv"
    ):
        adapt(images_run, novel / "support", query)
    with pytest.raises(DataError, match=r"support: .* is a folder; expected a CSV file"):
        adapt(regression_run, novel / "support", query)


def test_a_class_without_images(images_run, novel, tmp_path):
    draw(tmp_path, 1, range(2))
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match="support: class 'notes' has no images in"):
        adapt(images_run, tmp_path, novel / "query")


def test_a_single_class(images_run, novel, tmp_path):
    with pytest.raises(DataError, match="support: expected at least two classes, got only 'class00'"):
        adapt(images_run, draw(tmp_path, 1, range(1)), novel / "query")


def test_broken_images_are_named_or_skipped(images_run, novel, tmp_path):
    query = draw(tmp_path / "query", 2, range(2))
    (query / "class01" / "0.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"query: .*class01/0\.png cannot be read as an image .*; skip_bad leaves"):
        adapt(images_run, novel / "support", query)
    with pytest.warns(UserWarning, match=r"query: skipped 1 images that cannot be read: .*class01/0\.png"):
        result = adapt(images_run, novel / "support", query, skip_bad=True)
    assert result["file"] == ["class00/0.png", "class00/1.png", "class01/1.png"]
    with (
        pytest.warns(UserWarning, match="query: skipped 1"),
        pytest.raises(DataError, match="query: none of its 1 images"),
    ):
        adapt(images_run, novel / "support", query / "class01" / "0.png", skip_bad=True)


@pytest.mark.parametrize("part", ["support", "query"])
def test_rows_that_cannot_be_used(regression_run, rows, part):
    bad = rows(**{part: lambda frame: broken(frame, "dose", "much")})
    with pytest.raises(DataError, match=rf"{part}: row 7 of .*{part}\.csv: column 'dose' is 'much', expected a number"):
        adapt(regression_run, *bad)
    with pytest.warns(UserWarning, match=rf"{part}: skipped one bad row of .*{part}\.csv: row 7: column 'dose'"):
        result = adapt(regression_run, *bad, skip_bad=True)
    assert len(result) == 20 - (part == "query")
    with pytest.raises(DataError, match=rf"{part}: none of the rows of .* can be used"):
        adapt(regression_run, *rows(**{part: lambda frame: frame.assign(dose="much")}), skip_bad=True)


@pytest.mark.parametrize(("part", "column"), [("support", "dose"), ("query", "solvent"), ("support", "effect")])
def test_missing_columns(regression_run, rows, part, column):
    with pytest.raises(DataError, match=rf"{part}: .*{part}\.csv has no column '{column}': did you mean '{column}s'"):
        adapt(regression_run, *rows(**{part: lambda frame: frame.rename(columns={column: f"{column}s"})}))


def test_several_tasks_at_once(regression_run, rows):
    with pytest.raises(DataError, match=r"support: column 'assay' of .* names 2 tasks; expected the rows of one"):
        adapt(regression_run, *rows(support=lambda frame: broken(frame, "assay", "other")))


def test_more_classes_than_the_prior_has_outputs(novel, tmp_path):
    save(MAML(Conv4(3, 16, outputs=3, width=8)), tmp_path, inputs=Images("unused", size=16).inputs)
    with pytest.raises(DataError, match="support: has 4 classes, more than the 3 outputs of the prior"):
        adapt(tmp_path, novel / "support", novel / "query")


def test_a_prior_that_says_nothing_of_files(novel, tmp_path):
    save(ProtoNet(Conv4(3, 16)), tmp_path, inputs=None)
    with pytest.raises(
        DataError, match=r"prior: .* does not say how files become inputs; acquire it on images, a table or molecules"
    ):
        adapt(tmp_path, novel / "support", novel / "query")
    with pytest.raises(DataError, match="inputs: expected how files become inputs"):
        adapt(ProtoNet(nn.Flatten()), novel / "support", novel / "query")
    with pytest.raises(DataError, match="inputs: expected the kind 'images' or 'table', got 'sound'"):
        adapt(tmp_path, novel / "support", novel / "query", inputs={"kind": "sound"})


def test_an_output_that_is_a_folder(images_run, novel, tmp_path):
    with pytest.raises(DataError, match=r"out: .* is a folder; expected the name of a file"):
        adapt(images_run, novel / "support", novel / "query", tmp_path)


def test_nothing_a_user_had_is_lost(tmp_path):
    support, query = (Path("examples") / f"molecules_{name}.csv" for name in ("assay", "library"))
    own = tmp_path / "own.csv"
    own.write_text(support.read_text())
    for name, files in (("support", (own, query)), ("query", (support, own))):
        with pytest.raises(DataError, match=rf"out: .*own\.csv is the {name}, which would be lost"):
            adapt("zoo:molecules", *files, out=own)
    assert own.read_text() == support.read_text()
    scored, again = tmp_path / "scored.csv", tmp_path / "again.csv"
    first = adapt("zoo:molecules", support, query, scored, target="activity")
    with pytest.warns(UserWarning, match="'prediction' is 'prediction_given'"):
        second = adapt("zoo:molecules", support, scored, again, target="activity")
    assert second["prediction_given"] == [str(value) for value in first["prediction"]]


def test_a_device_that_is_not_there_is_named(capsys):
    words = ["adapt", "zoo:molecules", "--support", "examples/molecules_assay.csv", "--query"]
    assert main([*words, "examples/molecules_library.csv", "--device", "nowhere"]) == 2
    assert "--device: 'nowhere' cannot be used here" in capsys.readouterr().err
