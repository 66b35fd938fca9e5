"""Acquire a prior from many related tasks, once; adapt it to a novel task, from a handful of examples, in seconds."""

import importlib
from typing import TYPE_CHECKING, Any

from metaprior import data
from metaprior.acquire import Acquired, Progress, acquire
from metaprior.adapt import Predictions, adapt
from metaprior.checkpoint import load, load_state, read_card, save, save_state
from metaprior.compare import Comparison, compare
from metaprior.controls import FineTune, Frozen, Replay, ReplayScratch, Scratch
from metaprior.ensemble import Ensemble
from metaprior.evaluate import Evaluation, evaluate
from metaprior.fields import HyperFields
from metaprior.follow import Followed, follow
from metaprior.gaussian import ADKF, DKT, NIWMeta
from metaprior.gradient import ANML, MAML, OML, MetaSGD, OnlineMAML, Reptile
from metaprior.hyper import Amortised, ContinualHypernet, HyperMAML, Hypernet, Hypernetwork
from metaprior.listing import listing as list  # noqa: F401 - not in __all__, lest a star import hide the built-in
from metaprior.memory import CPM, DistributedMemory, PairedMemory
from metaprior.metric import Hopfield, Matching, ProtoNet, Ridge
from metaprior.molecules import FSMol as _FSMol  # noqa: F401 - registers what the domain of molecules has
from metaprior.prior import Prior
from metaprior.retention import Retention, retention

if TYPE_CHECKING:
    from metaprior.estimators import PriorClassifier, PriorRegressor
    from metaprior.stream_classifier import PriorStreamClassifier

__all__ = [
    "ADKF",
    "ANML",
    "CPM",
    "DKT",
    "MAML",
    "OML",
    "Acquired",
    "Amortised",
    "Comparison",
    "ContinualHypernet",
    "DistributedMemory",
    "Ensemble",
    "Evaluation",
    "FineTune",
    "Followed",
    "Frozen",
    "Hopfield",
    "HyperFields",
    "HyperMAML",
    "Hypernet",
    "Hypernetwork",
    "Matching",
    "MetaSGD",
    "NIWMeta",
    "OnlineMAML",
    "PairedMemory",
    "Predictions",
    "Prior",
    "PriorClassifier",
    "PriorRegressor",
    "PriorStreamClassifier",
    "Progress",
    "ProtoNet",
    "Replay",
    "ReplayScratch",
    "Reptile",
    "Retention",
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
    "retention",
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
