"""The choices that several commands share."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from metaprior.checkpoint import Card, read_card
from metaprior.cli.arguments import Choice
from metaprior.errors import MetapriorError
from metaprior.prior import Prior
from metaprior.registry import nets, priors, sources

__all__ = ["NET", "PRIOR", "SETTINGS", "TASKS", "add_settings", "changed", "own_stream", "own_tasks", "to_device"]

_FITTED = (
    "net",
    "outputs",
    "ways",
    "pool",
    "features",
    "gate",
    "regression",
    "unknown",
    "x_shape",
    "vocabulary",
    "text",
    "members",
)
"""What `for_tasks` tells from the tasks."""
PRIOR = Choice("prior", priors, skip=_FITTED)
TASKS = Choice("tasks", sources, shorthand={"images": "folder", "table": "file", "assays": "file"})
NET = Choice("net", nets, skip=("net", "channels", "size", "inputs", "tokens", "text_size", "outputs", "seed"))


SETTINGS = {
    "transductive": (bool, "let queries see each other"),
    "test_steps": (int, "inner steps of a gradient-based prior"),
    "layer": (int, "of a generator: whose states are the features, from 0 for the embedding"),
    "noise_level": (float, "of a generator: of the molecules that features are of, from 0 to 1"),
}
"""What an acquired prior can be told to do otherwise."""


def add_settings(options: Any) -> None:
    """Add the options that `changed` reads."""
    for name, (kind, told) in SETTINGS.items():
        options.add_argument(f"--{name}", type=kind | None, default=None, help=told)


def changed(prior: Prior, parsed: Any) -> Prior:
    """Return the prior with those of its settings that were given.

    Raises:
        MetapriorError: if it has no such setting.
    """
    for name in SETTINGS:
        if parsed[name] is not None:
            if not hasattr(prior, name) or (name == "transductive" and name not in vars(prior)):
                raise MetapriorError(f"--{name}: {type(prior).__name__} has no such setting")
            setattr(prior, name, parsed[name])
    return prior


def to_device(prior: Prior, device: str) -> Prior:
    """Move a prior to a device, or say that there is none of that name."""
    check_device(device)
    return prior.to(device)


def check_device(device: str) -> None:
    """Raise MetapriorError if there is no device of that name, or none that computes."""
    try:
        if torch.device(device).type == "meta":
            raise MetapriorError("--device: 'meta' holds no numbers; expected cpu, cuda or another that computes")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MetapriorError(f"--device: '{device}' cannot be used here: {str(error).splitlines()[0]}") from error


def own_tasks(words: Sequence[str]) -> dict[str, Any]:
    """Return the tasks that a run was acquired on as options, so that `--tasks.ways 5` changes one of them."""
    tasks = _own_card(words).get("tasks", {})
    return {"tasks": {"name": tasks["source"], **tasks["arguments"]}} if "source" in tasks else {}


def own_stream(words: Sequence[str]) -> dict[str, Any]:
    """Return how the streams were that a run was acquired on, as options; a delay that is given is then the longest."""
    own = _own_card(words).get("stream", {})
    found = {"length" if name == "steps" else name: value for name, value in own.items() if value is not None}
    if any(word.split("=")[0] == "--delay" for word in words):
        found.pop("latest", None)
    return found


def _own_card(words: Sequence[str]) -> Card:
    """Return the card of the run that one of the words names; nothing if none does."""
    for word in words:
        if word.startswith("zoo:") or Path(word).exists():
            with suppress(MetapriorError):  # which of the words is the run shows when they are parsed
                return read_card(word)
    return {}
