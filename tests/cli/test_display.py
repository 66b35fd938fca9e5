"""What the terminal shows: numbers to the right, nothing cut off, a bar that ends with the score."""

import io

import pytest
import rich.progress
from rich.console import Console

from metaprior.acquire import Progress
from metaprior.cli import display


class Eager(rich.progress.Progress):
    """A bar that is drawn at every change, not ten times a second."""

    def update(self, *arguments, **changes):
        super().update(*arguments, **changes)
        self.refresh()


@pytest.fixture
def screen(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(display, "Progress", Eager)
    monkeypatch.setattr(display, "console", Console(file=text, width=100, force_terminal=True, color_system=None))
    return text


def test_numbers_stand_to_the_right(capsys):
    display.table(("prior", "steps"), [("maml", "5"), ("protonet", "1,000")], title="Priors")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "Priors"
    assert lines[-2].endswith("    5")
    assert lines[-1].endswith("1,000")


def test_a_bar_shows_loss_and_the_last_score(screen):
    with display.progress_bar("accuracy") as update:
        update("maml", Progress(step=1, seconds=1.0, fraction=0.5, loss=2.0, validation=0.875))
        update("maml", Progress(step=2, seconds=2.0, fraction=1.0, loss=1.25, validation=None))
    assert "step 2  loss 1.25  validation 87.5 %" in screen.getvalue()
    assert screen.getvalue().splitlines()[-2].endswith("validation 87.5 %"), "what stays is the score"


def test_an_error_is_no_percentage_and_scoring_says_so(screen):
    with display.progress_bar("mse") as update:
        update("ridge", Progress(step=1, seconds=1.0, fraction=0.5, loss=2.0, validation=0.0123456))
        update("ridge", None)
    assert "validation 0.01235 scoring ..." in screen.getvalue()
