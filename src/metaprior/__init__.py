"""Acquire a prior from many related tasks, once; adapt it to a novel task, from a handful of examples, in seconds."""

from metaprior.acquire import Acquired, Progress, acquire
from metaprior.checkpoint import load, load_state, read_card, save, save_state
from metaprior.compare import Comparison, compare
from metaprior.controls import FineTune, Frozen, Scratch
from metaprior.evaluate import Evaluation, evaluate
from metaprior.gradient import MAML, MetaSGD, Reptile
from metaprior.metric import ProtoNet, Ridge
from metaprior.prior import Prior

__all__ = [
    "MAML",
    "Acquired",
    "Comparison",
    "Evaluation",
    "FineTune",
    "Frozen",
    "MetaSGD",
    "Prior",
    "Progress",
    "ProtoNet",
    "Reptile",
    "Ridge",
    "Scratch",
    "acquire",
    "compare",
    "evaluate",
    "load",
    "load_state",
    "read_card",
    "save",
    "save_state",
]
