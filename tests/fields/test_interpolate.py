import pytest
import torch

from metaprior import save
from metaprior.cli import main
from metaprior.errors import UnknownNameError
from metaprior.fields import HyperFieldNet, HyperFields, between_prompts, film_between

SMALL = {
    "code_size": 16,
    "units": 8,
    "probes": 16,
    "cells": 6,
    "plane_features": 2,
    "width": 8,
    "hidden": 1,
    "depth": 1,
}
PRIOR = HyperFields(HyperFieldNet(64, **SMALL), samples=8).eval()


@pytest.mark.parametrize("through", ["code", "tokens"])
def test_the_way_begins_and_ends_at_the_prompts(through):
    prompts = ["a red ball", "a green cone"]
    way = between_prompts(PRIOR, *prompts, frames=5, through=through)
    for frame, prompt in ((0, prompts[0]), (-1, prompts[1])):
        own = PRIOR.start(1, about=[prompt]).weights["layers.1.weight"][0]
        torch.testing.assert_close(way["layers.1.weight"][frame], own, atol=1e-5, rtol=1e-4)
    steps = way["layers.1.weight"].diff(dim=0).flatten(1).norm(dim=1)
    assert (steps > 0).all()
    assert steps.max() < 0.8 * steps.sum()


def test_a_film(tmp_path, capsys):
    assert film_between(PRIOR, "a red ball", "a green cone", frames=3, size=6).shape == (3, 6, 6, 3)
    save(PRIOR, tmp_path / "prior.safetensors")
    words = ["a red ball", "a green cone", "--prior", str(tmp_path / "prior.safetensors"), "--size", "6"]
    assert main(["interpolate", *words, "--frames", "3", "--out", str(tmp_path / "a.gif")]) == 0
    assert (tmp_path / "a.gif").is_file()
    assert main(["interpolate", *words, "--out", str(tmp_path / "a.png")]) == 2
    assert "out: expected a film to end in .mp4 or .gif" in capsys.readouterr().err


def test_wrong_ways():
    with pytest.raises(UnknownNameError, match="unknown choice for through 'words'"):
        between_prompts(PRIOR, "a red ball", "a green cone", through="words")
