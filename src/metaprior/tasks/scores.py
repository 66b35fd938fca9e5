"""Losses and scores of predictions, one number for each task; padding never counts.

Axis letters: T tasks, Q queries, C classes, D target features, H and W places.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError
from metaprior.tasks.episode import Examples

__all__ = ["KINDS", "Metric", "kind_of", "metric_of", "restrict", "targets", "task_losses", "task_means", "task_scores"]


@dataclass(frozen=True)
class Metric:
    """What the score of a kind of task is called, and how it reads.

    Args:
        name: as in files and tables.
        title: as beside an axis.
        share: whether it is a share of 1, of which more is better; else it is an error, of which less is better.

    Example:
        >>> metric_of("iou").text(0.5), metric_of("mse").text(0.5)
        ('50.0 %', '0.5')
    """

    name: str
    title: str
    share: bool

    def text(self, value: float, digits: int = 1) -> str:
        """Return a score in words: a share in percent, with so many digits after the point."""
        return f"{100 * value:.{digits}f} %" if self.share else f"{value:.4g}"


@dataclass(frozen=True)
class _Kind:
    metric: Metric
    losses: Callable[[Tensor, Tensor], Tensor]
    scores: Callable[[Tensor, Examples], Tensor]


def restrict(logits: Tensor, ways: Tensor | None) -> Tensor:
    """Give no probability to the classes that a task does not have.

    Args:
        logits: `(T, Q, C)`, or `(T, Q, C, H, W)`.
        ways: `(T,)`, the number of classes of each task, or None to leave the logits as they are.

    Example:
        >>> restrict(torch.zeros(1, 1, 3), torch.tensor([2])).softmax(-1)
        tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    if ways is None:
        return logits
    absent = torch.arange(logits.shape[2], device=logits.device) >= ways[:, None, None]
    return logits.masked_fill(absent.view(*absent.shape, *[1] * (logits.ndim - 3)), -torch.inf)


def task_losses(prediction: Tensor, examples: Examples, ways: Tensor | None = None) -> Tensor:
    """Return the mean loss of each task: cross-entropy of class ids, of pixels as of images, or squared error.

    Args:
        prediction: logits `(T, Q, C)`, of pixels `(T, Q, C, H, W)`, or values `(T, Q, D)`.
        examples: what was to be predicted; `y` is `(T, Q)` or `(T, Q, H, W)` class ids or `(T, Q, D)` targets.
        ways: `(T,)`, the number of classes of each task; see `restrict`.

    Returns:
        `(T,)`.

    Raises:
        ShapeError: if prediction and targets disagree, or a class id has no logit.

    Example:
        >>> examples = Examples(torch.zeros(2, 3, 1), torch.ones(2, 3, 1))
        >>> task_losses(torch.zeros(2, 3, 1), examples)
        tensor([1., 1.])
    """
    target = targets(prediction, examples)
    if not target.is_floating_point():
        prediction = restrict(prediction, ways)
        if examples.mask is not None:
            target = target.masked_fill(~_across(examples.mask, target), 0)
    return task_means(KINDS[kind_of(target)].losses(prediction, target), examples)


def task_scores(prediction: Tensor, examples: Examples, ways: Tensor | None = None) -> Tensor:
    """Return the score of each task: accuracy, mean squared error, or intersection over union for segmentation.

    The last is the mean over the classes but 0, the background, of the places that are of a class and were said to be,
    as a share of those that are or were, over all queries of a task together. A class that neither is nor was said to
    be anywhere has no part in it; where there is none but such, nothing was missed, and the score is 1.

    Takes what `task_losses` does; a class without a logit is never predicted.

    Example:
        >>> examples = Examples(torch.zeros(1, 2, 1), torch.tensor([[0, 1]]))
        >>> task_scores(torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), examples)
        tensor([0.5000])
        >>> masks = Examples(torch.zeros(1, 1, 1, 1, 3), torch.tensor([[[[0, 1, 1]]]]))
        >>> task_scores(torch.tensor([[[[[0.0, 0.0, 0.0]], [[1.0, 1.0, -1.0]]]]]), masks)
        tensor([0.3333])
    """
    target = targets(prediction, examples)
    if not target.is_floating_point():
        prediction = restrict(prediction, ways)
    return KINDS[kind_of(target)].scores(prediction, examples)


