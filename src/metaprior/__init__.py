"""Acquire a prior from many related tasks, once; adapt it to a novel task, from a handful of examples, in seconds."""

import importlib
from typing import TYPE_CHECKING, Any

from metaprior import data
from metaprior.acquire import Acquired, Progress, acquire
from metaprior.adapt import Predictions, adapt
from metaprior.checkpoint import load, load_state, read_card, save, save_state
from metaprior.compare import Comparison, compare
from metaprior.controls import FineTune, Frozen, Scratch
from metaprior.evaluate import Evaluation, evaluate
from metaprior.follow import Followed, follow
from metaprior.gradient import MAML, MetaSGD, Reptile
from metaprior.hyper import Amortised, ContinualHypernet, HyperMAML, Hypernet, Hypernetwork
from metaprior.listing import listing as list  # noqa: F401 - not in __all__, lest a star import hide the built-in
from metaprior.memory import DistributedMemory
from metaprior.metric import ProtoNet, Ridge
from metaprior.prior import Prior

if TYPE_CHECKING:
    from metaprior.estimators import PriorClassifier, PriorRegressor
    from metaprior.stream_classifier import PriorStreamClassifier

__all__ = [
    "MAML",
    "Acquired",
    "Amortised",
    "Comparison",
    "ContinualHypernet",
    "DistributedMemory",
    "Evaluation",
    "FineTune",
    "Followed",
    "Frozen",
    "HyperMAML",
    "Hypernet",
    "Hypernetwork",
    "MetaSGD",
    "Predictions",
    "Prior",
    "PriorClassifier",
    "PriorRegressor",
    "PriorStreamClassifier",
    "Progress",
    "ProtoNet",
    "Reptile",
    "Ridge",
    "Scratch",
    "acquire",
    "adapt",
    "compare",
    "data",
    "evaluate",
    "follow",
    "load",
    "load_state",
    "read_card",
    "save",
    "save_state",
]


_LAZY = {
    "PriorClassifier": "metaprior.estimators",
    "PriorRegressor": "metaprior.estimators",
    "PriorStreamClassifier": "metaprior.stream_classifier",
}
"""What needs an optional package, and where it is."""


def __getattr__(name: str) -> Any:
    """Import what needs an optional package when it is asked for."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'metaprior' has no attribute '{name}'")
