"""Score a prior on tasks that are the same for every prior.

Axis letters: T tasks.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metaprior.errors import MetapriorError
from metaprior.nets import MLP
from metaprior.prior import Prior
from metaprior.tasks.scores import kind_of, metric_of, task_scores
from metaprior.tasks.source import Split, TaskSource, TestSet
from metaprior.tasks.stream import Stream
from metaprior.tree import nbytes

__all__ = ["Evaluation", "check_fit", "evaluate", "input_shape"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The score of a prior, and what it cost.

    Args:
        scores: `(T,)`, accuracy, intersection over union or mean squared error of each task.
        metric: "accuracy" or "iou", of which more is better, or "mse", of which less is.
        hash: of the tasks.
        transductive: whether predictions could depend on other queries.
        parameters: how many numbers the prior carries from task to task.
        state_bytes: the size of the belief about one task.
        adapt_seconds: the time to adapt to one task and predict its queries, or to follow one stream.
    """

    scores: Tensor
    metric: str
    hash: str
    transductive: bool
    parameters: int
    state_bytes: int
    adapt_seconds: float

    @property
    def mean(self) -> float:
        """The mean score over tasks."""
        return self.scores.mean().item()

    @property
    def interval(self) -> float:
        """Half the width of the 95 % confidence interval of the mean over tasks (normal approximation)."""
        tasks = len(self.scores)
        return 1.96 * self.scores.std().item() / tasks**0.5 if tasks > 1 else float("inf")

    def __str__(self) -> str:
        if metric_of(self.metric).share:
            return f"{100 * self.mean:.2f} ± {100 * self.interval:.2f} %"
        return f"{self.mean:.4g} ± {self.interval:.2g}"

    def row(self) -> dict[str, Any]:
        """Return everything but the single scores, ready for JSON."""
        return {
            "metric": self.metric,
            "mean": self.mean,
            "interval_95": self.interval,
            "tasks": len(self.scores),
            "test_hash": self.hash,
            "transductive": self.transductive,
            "parameters": self.parameters,
            "state_bytes": self.state_bytes,
            "adapt_seconds": self.adapt_seconds,
        }


def evaluate(
    prior: Prior,
    tasks: TaskSource | TestSet,
    episodes: int = 1000,
    seed: int = 0,
    split: Split = "test",
) -> Evaluation:
    """Adapt a prior to each of a fixed set of tasks and score its predictions; of streams, those of every step.

    Args:
        prior: on any device; it is left as it was.
        tasks: a fixed set, or a source to draw one from.
        episodes: how many tasks to draw from a source.
        seed: of the drawing.
        split: what to draw from.

    Raises:
        MetapriorError: if the prior is not for tasks of this kind.

    Example:
        >>> from metaprior import MAML
        >>> from metaprior.tasks import Sinusoid
        >>> prior = MAML.for_tasks(Sinusoid.spec, step_size=0.01)
        >>> len(evaluate(prior, Sinusoid(), episodes=20).scores)
        20
    """
    if not episodes > 0:
        raise MetapriorError(f"episodes: expected a positive number, got {episodes}")
    outputs = None
    if isinstance(tasks, TaskSource):
        check_fit(prior, tasks)
        tasks = tasks.as_acquired(prior.recorded_inputs or {})
        outputs = tasks.spec.outputs
        tasks = tasks.test_set(episodes, seed, split)
    modes = [(module, module.training) for module in prior.modules()]
    prior.eval()
    device = next((parameter.device for parameter in prior.parameters()), torch.device("cpu"))
    scores, seconds, state_bytes = [], 0.0, 0
    try:
        with torch.no_grad():
            for episode in tasks.episodes:
                episode = episode.to(device)
                start = time.perf_counter()
                if isinstance(episode, Stream):
                    # A prior may have outputs for more classes than these streams can have.
                    state, prediction = prior.start(episode.tasks), prior.stream(episode)[:, :, :outputs]
                    asked, ways = episode.asked, episode.ways
                else:
                    state = prior.observe(prior.start(episode.tasks, episode.about), episode.support)
                    prediction = prior.predict(state, episode.query.x)
                    asked, ways = episode.query, episode.ways
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                seconds += time.perf_counter() - start
                state_bytes = nbytes(state) // episode.tasks
                scores.append(task_scores(prediction, asked, ways).float().cpu())
    finally:
        for module, training in modes:
            module.training = training
    assert asked.y is not None
    return Evaluation(
        scores=torch.cat(scores),
        metric=metric_of(kind_of(asked.y)).name,
        hash=tasks.hash,
        transductive=prior.transductive,
        parameters=sum(parameter.numel() for parameter in prior.parameters()),
        state_bytes=state_bytes,
        adapt_seconds=seconds / tasks.tasks,
    )


def check_fit(prior: Prior, source: TaskSource) -> None:
    """Raise MetapriorError if a prior is not for the tasks of a source: their kind, inputs, or text encoder."""
    if wrong := source.mismatch(prior.recorded_inputs or {}):
        raise MetapriorError(wrong)
    if source.spec.kind not in prior.kinds:
        raise MetapriorError(
            f"prior: {type(prior).__name__} is for {' and '.join(sorted(prior.kinds))} tasks; "
            f"{type(source).__name__} has {source.spec.kind} tasks"
        )
    wanted = input_shape(prior)
    if wanted is not None and wanted != source.spec.x_shape:
        raise MetapriorError(
            f"prior: its network takes inputs of the shape {wanted}; {type(source).__name__} has {source.spec.x_shape}"
        )
    net = getattr(prior, "net", None)
    if isinstance(net, MLP) and net.inputs != (numbers := math.prod(source.spec.x_shape)):
        raise MetapriorError(
            f"prior: its network takes inputs of {net.inputs} numbers; {type(source).__name__} has {numbers}, "
            f"{source.spec.x_shape}"
        )
    outputs = getattr(prior, "outputs", None)
    if isinstance(outputs, int) and source.spec.kind != "regression" and outputs < source.spec.outputs:
        raise MetapriorError(
            f"prior: has {outputs} outputs; {type(source).__name__} has tasks of up to {source.spec.outputs} classes"
        )
    reads = getattr(prior, "text", None)
    if source.spec.text is not None and reads not in (None, source.spec.text):
        raise MetapriorError(
            f"prior: the text encoder of its prompts is '{reads}', that of {type(source).__name__} "
            f"'{source.spec.text}'; give --tasks.text {reads}"
        )


def input_shape(prior: Prior) -> tuple[int, ...] | None:
    """Return the shape of one input that the network of a prior expects; None if it does not say so.

    Example:
        >>> from metaprior import ProtoNet
        >>> from metaprior.nets import Conv4
        >>> input_shape(ProtoNet(Conv4(channels=1, size=28)))
        (1, 28, 28)
    """
    if isinstance(shape := getattr(prior, "x_shape", None), tuple):
        return shape
    net = getattr(prior, "net", None)
    channels, size = getattr(net, "channels", None), getattr(net, "size", None)
    return (channels, size, size) if isinstance(channels, int) and isinstance(size, int) else None