def kind_of(y: Tensor) -> str:
    """Return the kind of task that targets are of.

    Example:
        >>> kind_of(torch.zeros(1, 2, dtype=torch.long)), kind_of(torch.zeros(1, 2, 1))
        ('classification', 'regression')
    """
    return "regression" if y.is_floating_point() else "segmentation" if y.ndim == 4 else "classification"


def metric_of(name: str) -> Metric:
    """Return the metric of a name, or of the tasks of a kind.

    Example:
        >>> metric_of("classification").name, metric_of("mse").share
        ('accuracy', False)
    """
    kind = "regression" if name == "rays" else name
    return next(known.metric for each, known in KINDS.items() if kind in (each, known.metric.name))


def targets(prediction: Tensor, examples: Examples) -> Tensor:
    """Return `examples.y`.

    Raises:
        ShapeError: if it is None, or disagrees with predictions `(T, Q, C)`, `(T, Q, D)` or `(T, Q, C, H, W)` about
            another axis than C.

    Example:
        >>> targets(torch.zeros(1, 2, 3), Examples(torch.zeros(1, 2, 1), torch.tensor([[0, 1]])))
        tensor([[0, 1]])
    """
    if examples.y is None:
        raise ShapeError("examples: expected labelled examples, got y = None")
    expected: tuple[int, ...] = tuple(examples.y.shape)
    if not examples.y.is_floating_point():
        expected = (*expected[:2], *prediction.shape[2:3], *expected[2:])
    if tuple(prediction.shape) != expected:
        raise ShapeError(f"prediction: expected shape {expected}, got {tuple(prediction.shape)}")
    return examples.y


def _cross_entropies(logits: Tensor, ids: Tensor) -> Tensor:
    try:
        losses = functional.cross_entropy(logits.flatten(0, 1), ids.flatten(0, 1), reduction="none")
    except IndexError as error:
        outside = next(id for id in ids.flatten().tolist() if not 0 <= id < logits.shape[2])
        raise ShapeError(f"y: expected class ids from 0 to {logits.shape[2] - 1}, got {outside}") from error
    return losses.view(*ids.shape[:2], -1).mean(-1)


def _squared_errors(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square().mean(-1)


def _accuracy(logits: Tensor, examples: Examples) -> Tensor:
    return task_means(logits.argmax(2).eq(targets(logits, examples)).to(logits.dtype), examples)


def _intersection_over_union(logits: Tensor, examples: Examples) -> Tensor:
    assert examples.y is not None
    real = _across(examples.real, examples.y)
    chosen = logits.argmax(2).masked_fill(~real, 0)
    target = examples.y.masked_fill(~real, 0)
    shares = []
    for each in range(1, max(2, logits.shape[2], int(target.max()) + 1)):
        said, there = (chosen == each).flatten(1), (target == each).flatten(1)
        # Nothing over nothing is not a number, and is left out.
        shares.append((said & there).sum(1) / (said | there).sum(1))
    return torch.stack(shares).nanmean(0).nan_to_num(1.0).to(logits.dtype)


def _across(mask: Tensor, like: Tensor) -> Tensor:
    """View a mask `(T, Q)` as one over whatever axes follow."""
    return mask.view(*mask.shape, *[1] * (like.ndim - 2))


def task_means(values: Tensor, examples: Examples) -> Tensor:
    """Return the mean of values `(T, Q)` over the examples that are real, `(T,)`.

    Example:
        >>> examples = Examples(torch.zeros(1, 2, 1), mask=torch.tensor([[True, False]]))
        >>> task_means(torch.tensor([[3.0, torch.nan]]), examples)
        tensor([3.])
    """
    if examples.mask is None and examples.size:
        return values.mean(-1)
    # Padding is overwritten rather than multiplied by zero: its loss may be infinite or NaN.
    # Of no examples at all the mean is 0, so that a task without a support set can be adapted to.
    return values.masked_fill(~examples.real, 0).sum(-1) / examples.real.sum(-1).clamp(min=1)


KINDS: dict[str, _Kind] = {
    "classification": _Kind(Metric("accuracy", "accuracy", share=True), _cross_entropies, _accuracy),
    "regression": _Kind(
        Metric("mse", "mean squared error", share=False),
        _squared_errors,
        lambda prediction, examples: task_losses(prediction, examples),
    ),
    "segmentation": _Kind(
        Metric("iou", "intersection over union", share=True), _cross_entropies, _intersection_over_union
    ),
}
"""Every kind of task: how it is scored, its loss, and its score."""
