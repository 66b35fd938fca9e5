"""Follow streams with a prior, and keep a log of what it predicted before it was told.

Axis letters: T streams, S steps.
"""

import csv
import io
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metaprior.errors import DataError, MetapriorError, check_positive, missing
from metaprior.evaluate import check_fit
from metaprior.files import write_bytes, write_text
from metaprior.metrics import accuracy_by_number, average_precision, gaps_of, presentations, running_accuracy
from metaprior.prior import Prior
from metaprior.tasks.scores import kind_of, metric_of, restrict, task_scores
from metaprior.tasks.source import Split, TaskSource
from metaprior.tasks.stream import Stream
from metaprior.tree import Tree, map_tensors, nbytes, tensors

__all__ = ["Followed", "follow"]

TIMED = 7
"""How often an example is predicted and learned alone, for the median of the time."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What became of the predictions of each step.

    Args:
        scores: `(T, S)`, 1 where the class was right and 0 where not, squared errors, or intersections over union.
        y: `(T, S)`, class ids; None where steps have no class of their own.
        real: `(T, S)`, False for padding.
        shifts: `(T, S)`, True where the context changed; None where that is not known.
        metric: "accuracy", "mse" or "iou".
        step_seconds: the time for one step of one stream, while all are followed together.
        alone_seconds: the time to predict one input of one stream and to learn its label, alone, at its end.
        state_bytes: the size of what is carried along one stream, at its end.
        parameters: how many numbers the prior carries from stream to stream.
        hash: of the streams.
        transductive: whether predictions could depend on the other queries.
        named: `(T, S)`, 1 where the best of the known classes was right, whatever was said of the unknown one; None
            where there is none.
        unknown: `(T, S)`, the logarithm of the probability given to a class of which no label has come; None where
            there is none.
        told: `(T, S)`, how many labels of the class had come before each step; None where no class can be unknown.
    """

    scores: Tensor
    y: Tensor | None
    real: Tensor
    shifts: Tensor | None
    metric: str
    step_seconds: float
    alone_seconds: float
    state_bytes: int
    parameters: int
    hash: str
    transductive: bool = False
    named: Tensor | None = None
    unknown: Tensor | None = None
    told: Tensor | None = None

    def by_step(self) -> Tensor:
        """Return the mean score of each step over the streams, `(S,)`."""
        return (self.scores * self.real).sum(0) / self.real.sum(0)

    def running(self, window: int = 10) -> Tensor:
        """Return the mean over streams of the mean score of the last steps, `(S,)`."""
        each = running_accuracy(self.scores, window, self.real)
        return each.masked_fill(~self.real, 0).nan_to_num().sum(0) / self.real.sum(0)

    def by_presentation(self, most: int = 50) -> dict[int, float]:
        """Return the accuracy at the first, second, ... presentation of a class, `most` at most.

        It is empty where steps have no class; numbers that no step has are left out.

        Where a class can be said to be unknown, that is left aside, and presentations are counted whose labels have
        come: at presentation N + 1, this is N-shot accuracy.
        """
        if self.y is None:
            return {}
        numbers = presentations(self.y, self.real) if self.told is None else (self.told + 1) * self.real
        named = self.scores if self.named is None else self.named
        accuracy = accuracy_by_number(named, numbers, min(most, int(numbers.max())))
        return _present(accuracy)

    def since_shift(self) -> dict[int, float]:
        """Return the mean score so many steps after a context changed, 0 at the change itself: dip and recovery."""
        if self.shifts is None:
            return {}
        steps = torch.arange(self.scores.shape[1])
        last = torch.where(self.shifts.bool(), steps, -1).cummax(1).values
        since = (steps - last).masked_fill((last < 0) | ~self.real, -1)
        return {step: self.scores[since == step].mean().item() for step in range(int(since.max()) + 1)}

    def since_seen(self, most: int = 50) -> dict[int, float]:
        """Return the accuracy so many steps after the class came last, `most` at most: how soon it is forgotten.

        It is empty where steps have no class, or none comes again. Steps at which a class comes for the first time are
        left out.
        """
        if self.y is None:
            return {}
        named = self.scores if self.named is None else self.named
        gaps = gaps_of(self.y, self.real)
        return _present(accuracy_by_number(named, gaps, min(most, int(gaps.max()))))

    def average_precision(self) -> float | None:
        """Return how well known classes were told from unknown ones, and named; None where nothing can be unknown."""
        if self.unknown is None or self.named is None or self.told is None:
            return None
        return average_precision(self.unknown, self.named, self.told > 0, self.real).item()

    def result(self) -> dict[str, Any]:
        """Return everything but the single scores, ready for JSON."""
        each = (self.scores * self.real).sum(1) / self.real.sum(1)
        return {
            "metric": self.metric,
            "mean": each.mean().item(),
            "interval_95": 1.96 * each.std().item() / len(each) ** 0.5 if len(each) > 1 else None,
            "streams": len(each),
            "steps": self.scores.shape[1],
            "by_presentation": self.by_presentation(),
            "since_shift": self.since_shift(),
            "since_seen": self.since_seen(),
            "average_precision": self.average_precision(),
            "step_seconds": self.step_seconds,
            "alone_seconds": self.alone_seconds,
            "state_bytes": self.state_bytes,
            "parameters": self.parameters,
            "test_hash": self.hash,
            "transductive": self.transductive,
        }

    def write(self, folder: str | Path, window: int = 10, settings: dict[str, Any] | None = None) -> None:
        """Write `result.json`, beginning with the settings given, `steps.csv`, `curves.csv` and `stream.png`.

        The curves are those by presentation, by steps since the context changed, and since the class came last.

        Raises:
            MetapriorError: if matplotlib is not installed; the others are written all the same.
        """
        check_positive(window=window)
        folder = Path(folder)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["step", self.metric, f"{self.metric} of the last {window} steps"])
        longest = int(self.real.sum(1).max())
        shown = zip(self.by_step().tolist()[:longest], self.running(window).tolist(), strict=False)
        for step, values in enumerate(shown):
            rows.writerow([step + 1, *(f"{value:.6g}" for value in values)])
        write_text(folder / "steps.csv", text.getvalue())
        curves = [["curve", "at", self.metric]]
        for name, _, curve in self._curves():
            curves += [[name, str(at), f"{value:.6g}"] for at, value in curve.items()]
        write_text(folder / "curves.csv", "".join(f"{','.join(row)}\n" for row in curves))
        write_text(
            folder / "result.json", json.dumps((settings or {}) | self.result(), indent=2, allow_nan=False) + "\n"
        )
        write_bytes(folder / "stream.png", self.draw(window))

    def draw(self, window: int = 10) -> bytes:
        """Return a PNG of the score along the streams, and of each curve that they have.

        Changes of context are marked where there is one stream, since each has its own; a single stream's steps are
        points.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise missing("matplotlib", "vision", "drawing what became of a stream") from error
        curves, metric, alone = self._curves(), metric_of(self.metric), len(self.scores) == 1
        figure = Figure(figsize=(5.5 + 4 * len(curves), 4), layout="constrained")
        widths = [1.4, *[1] * len(curves)]
        axes = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
        steps = range(1, self.scores.shape[1] + 1)
        style = {"linestyle": "", "marker": "|"} if alone else {}
        axes[0].plot(steps, self.by_step(), color="C0", alpha=0.4, label="each step", **style)
        axes[0].plot(steps, self.running(window), color="C0", label=f"last {window} steps")
        if self.shifts is not None and alone:
            changes = (self.shifts[0].nonzero().flatten() + 1).tolist()
            for step in changes:
                label = "the context changes" if step == changes[0] else None
                axes[0].axvline(step, color="grey", linewidth=0.8, linestyle=":", label=label)
        axes[0].set_xlabel("step")
        axes[0].set_title(f"{len(self.scores)} stream{'s' * (not alone)}", fontsize=10)
        axes[0].legend(loc="lower right", fontsize=8)
        for axis, (_, label, curve) in zip(axes[1:], curves, strict=True):
            axis.plot(list(curve), list(curve.values()), marker="o", markersize=3)
            axis.set_xlabel(label)
            if self.told is not None and "context" not in label:
                axis.set_title("among the known classes", fontsize=10)
        for axis in axes:
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.3)
            axis.set_ylabel(metric.title)
            if metric.share:
                axis.set_ylim(0, 1.02)
                axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        return buffer.getvalue()

    def _curves(self) -> list[tuple[str, str, dict[int, float]]]:
        """Return the name, the label of the axis and the points of each curve that has any."""
        first = 1 if self.told is None else 2
        shown = {at: value for at, value in self.by_presentation().items() if at >= first}
        found = [
            ("presentation", "presentation of the class", shown),
            ("since_shift", "steps since the context changed", self.since_shift()),
            ("since_seen", "steps since the class came last", self.since_seen()),
        ]
        return [(name, label, curve) for name, label, curve in found if curve]


def follow(prior: Prior, source: TaskSource, streams: int = 100, seed: int = 0, split: Split = "test") -> Followed:
    """Let a prior predict the steps of fixed streams, each before its label, with no change to the prior.

    Args:
        prior: on any device; it is left as it was.
        source: of streams, such as `metaprior.tasks.Streams`.
        streams: T.
        seed: of the drawing.
        split: what to draw from.

    Raises:
        MetapriorError: if the source draws no streams, or the prior is not for tasks of this kind.
        DataError: if an input is not finite.

    Example:
        >>> from metaprior import ProtoNet
        >>> from metaprior.tasks import Streams, Strokes
        >>> from torch import nn
        >>> log = follow(ProtoNet(nn.Flatten(), ways=3), Streams(Strokes(ways=3, shots=4, queries=1)), streams=20)
        >>> [round(accuracy, 1) for accuracy in log.by_presentation().values()]
        [0.1, 1.0, 1.0, 1.0]
    """
    check_positive(streams=streams)
    check_fit(prior, source)
    tests = source.test_set(streams, seed, split)
    parts = [part for part in tests.episodes if isinstance(part, Stream)]
    if not parts:
        raise MetapriorError(f"source: expected streams (see tasks.Streams), got {type(source).__name__}")
    modes = [(module, module.training) for module in prior.modules()]
    prior.eval()
    device = next((parameter.device for parameter in prior.parameters()), torch.device("cpu"))
    for part in parts:
        _check_finite(part)
    predictions, seconds = [], 0.0
    try:
        with torch.no_grad():
            for part in parts:
                start = time.perf_counter()
                said, state = prior.follow(part.to(device))
                # A prior may have outputs for more classes than these streams can have.
                predictions.append(said[:, :, : source.spec.outputs].cpu())
                seconds += time.perf_counter() - start
            state_bytes = nbytes(state) // parts[-1].tasks
            alone = _time_alone(prior, parts[-1].to(device), state)
    finally:
        for module, training in modes:
            module.training = training
    scores = [_scores(prediction, part) for prediction, part in zip(predictions, parts, strict=True)]
    y = torch.cat([part.examples.y for part in parts])  # type: ignore[misc]
    named, unknown, told = None, None, None
    if parts[0].unknown is not None:
        named, unknown = _named(torch.cat(predictions), y, parts[0].unknown)
        told = torch.cat([part.told for part in parts])
    shifts = [part.shifts for part in parts if part.shifts is not None]
    return Followed(
        scores=torch.cat(scores),
        y=y if kind_of(y) == "classification" else None,
        real=torch.cat([part.examples.real for part in parts]),
        shifts=torch.cat(shifts) if shifts else None,
        metric=metric_of(kind_of(y)).name,
        step_seconds=seconds / scores[0].shape[1] / streams,
        alone_seconds=alone,
        state_bytes=state_bytes,
        parameters=sum(parameter.numel() for parameter in prior.parameters()),
        hash=tests.hash,
        transductive=prior.transductive,
        named=named,
        unknown=unknown,
        told=told,
    )


def _present(accuracy: Tensor) -> dict[int, float]:
    """Return the accuracies `(N,)` of the numbers 1 to N, without those of a number that no step has."""
    return {at + 1: value for at, value in enumerate(accuracy.tolist()) if value == value}


def _check_finite(stream: Stream) -> None:
    for leaf in tensors(stream.examples.x):
        wrong = ~leaf.isfinite().flatten(2).all(-1) & stream.examples.real
        if wrong.any():
            task, step = wrong.nonzero()[0].tolist()
            raise DataError(f"source: expected finite inputs; that of step {step + 1} of stream {task + 1} is not")


def _time_alone(prior: Prior, stream: Stream, state: Tree) -> float:
    """Return the median of the seconds that one stream's last example takes, predicted and then learned, alone."""
    belief = map_tensors(lambda leaf: leaf[:1], state)
    end = int(stream.examples.real[0].sum())
    last = map_tensors(lambda leaf: leaf[:1], stream.examples.take(slice(end - 1, end)))
    device = last.real.device
    assert last.y is not None
    taken = []
    for _ in range(TIMED):
        start = time.perf_counter()
        if hasattr(prior, "tell"):
            prior.tell(prior.enter(belief, last.x[:, 0])[1], last.y[:, 0])  # type: ignore[operator]
        else:
            prior.predict(belief, last.x)
            prior.observe(belief, last)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _scores(prediction: Tensor, stream: Stream) -> Tensor:
    """Return the score of each step `(T, S)`, as if it were a task of its own."""
    alone = map_tensors(lambda leaf: leaf.flatten(0, 1)[:, None], stream.asked)
    known = restrict(prediction, stream.ways)
    return task_scores(known.flatten(0, 1)[:, None], alone).view(stream.tasks, stream.steps)


def _named(prediction: Tensor, y: Tensor, unknown: int) -> tuple[Tensor, Tensor]:
    """Return whether the best of the other classes was right, and how likely the unknown one is, both `(T, S)`."""
    if prediction.shape[-1] <= unknown:
        raise MetapriorError(
            "prior: expected one acquired where a class can be unknown, such as on `roaming`; this one has "
            f"{prediction.shape[-1]} outputs, and the streams' unknown class is number {unknown}"
        )
    best = prediction.index_fill(-1, torch.tensor([unknown]), -torch.inf).argmax(-1)
    # Logarithms rank what is as good as certain, too.
    return (best == y).float(), prediction.log_softmax(-1)[..., unknown]
