import json

import pytest
import torch

from metaprior.errors import AcquireError, DataError, MetapriorError
from metaprior.fields import fit, load_field, open_scene
from metaprior.fields.fit import Fitted
from metaprior.fields.scenes import kenney_models

SETTINGS = {"rays": 256, "samples": 24, "cells": 16, "width": 16}


@pytest.fixture(scope="module")
def scene():
    return open_scene("a red ball on a blue box", size=20, views=12, held_out=3)


@pytest.fixture(scope="module")
def fitted(scene):
    return fit(*scene, steps=120, **SETTINGS)


def test_a_fit_shows_the_held_out_views(scene, fitted):
    blank = -10 * (1 - scene[1].over()).square().mean().log10()
    assert fitted.psnr.mean() > blank + 6
    assert fitted.psnr.mean() > 18
    assert not fitted.collapsed
    assert 0.01 < fitted.occupied < 0.9


def test_a_fit_repeats_with_its_seed(scene):
    one, same, other = (fit(*scene, steps=3, seed=seed, **SETTINGS).psnr for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_what_is_written(fitted, tmp_path):
    fitted.write(tmp_path, {"seed": 0})
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["seed"] == 0
    assert result["psnr"] == pytest.approx(fitted.psnr.mean().item(), abs=1e-3)
    assert result["prompt"] == "a red ball on a blue box"
    network, facts = load_field(tmp_path)
    assert facts["prompt"] == result["prompt"]
    assert torch.equal(network.weights["layers.0.weight"], fitted.weights["layers.0.weight"])
    assert (tmp_path / "preview.png").stat().st_size > 500


def test_progress_is_reported(scene):
    lines = []
    fit(*scene, steps=3, report=lines.append, **SETTINGS)
    assert [line.step for line in lines] == [1, 2, 3]
    assert lines[-1].fraction == 1.0


@pytest.mark.parametrize("encoder", ["dense", "frequency", "hash"])
def test_every_encoder_learns(scene, encoder):
    losses = []
    fit(*scene, encoder=encoder, steps=40, report=lambda line: losses.append(line.loss), **SETTINGS)
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_an_empty_field_is_called_collapsed(fitted):
    parts = {**vars(fitted), "seen": torch.ones_like(fitted.seen)}
    assert Fitted(**parts).collapsed


def test_wrong_settings(scene):
    with pytest.raises(MetapriorError, match="steps: expected a positive number"):
        fit(*scene, steps=0)
    with pytest.raises(MetapriorError, match="unknown encoder 'triplan': did you mean 'triplane'"):
        fit(*scene, encoder="triplan")
    for setting in ("hidden", "smoothness"):
        with pytest.raises(MetapriorError, match="hidden, smoothness: expected at least 0"):
            fit(*scene, **{setting: -1})
    with pytest.raises(AcquireError, match="loss: became nan at step"):
        fit(*scene, steps=20, learning_rate=1e30, **SETTINGS)


def test_scenes_are_found(tmp_path):
    with pytest.raises(DataError, match="prompt: expected words"):
        open_scene(" ")
    with pytest.raises(DataError, match=r"none\.glb"):
        open_scene(tmp_path / "none.glb")
    with pytest.raises(DataError, match="is no mesh"):
        open_scene(tmp_path / "none.blend")
    with pytest.raises(DataError, match="no such file"):
        open_scene(tmp_path)
    with pytest.raises(DataError, match=r"a\.npz"):
        open_scene(tmp_path / "a.npz")


@pytest.mark.skipif(not kenney_models(), reason="no meshes_kenney under METAPRIOR_DATA")
def test_models_are_scenes():
    pytest.importorskip("embreex")
    views, held_out = open_scene("kenney:vehicle-truck-red", size=16, views=3, held_out=2)
    assert (len(views), len(held_out), views.prompt) == (3, 2, "a red truck")
