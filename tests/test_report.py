"""A comparison as files."""

import builtins
import io

import matplotlib.image
import pytest
import torch

from metaprior.acquire import Progress
from metaprior.compare import Comparison, Entry
from metaprior.errors import MetapriorError
from metaprior.evaluate import Evaluation
from metaprior.report import check_plots, columns, draw_curves, markdown, page, rows, write_report


def evaluation(mean, metric="accuracy"):
    return Evaluation(torch.tensor([mean, mean + 0.1]), metric, "abc", False, 1234567, 4321, 0.0123)


def comparison(metric="accuracy", by_shots=True):
    log = [Progress(1, 1.0, 0.5, 2.0, 0.3), Progress(2, 2.0, 1.0, 1.0, 0.6)]
    curve = {1: evaluation(0.5, metric), 5: evaluation(0.7, metric)} if by_shots else {}
    entries = [
        Entry("<proto>", False, evaluation(0.75, metric), log, 2.0, curve),
        Entry("scratch", True, evaluation(0.25, metric), [], 0.0, curve),
    ]
    tasks = {"source": "a & b", "arguments": {}}
    settings = {"tasks": tasks, "data_hash": "d", "test_hash": "abc", "budget_seconds": 2.0, "episodes": 2, "seed": 0}
    return Comparison(entries, settings)


def test_table_has_a_cell_for_each_column():
    first, second = rows(comparison())
    assert len(first) == len(second) == len(columns)
    assert first == ("<proto>", "80.00 ± 9.80 %", "+50 ± 0", "no", "1,234,567", "4.32 kB", "2 s", "12.3 ms")
    assert second[0] == "scratch†"


def test_markdown_ends_with_what_was_tested():
    text = markdown(comparison())
    assert text.count("\n| ") == 3
    assert "2 test tasks, the same for all (hash abc); 2 s of acquisition each" in text


@pytest.mark.parametrize("metric", ["accuracy", "mse"])
@pytest.mark.parametrize("by_shots", [True, False])
def test_curves_are_a_picture(metric, by_shots):
    picture = matplotlib.image.imread(io.BytesIO(draw_curves(comparison(metric, by_shots))))
    assert picture.shape[0] > 300
    assert picture.std() > 0.02, "not one colour"


def test_page_needs_nothing_beside_it_and_escapes_names():
    text = page(comparison(), b"picture")
    assert "&lt;proto&gt;" in text
    assert "a &amp; b" in text
    assert 'src="data:image/png;base64,cGljdHVyZQ=="' in text
    assert "http" not in text


def test_writes_four_files(tmp_path):
    write_report(comparison(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "report.html", "result.json", "table.md"]


def test_says_which_extra_draws(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MetapriorError, match=r'pip install "metaprior\[vision\]"'):
        check_plots()
