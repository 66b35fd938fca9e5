"""`metaprior fit` and `metaprior render` as a user meets them."""

import json
import subprocess
import sys

import pytest

from metaprior.cli import main

FAST = ["--size", "12", "--views", "6", "--held-out", "2", "--steps", "10", "--rays", "64", "--samples", "16"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("fields") / "torus"
    assert main(["fit", "a shiny red torus", *FAST, "--cells", "16", "--out", str(out)]) == 0
    return out


def test_fit_writes_field_score_picture_and_options(folder, capsys):
    assert {file.name for file in folder.iterdir()} == {
        "field.safetensors",
        "result.json",
        "preview.png",
        "config.yaml",
    }
    result = json.loads((folder / "result.json").read_text())
    assert result["prompt"] == "a glossy red torus"
    assert result["steps"] == 10
    assert main(["fit", "a shiny red torus", "--config", str(folder / "config.yaml"), "--out", str(folder / "2")]) == 0
    assert json.loads((folder / "2" / "result.json").read_text())["psnr"] == result["psnr"]
    assert "PSNR" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.ply"])
def test_render_writes_what_the_ending_says(folder, name, capsys):
    small = ["--size", "12", "--frames", "2", "--cells", "16", "--level", "1"]
    assert main(["render", str(folder), "--out", str(folder / name), *small]) == 0
    assert (folder / name).is_file()
    assert "a.p" in capsys.readouterr().out.replace("\n", "") or name.endswith("gif")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["fit", ""], "prompt: expected words"),
        (["fit", "a red torsu"], "did you mean 'torus'"),
        (["fit", "none.glb"], "no such file: none.glb"),
        (["fit", "nowhere/transforms.json"], "no such file"),
        (
            ["fit", "a red ball", "--size", "10", "--views", "2"],
            "size: expected at least 11 pixels, got 10",
        ),
        (["generate", "a red ball", "--out", "a.png", "--cells", "-2"], "cells: expected a positive number, got -2"),
        (["view", ""], "prompt: expected words"),
        (["view", "FOLDER", "--size", "-4", "--seconds", "0"], "size: expected a positive number, got -4"),
        (["fit", "a red torus", "--encoder", "cube"], "--encoder: expected one of"),
        (["render", "nowhere", "--out", "a.png"], "no such field"),
        (["render", "FOLDER", "--out", "a.jpg"], "unknown format '.jpg'"),
        (["render", "FOLDER", "--out", "a.ply", "--level", "1e9", "--cells", "8"], "is empty"),
    ],
)
def test_wrong_inputs_are_answered_by_a_sentence(folder, words, error, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(folder) if word == "FOLDER" else word for word in words]) == 2
    told = capsys.readouterr().err
    assert error in told
    assert len(told.splitlines()) == 1


def test_fields_are_imported_without_optional_packages():
    names = ("trimesh", "skimage", "imageio_ffmpeg", "viser", "transformers", "PIL")
    program = f"import sys, metaprior.fields; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
