"""Every registered prior keeps the contract, on every kind of task that it serves; a new one appears here by itself."""

import inspect
from collections.abc import Callable

import pytest

import metaprior  # noqa: F401  (registers the priors)
from metaprior.nets import net_for
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks import TaskSpec
from metaprior.testing import ToyTasks, conformance_checks

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
}
SIZES = {"mlp": {"hidden": (8,)}, "conv4": {"width": 4}, "unet": {"widths": (4, 8)}}
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
    for net in SOURCES
    for kind in kinds(name, net)
]


@pytest.mark.parametrize(("name", "net", "kind"), CASES)
@pytest.mark.parametrize("check", list(CHECKS))
def test_contract(name: str, net: str, kind: str, check: str) -> None:
    preset = bool(priors.resolve(name)[1])
    if check == "memory" and (preset or kind != min(priors[name].kinds) or (net == "conv4" and name not in LONG)):
        pytest.skip("what a method keeps hardly depends on its settings and tasks, and 200 episodes take long")
    CHECKS[check](builder(name, net), SOURCES[net][kind])
