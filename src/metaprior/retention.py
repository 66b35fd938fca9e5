"""Let a prior learn classes one after another, in a single pass, and score what it keeps of them as they become many.

Axis letters: T sequences, M marks, N support, Q query, C classes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metaprior.errors import MetapriorError, check_positive
from metaprior.evaluate import check_fit
from metaprior.prior import Prior
from metaprior.tasks.episode import Episode, Examples
from metaprior.tasks.source import Split, TaskSource
from metaprior.tasks.streams import StreamSource
from metaprior.tree import Tree, nbytes

__all__ = ["Retention", "retention"]

_AT_ONCE = 256
"""Examples that go through a network together."""


@dataclass(frozen=True, eq=False)
class Retention:
    """What was kept of classes learned one after another.

    Args:
        marks: after so many classes there was a score, M of them.
        trajectory: `(T, M)`, accuracy on the very examples learned from so far.
        held_out: `(T, M)`, accuracy on other examples of the same classes.
        by_class: `(T, C)`, accuracy at the end on the other examples of each class, in the order of learning.
        learn_seconds: the time to learn a sequence, the mean over sequences.
        state_bytes: the size of what is carried along one sequence, at its end.
        parameters: how many numbers the prior carries from sequence to sequence.
        hash: of the sequences.
        transductive: whether predictions could depend on the other queries.
    """

    marks: tuple[int, ...]
    trajectory: Tensor
    held_out: Tensor
    by_class: Tensor
    learn_seconds: float
    state_bytes: int
    parameters: int
    hash: str
    transductive: bool = False

    def result(self) -> dict[str, Any]:
        """Return means over sequences, and the costs, ready for JSON."""
        return {
            "marks": list(self.marks),
            "trajectory": self.trajectory.mean(0).tolist(),
            "held_out": self.held_out.mean(0).tolist(),
            "by_class": self.by_class.mean(0).tolist(),
            "sequences": len(self.trajectory),
            "learn_seconds": self.learn_seconds,
            "state_bytes": self.state_bytes,
            "parameters": self.parameters,
            "test_hash": self.hash,
            "transductive": self.transductive,
        }


def retention(
    prior: Prior,
    source: TaskSource,
    marks: Sequence[int] | None = None,
    sequences: int = 5,
    seed: int = 0,
    split: Split = "test",
) -> Retention:
    """Let a prior learn the classes of fixed sequences in turn, each example once, and score it after some of them.

    A prior that is `incremental` is given many examples at once, which changes nothing; another one gets a single
    example at a time. No prediction is of a class that has not come yet. Each sequence is learned on its own, with
    memory for a single one and what the prior believes.

    Args:
        prior: on any device; it is left as it was.
        source: of classification tasks whose support sets have all examples of one class, then all of the next; see
            `metaprior.tasks.ClassIncremental`.
        marks: after how many classes to score; None for the end alone.
        sequences: T.
        seed: of the drawing.
        split: what to draw from.

    Raises:
        MetapriorError: if the prior is not for such tasks, or the tasks are not ordered by class.

    Example:
        >>> from torch import nn
        >>> from metaprior import ProtoNet, retention
        >>> from metaprior.tasks import ClassIncremental
        >>> source = ClassIncremental("strokes", ways=20)
        >>> kept = retention(ProtoNet(nn.Flatten()), source, marks=(5, 20), sequences=2)
        >>> kept.held_out.shape, bool((kept.held_out > 0.8).all())
        (torch.Size([2, 2]), True)

    Source: Javed and White 2019 (arXiv 1905.12588), figure 4. Differs: one sequence is scored as it grows, where theirs
    was learned anew for each number of classes.
    """
    check_positive(sequences=sequences)
    check_fit(prior, source)
    if source.spec.kind != "classification" or isinstance(source, StreamSource):
        raise MetapriorError(f"source: expected tasks with classes that come in turn, got {type(source).__name__}")
    if marks is not None and (not marks or min(marks) < 1):
        raise MetapriorError(f"marks: expected numbers of classes, 1 or more, got {tuple(marks)}")
    marks = None if marks is None else sorted(set(marks))
    tests = source.test_set(sequences, seed, split, batch=1)
    modes = [(module, module.training) for module in prior.modules()]
    prior.eval()
    device = next((parameter.device for parameter in prior.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            found = [_sequence(prior, episode, marks, device) for episode in tests.episodes]
    finally:
        for module, training in modes:
            module.training = training
    scores = torch.stack([scores for scores, *_ in found])
    return Retention(
        marks=(found[0][1].shape[0],) if marks is None else tuple(marks),
        trajectory=scores[:, 0],
        held_out=scores[:, 1],
        by_class=torch.stack([by_class for _, by_class, *_ in found]),
        learn_seconds=sum(seconds for *_, seconds, _ in found) / len(found),
        state_bytes=found[0][-1],
        parameters=sum(parameter.numel() for parameter in prior.parameters()),
        hash=tests.hash,
        transductive=prior.transductive,
    )


def _sequence(
    prior: Prior, episode: Episode, marks: Sequence[int] | None, device: torch.device
) -> tuple[Tensor, Tensor, float, int]:
    """Learn one sequence; return the scores `(2, M)`, those of each class at the end, seconds, and bytes."""
    support, query = episode.support.to(device), episode.query.to(device)
    assert query.y is not None
    order, starts = _order(support)
    at_once = _AT_ONCE if prior.incremental else 1
    state, seen, seconds, scores = prior.start(1, episode.to(device).about), 0, 0.0, []
    for mark in (len(order),) if marks is None else marks:
        if mark > len(order):
            raise MetapriorError(f"marks: expected at most {len(order)}, the classes of a sequence, got {mark}")
        begin, end = time.perf_counter(), starts[mark]
        for first in range(seen, end, at_once):
            state = prior.observe(state, support.take(slice(first, min(first + at_once, end))))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds, seen, known = seconds + time.perf_counter() - begin, end, order[:mark]
        again = _hits(prior, state, support.take(slice(end)), known)
        held_out = _hits(prior, state, query, known)
        scores.append(torch.stack([again.mean(), held_out[torch.isin(query.y[query.real], known)].mean()]))
    of = query.y[query.real]
    by_class = torch.stack([held_out[of == label].mean() for label in order])
    return torch.stack(scores, dim=1).cpu(), by_class.cpu(), seconds, nbytes(state)


def _order(support: Examples) -> tuple[Tensor, list[int]]:
    """Return the classes of one task in the order in which they come, and where each begins, with the end of all."""
    if support.y is None:
        raise MetapriorError("source: expected labelled tasks")
    y = support.y[0]
    begins = torch.cat([torch.tensor([0], device=y.device), y.diff().nonzero().flatten() + 1])
    order = y[begins]
    if len(order.unique()) < len(order):
        raise MetapriorError("source: expected all examples of one class, then all of the next; got them mixed")
    return order, [*begins.tolist(), len(y)]


def _hits(prior: Prior, state: Tree, examples: Examples, known: Tensor) -> Tensor:
    """Return for each real example of a task whether its class, of those that are known, was rightly named."""
    hits = []
    for first in range(0, examples.size, _AT_ONCE):
        part = examples.take(slice(first, first + _AT_ONCE))
        logits = prior.predict(state, part.x)
        right = known[logits[..., known].argmax(-1)].eq(part.y)  # type: ignore[arg-type]
        hits.append(right[part.real].float())
    return torch.cat(hits)
