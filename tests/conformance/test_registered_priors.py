"""Every registered prior keeps the contract, on every kind of task that it serves; a new one appears here by itself."""

import inspect
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import metaprior  # noqa: F401  (registers the priors)
from metaprior.nets import net_for
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks import Episode, TaskSpec
from metaprior.tasks.source import Split
from metaprior.testing import ToyTasks, conformance_checks


class ToyConformers(ToyTasks):
    """Three atoms of two elements at random places; padding, if any, is of examples."""

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        episode = super().sample(tasks, generator, split)
        for part in (episode.support, episode.query):
            kinds = part.x[..., ::4]
            kinds.copy_(torch.where(kinds > 0, 6, 8))
        return episode


class ToyTokens(ToyTasks):
    """Rows of the ids of three tokens, of four places at most; padding, if any, is of examples."""

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        return replace(super().spec, tokens=("A", "B", "C"))

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        episode = super().sample(tasks, generator, split)
        for part in (episode.support, episode.query):
            size = (part.x[..., :1].abs() * 3).long() % 4 + 1
            ids = (part.x.abs() * 3).long() % 3 + 1
            part.x.copy_(ids * (torch.arange(4) < size))
        return episode


SOURCES = {
    "mlp": {
        "classification": ToyTasks("classification", (4,), outputs=3),
        "regression": ToyTasks("regression", (4,), outputs=2, shots=5, queries=4),
    },
    "conv4": {
        "classification": ToyTasks("classification", (1, 16, 16), outputs=2, pool=4),
        "regression": ToyTasks("regression", (1, 16, 16), outputs=2, shots=4, queries=3),
    },
    "unet": {"segmentation": ToyTasks("segmentation", (2, 8, 8), outputs=3, shots=4, queries=3)},
    "egnn": {
        "classification": ToyConformers("classification", (12,), outputs=2, pool=4),
        "regression": ToyConformers("regression", (12,), outputs=1, shots=4, queries=3),
    },
    "transformer": {
        "classification": ToyTokens("classification", (4,), outputs=2, pool=4),
        "regression": ToyTokens("regression", (4,), outputs=1, shots=4, queries=3),
    },
}
GENERAL = ("mlp", "conv4", "unet")
SIZES = {
    "mlp": {"hidden": (8,)},
    "conv4": {"width": 4},
    "unet": {"widths": (4, 8)},
    "egnn": {"width": 4, "layers": 2, "elements": (6, 8)},
    "transformer": {"width": 4, "layers": 1, "heads": 2},
}
CHECKS = dict(conformance_checks())
LONG = {"maml", "protonet"}
STEPS = {net: {"steps": 2, "inner_steps": 1} for net in SOURCES} | {"mlp": {"steps": 3, "inner_steps": 2}}


def builder(name: str, net: str) -> Callable[[TaskSpec], Prior]:
    cls, implied = priors.resolve(name)
    few = {key: value for key, value in STEPS[net].items() if key in inspect.signature(cls).parameters}

    def build(spec: TaskSpec) -> Prior:
        return cls.for_tasks(
            spec, net_for(net, spec, cls.headless, batch_norm=cls.batch_norm, **SIZES[net]), **(implied | few)
        )

    return build


def kinds(name: str, net: str) -> list[str]:
    """Return the kinds of tasks to check a prior on: one for presets, whose kinds are those of their class."""
    served = sorted(priors[name].kinds & SOURCES[net].keys())
    return served[:1] if priors.resolve(name)[1] else served


CASES = [
    pytest.param(name, net, kind, id=f"{name}-{net}-{kind}")
    for name in priors
    for net in ((priors[name].needs_net,) if priors[name].needs_net else GENERAL)
    for kind in kinds(name, net)
]


@pytest.mark.parametrize(("name", "net", "kind"), CASES)
@pytest.mark.parametrize("check", list(CHECKS))
def test_contract(name: str, net: str, kind: str, check: str) -> None:
    preset = bool(priors.resolve(name)[1])
    if check == "memory" and (preset or kind != min(priors[name].kinds) or (net == "conv4" and name not in LONG)):
        pytest.skip("what a method keeps hardly depends on its settings and tasks, and 200 episodes take long")
    CHECKS[check](builder(name, net), SOURCES[net][kind])
