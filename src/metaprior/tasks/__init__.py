"""What a task is, and where tasks come from."""

from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.omniglot import Omniglot
from metaprior.tasks.scores import restrict, task_losses, task_scores
from metaprior.tasks.sinusoid import Sinusoid
from metaprior.tasks.source import ClassPool, ClassSource, Split, TaskSource, TestSet
from metaprior.tasks.stream import Stream

__all__ = [
    "ClassPool",
    "ClassSource",
    "Episode",
    "Examples",
    "Omniglot",
    "Sinusoid",
    "Split",
    "Stream",
    "TaskSource",
    "TaskSpec",
    "TestSet",
    "restrict",
    "task_losses",
    "task_scores",
]
