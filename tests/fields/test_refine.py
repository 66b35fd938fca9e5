import pytest
import torch

from metaprior import save
from metaprior.cli import main
from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.fields import AnalyticScene, Cameras, HyperFieldNet, HyperFields, refine, render_views

SMALL = {"code_size": 16, "units": 8, "probes": 16, "cells": 8, "plane_features": 4, "width": 16, "hidden": 1}
PRIOR = HyperFields(HyperFieldNet(64, **SMALL, depth=1), "words", samples=16)
VIEWS = AnalyticScene("a red ball").views(Cameras.on_sphere(6, size=12))
RATES = {"everything": 5e-3, "code": 0.1, "last": 0.02, "weights": 0.01}


@pytest.mark.parametrize("changes", list(RATES))
def test_a_few_views_bring_the_field_closer(changes):
    losses, before = [], {name: value.clone() for name, value in PRIOR.state_dict().items()}
    arguments = {"steps": 25, "rays": 256, "samples": 24, "learning_rate": RATES[changes]}
    refine(PRIOR, "a red ball", VIEWS, changes=changes, report=lambda line: losses.append(line.loss), **arguments)
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    assert all(torch.equal(value, before[name]) for name, value in PRIOR.state_dict().items())


def test_what_changes_is_what_was_asked_for():
    def after(changes):
        return refine(PRIOR, "a red ball", VIEWS, changes=changes, steps=2, rays=64, samples=8)

    with torch.no_grad():
        before = PRIOR.net.whole(PRIOR.start(1, about=["a red ball"]).weights)
    last = after("last")
    torch.testing.assert_close(last["layers.0.weight"], before["layers.0.weight"])
    assert not torch.allclose(last["layers.1.weight"], before["layers.1.weight"])
    code = after("code")
    assert torch.equal(code["encoder.planes"], before["encoder.planes"])
    assert not torch.allclose(code["layers.0.weight"], before["layers.0.weight"])
    for changes in ("everything", "weights"):
        assert not torch.equal(after(changes)["encoder.planes"], before["encoder.planes"])


def test_every_step_can_be_watched_and_repeats():
    seen = {}
    arguments = {"steps": 3, "rays": 64, "samples": 8, "changes": "weights"}
    refine(PRIOR, "a red ball", VIEWS, watch=lambda step, weights: seen.setdefault(step, weights), **arguments)
    assert sorted(seen) == [0, 1, 2, 3]
    again = refine(PRIOR, "a red ball", VIEWS, **arguments)
    assert torch.equal(again["layers.0.bias"], seen[3]["layers.0.bias"])
    assert render_views(PRIOR.net.field, again, Cameras.turntable(1, 8), 8).over().isfinite().all()


def test_generate_adapts_to_views(tmp_path):
    save(PRIOR, tmp_path / "prior.safetensors")
    words = ["--prior", str(tmp_path / "prior.safetensors"), "--out", str(tmp_path / "a.png"), "--size", "8"]
    assert main(["generate", "a red ball", "--views", "a red ball", "--steps", "2", *words, "--samples", "8"]) == 0
    assert (tmp_path / "a.png").is_file()


def test_wrong_settings():
    with pytest.raises(MetapriorError, match="views, guidance: expected one of them, or both; got neither"):
        refine(PRIOR, "a red ball")
    with pytest.raises(UnknownNameError, match="unknown choice for changes 'all'"):
        refine(PRIOR, "a red ball", VIEWS, changes="all")
    with pytest.raises(MetapriorError, match="steps: expected a positive number"):
        refine(PRIOR, "a red ball", VIEWS, steps=0)
