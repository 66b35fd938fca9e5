"""From a prompt to a field, by an acquired prior.

Axis letters: R rays.
"""

import difflib
import warnings
from pathlib import Path

import torch

from metaprior.checkpoint import load, read_card
from metaprior.errors import DataError, MetapriorError
from metaprior.fields.cameras import Cameras
from metaprior.fields.field import Field, Weights
from metaprior.fields.hyperfields import HyperFields
from metaprior.fields.occupancy import frozen
from metaprior.fields.render import render_views
from metaprior.fields.scenes.grammar import parse
from metaprior.fields.source import Scenes
from metaprior.fields.text import words_of
from metaprior.registry import build

__all__ = ["generate"]

_SHOWN = 3
_EMPTY, _FULL = 0.003, 0.95


def generate(prompt: str, prior: HyperFields | str | Path) -> tuple[Field, Weights]:
    """Return the field that a prior makes of a prompt, with a mask of where it is empty.

    What the grammar of scenes can read is said in its own words; a word that the prior did not meet is warned of, with
    the nearest prompts that it knows, and so is a field that shows nothing, or fog.

    Args:
        prompt: what to make.
        prior: an acquired prior, or the folder or file of one.

    Raises:
        DataError: if the prompt is empty.
        MetapriorError: if the prior makes no fields.
    """
    known: list[str] = []
    if not isinstance(prior, HyperFields):
        card = read_card(prior)
        loaded = load(prior)
        if not isinstance(loaded, HyperFields):
            raise MetapriorError(
                f"prior: expected one that makes fields, such as hyperfields; got {type(loaded).__name__}"
            )
        prior = loaded
        if card.get("tasks", {}).get("source") == "scenes":
            source = build(card["tasks"])
            assert isinstance(source, Scenes)
            known = source.prompts("train")
    try:
        said = str(parse(prompt))
    except DataError:
        if not words_of(prompt):
            raise
        said = prompt  # not of the grammar; whatever it is, the prior may have met it
    met = {word for other in known for word in words_of(other)}
    new = [word for word in words_of(said) if word not in met]
    if known and new:
        near = difflib.get_close_matches(said, known, n=_SHOWN, cutoff=0.0)
        warnings.warn(
            f"prompt: '{new[0]}' was never met in acquisition; the nearest known: {'; '.join(near)}", stacklevel=2
        )
    with torch.no_grad():
        state = prior.eval().start(1, about=[said])
    weights = frozen(prior.net.field, prior.field_weights(state), cells=48, points=1)
    seen = render_views(prior.net.field, weights, Cameras.turntable(2, 24), samples=48).opacity.mean().item()
    if not _EMPTY < seen < _FULL:
        what = "next to nothing" if seen <= _EMPTY else "a blob that fills the picture"
        warnings.warn(f"prompt: the field of '{said}' shows {what}; the prior may need more steps", stacklevel=2)
    return prior.net.field, weights
