"""Acquire a prior from many related tasks, once; adapt it to a novel task, from a handful of examples, in seconds."""

from metaprior.acquire import Acquired, Progress, acquire
from metaprior.checkpoint import load, load_state, read_card, save, save_state
from metaprior.evaluate import Evaluation, evaluate
from metaprior.gradient import MAML
from metaprior.metric import ProtoNet
from metaprior.prior import Prior

__all__ = [
    "MAML",
    "Acquired",
    "Evaluation",
    "Prior",
    "Progress",
    "ProtoNet",
    "acquire",
    "evaluate",
    "load",
    "load_state",
    "read_card",
    "save",
    "save_state",
]
