import urllib.request
import warnings
from functools import partial

import pytest
import torch

from metaprior import save
from metaprior.cli import main
from metaprior.errors import MetapriorError
from metaprior.fields import Cameras, Field, Frequency, render_views, save_field
from metaprior.fields.generate import generate
from metaprior.fields.view import View, camera_of, with_notes

pytest.importorskip("viser")
# Of sockets by which viser asks for a free port.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

FIELD = Field(Frequency(1), width=8, hidden=1)
WEIGHTS = FIELD.initial(1, torch.Generator().manual_seed(0))


def test_a_server_starts_and_answers_with_a_page_of_its_own():
    view = View(FIELD, WEIGHTS, "a red ball", make=lambda prompt: (FIELD, WEIGHTS), port=8931, size=8)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{view.port}", timeout=20) as answer:
            page = answer.read().decode()
        assert answer.status == 200
        assert "<html" in page.lower()
        assert 'src="http' not in page  # nothing from elsewhere
    finally:
        view.stop()


def test_what_the_page_draws_is_what_a_camera_sees():
    own = Cameras.looking(torch.tensor([[0.0, -3.0, 0.0]]), 12, field_of_view=40.0)
    view = View(FIELD, WEIGHTS, port=8932, size=12, samples=16)
    try:
        # Turned from z ahead and y down to the front: by a quarter around x.
        turn = (2**-0.5, -(2**-0.5), 0.0, 0.0)
        seen = view.picture((0.0, -3.0, 0.0), turn, torch.tensor(40.0).deg2rad().item(), 1.0)
    finally:
        view.stop()
    torch.testing.assert_close(seen, render_views(FIELD, WEIGHTS, own, 16).over()[0], atol=1e-4, rtol=1e-4)


def test_what_is_to_be_said_of_a_prompt_is_said_in_the_page():
    other = FIELD.initial(1, torch.Generator().manual_seed(1))

    def make(prompt):
        if not prompt:
            raise MetapriorError("prompt: expected words")
        warnings.warn(f"prompt: '{prompt}' was never met", stacklevel=2)
        return FIELD, other

    view = View(FIELD, WEIGHTS, make=make, port=8934, size=8)
    try:
        assert view.ask("") == "prompt: expected words"
        assert view.shown[1] is WEIGHTS
        view.line.value = "xylophone"  # as if it were typed
        assert view.note.content == "prompt: 'xylophone' was never met"
        assert view.shown[1] is other
    finally:
        view.stop()


def test_wide_pages():
    camera = camera_of((0, 0, 3), (0, 1, 0, 0), 0.7, 2.0, 30)
    assert (camera.width, camera.height) == (30, 15)


def test_what_is_to_be_said_of_the_first_prompt_is_said_in_both_places(prior, tmp_path, capsys, monkeypatch):
    stopped = []
    monkeypatch.setattr(View, "stop", lambda view: stopped.append(view) or view.server.stop())
    empty = prior()
    with torch.no_grad():
        empty.net.writers[-1].base[-4] -= 100.0  # the logarithm of the density
    _, notes = with_notes(partial(generate, prior=empty), "a red ball")
    assert [note for note in notes if "shows next to nothing" in note]
    save(empty, tmp_path / "prior.safetensors")
    words = ["--prior", str(tmp_path / "prior.safetensors"), "--port", "8935", "--seconds", "0.3", "--size", "8"]
    assert main(["view", "a red ball", *words]) == 0
    assert "the field of 'a red ball' shows next to nothing" in capsys.readouterr().err
    assert "the field of 'a red ball' shows next to nothing" in stopped[0].note.content
    assert main(["view", "a red ball", *words, "--device", "abacus"]) == 2
    assert "--device: 'abacus' cannot be used here" in capsys.readouterr().err


def test_command(tmp_path, capsys):
    save_field(tmp_path / "field.safetensors", FIELD, WEIGHTS, prompt="a red ball")
    assert main(["view", str(tmp_path), "--port", "8933", "--seconds", "0.3", "--size", "8"]) == 0
    assert "http://127.0.0.1:" in capsys.readouterr().out
    assert main(["view", str(tmp_path / "none.safetensors")]) == 2
    assert "no such field" in capsys.readouterr().err
    for words, told in (
        (["--port", "99999"], "port: expected 0 to 65535, got 99999"),
        (["--host", "999.9.9.9"], "host: cannot serve from '999.9.9.9'"),
        (["--device", "cuda"], "--device: it is for prompts"),
        (["--prior", "nowhere"], "--prior: it is for prompts"),
    ):
        assert main(["view", str(tmp_path), *words]) == 2
        assert told in capsys.readouterr().err
