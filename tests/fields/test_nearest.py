import pytest
import torch

from metaprior import acquire, load, save
from metaprior.errors import DataError, MetapriorError, ShapeError
from metaprior.fields import FieldNet, NearestField, Scenes
from metaprior.nets import MLP

PROMPTS = ("a red ball", "a green ball")
NET = {"encoder": "triplane", "width": 16, "hidden": 1, "samples": 12, "cells": 8}


def test_unknown_prompts_get_the_nearest_field():
    own = NearestField(FieldNet(**NET), PROMPTS, "words")
    assert own.nearest(["a green box", "one red cone", "a green ball"]) == [
        "a green ball",
        "a red ball",
        "a green ball",
    ]
    with torch.no_grad():
        next(iter(own.fields.values()))[1] += 1
    one, other = (own.start(1, about=[prompt]).weights for prompt in ("a green ball", "a green cone"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("teaches", ["pictures", "points"])
def test_acquisition_fits_a_field_for_each(teaches):
    source = Scenes(scenes=PROMPTS, held_out=0, size=8, views=5, shots=1, queries=128, teaches=teaches, text="words")
    own = NearestField(FieldNet(**NET), PROMPTS, "words")
    acquire(own, source, steps=60, tasks_per_step=2, learning_rate=0.02, validations=0)
    rays = torch.cat(list(source.cameras[:1].rays()), dim=-1).expand(2, -1, -1)
    with torch.no_grad():
        red, green = own.predict(own.start(2, about=PROMPTS), rays).sum(1)
    assert red[0] > red[1]
    assert green[1] > green[0]


def test_checkpoints_give_it_back(tmp_path):
    own = NearestField(FieldNet(**NET), PROMPTS, "words")
    again = load(save(own, tmp_path))
    assert again.prompts == PROMPTS
    assert torch.equal(again.keys, own.keys)


def test_wrong_settings():
    with pytest.raises(DataError, match="prompts: expected those of acquisition, got none"):
        NearestField(FieldNet(**NET))
    with pytest.raises(MetapriorError, match="net: expected a FieldNet, got MLP"):
        NearestField(MLP(6, 4), PROMPTS)
    own = NearestField(FieldNet(**NET), PROMPTS, "words")
    with pytest.raises(ShapeError, match="expected tokens of 64 features, as the text encoder 'words' gives; got 5"):
        own.start(1, about={"tokens": torch.ones(1, 2, 5), "mask": torch.ones(1, 2, dtype=torch.bool)})
