"""From a prompt to a field, by an acquired prior.

Axis letters: R rays.
"""

import difflib
import re
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
from metaprior.fields.scenes.grammar import parse, synonym
from metaprior.fields.source import Scenes
from metaprior.fields.text import words_of
from metaprior.registry import build

__all__ = ["ZOO", "check_shows", "generate", "said", "with_source"]

ZOO = "zoo:scenes"
"""The prior that comes with the library."""
_SHOWN = 3
_EMPTY, _FULL = 0.003, 0.95


def generate(prompt: str, prior: HyperFields | str | Path = ZOO, source: Scenes | None = None) -> tuple[Field, Weights]:
    """Return the field that a prior makes of a prompt, with a mask of where it is empty.

    What the grammar of scenes can read is said in its own words; a word that the prior did not meet is warned of, with
    the nearest prompts that it knows; and so is a field that shows nothing, or fog.

    Args:
        prompt: what to make.
        prior: an acquired prior, or the folder, file or zoo:NAME of one.
        source: the scenes that it was acquired on; None if they are not known, or where the prior lies says them.

    Raises:
        DataError: if the prompt is empty.
        MetapriorError: if the prior makes no fields.
    """
    prior, found = with_source(prior)
    prompt = said(prompt, source or found)
    with torch.no_grad():
        state = prior.eval().start(1, about=[prompt])
    weights = frozen(prior.net.field, prior.field_weights(state), cells=48)
    check_shows(prior.net.field, weights, prompt)
    return prior.net.field, weights


def with_source(prior: HyperFields | str | Path) -> tuple[HyperFields, Scenes | None]:
    """Return an acquired prior, and the scenes that it was acquired on, if its card says them.

    Raises:
        MetapriorError: if the prior makes no fields.
    """
    if isinstance(prior, HyperFields):
        return prior, None
    card, loaded = read_card(prior), load(prior)
    if not isinstance(loaded, HyperFields):
        raise MetapriorError(f"prior: expected one that makes fields, such as hyperfields; got {type(loaded).__name__}")
    if card.get("tasks", {}).get("source") != "scenes":
        return loaded, None
    source = build(card["tasks"])
    assert isinstance(source, Scenes)
    return loaded, source


def said(prompt: str, source: Scenes | None = None) -> str:
    """Return a prompt in the words of the grammar, as far as it can be read so; warn of what no prompt of a source has.

    That is a word, or more things than its scenes have, or, where they are of the grammar, words in an order that tells
    of no thing. Nothing is known of a source whose files are gone.

    Raises:
        DataError: if the prompt is empty.

    Example:
        >>> said("the shiny donut, red", Scenes(materials=2))
        'a glossy red torus'
    """
    met = _met(source)
    try:
        description = parse(prompt)
    except DataError as error:
        if not words_of(prompt):
            raise  # else it is not of the grammar; whatever it is, the prior may have met it
        prompt, unread, things = re.sub(r"\w+", lambda found: _met_as(found[0], met), prompt), str(error), 0
    else:
        prompt, unread, things = str(description), "", len(description.things)
    if source is None or not met:
        return prompt
    new = dict.fromkeys(word for word in words_of(prompt) if word not in met)
    most = source.things if source.drawn else 1
    if new:
        near = difflib.get_close_matches(prompt, source.prompts("train"), n=_SHOWN, cutoff=0.0)
        never = f"{', '.join(map(repr, new))} {'was' if len(new) == 1 else 'were'} never met"
        warnings.warn(f"prompt: {never} in acquisition; the nearest known: {'; '.join(near)}", stacklevel=3)
    elif unread and not source.scenes:
        warnings.warn(f"{unread}; the prior may make nothing of it", stacklevel=3)
    elif things > most and not source.scenes:
        warnings.warn(f"prompt: has {things} things, where scenes of acquisition had at most {most}", stacklevel=3)
    return prompt


def _met_as(word: str, met: set[str]) -> str:
    """Return the word of the grammar for one that was not met, if that one was; else the word as it is."""
    other = synonym(word.lower())
    return other if word.lower() not in met and other in met else word


def _met(source: Scenes | None) -> set[str]:
    """Return the words that were met in acquisition; none if they cannot be found out any more."""
    try:
        return set() if source is None else source.words
    except (MetapriorError, OSError):
        return set()


def check_shows(field: Field, weights: Weights, prompt: str) -> None:
    """Warn if the field of a prompt shows nothing, or fog."""
    seen = render_views(field, weights, Cameras.turntable(2, 24), samples=48).opacity.mean().item()
    if not _EMPTY < seen < _FULL:
        what = "next to nothing" if seen <= _EMPTY else "a blob that fills the picture"
        warnings.warn(f"prompt: the field of '{prompt}' shows {what}; the prior may need more steps", stacklevel=3)
