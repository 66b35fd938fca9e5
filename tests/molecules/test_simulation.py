"""What a simulated screen found, counted by hand."""

import csv
import json

import numpy as np
import pytest

from metaprior.molecules.simulation import Simulation

HITS = {"prior": [[1, 3], [2, 5]], "random": [[0, 1], [0, 2]]}
ROWS = [
    {"strategy": name, "repeat": repeat, "round": at, "measured": 8 * (at + 1), "hits": count, "best": count / 3}
    for name, repeats in HITS.items()
    for repeat, counts in enumerate(repeats)
    for at, count in enumerate(counts)
]
FOUND = Simulation(ROWS, hits=6, library=100)


def test_curves_are_of_rounds_by_repeats():
    curves = FOUND.curves()
    assert list(curves) == ["prior", "random"]
    measured, hits = curves["prior"]
    assert measured == [8, 16]
    assert np.array_equal(hits, HITS["prior"])


def test_it_says_what_was_found():
    assert str(FOUND) == "of 6 hits among 100, after 16 measurements: prior 4.0, random 1.5"


def test_files_hold_all_rows_and_means_with_intervals(tmp_path):
    pytest.importorskip("matplotlib")
    FOUND.write(tmp_path, {"target": "weight"})
    with open(tmp_path / "screen.csv", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [int(row["hits"]) for row in rows] == [row["hits"] for row in ROWS]
    assert rows[1]["best"] == "1"
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["hits"], result["library"], result["target"]) == (6, 100, "weight")
    assert result["curves"]["prior"]["hits"] == [1.5, 4.0]
    # Of two repeats that differ by 2, the deviation is sqrt(2), so that of the mean is 1.
    assert result["curves"]["prior"]["interval_95"][1] == pytest.approx(1.96)
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")


def test_one_repeat_has_no_interval(tmp_path):
    pytest.importorskip("matplotlib")
    Simulation([row for row in ROWS if row["repeat"] == 0], 6, 100).write(tmp_path, {})
    assert json.loads((tmp_path / "result.json").read_text())["curves"]["prior"]["interval_95"] == [0, 0]
