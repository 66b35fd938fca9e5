"""Losses and scores of predictions, one number for each task; padding never counts.

Axis letters: T tasks, Q queries, C classes, D target features.
"""

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError
from metaprior.tasks.episode import Examples

__all__ = ["restrict", "targets", "task_losses", "task_scores"]


def restrict(logits: Tensor, ways: Tensor | None) -> Tensor:
    """Give no probability to the classes that a task does not have.

    Args:
        logits: `(T, Q, C)`.
        ways: `(T,)`, the number of classes of each task, or None to leave the logits as they are.

    Example:
        >>> restrict(torch.zeros(1, 1, 3), torch.tensor([2])).softmax(-1)
        tensor([[[0.5000, 0.5000, 0.0000]]])
    """
    if ways is None:
        return logits
    absent = torch.arange(logits.shape[-1], device=logits.device) >= ways[:, None, None]
    return logits.masked_fill(absent, -torch.inf)


def task_losses(prediction: Tensor, examples: Examples, ways: Tensor | None = None) -> Tensor:
    """Return the mean loss of each task: cross-entropy for class ids, squared error for real targets.

    Args:
        prediction: logits `(T, Q, C)`, or values `(T, Q, D)`.
        examples: what was to be predicted; `y` is `(T, Q)` class ids or `(T, Q, D)` targets.
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
    if target.is_floating_point():
        losses = (prediction - target).square().mean(-1)
    else:
        logits = restrict(prediction, ways)
        if examples.mask is not None:
            target = target.masked_fill(~examples.mask, 0)
        try:
            losses = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
        except IndexError as error:
            outside = next(id for id in target.flatten().tolist() if not 0 <= id < logits.shape[-1])
            raise ShapeError(f"y: expected class ids from 0 to {logits.shape[-1] - 1}, got {outside}") from error
        losses = losses.view(target.shape)
    return _mean(losses, examples)


def task_scores(prediction: Tensor, examples: Examples, ways: Tensor | None = None) -> Tensor:
    """Return the score of each task: accuracy for class ids, mean squared error for real targets.

    Takes what `task_losses` does; a class without a logit is never predicted.

    Example:
        >>> examples = Examples(torch.zeros(1, 2, 1), torch.tensor([[0, 1]]))
        >>> task_scores(torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), examples)
        tensor([0.5000])
    """
    target = targets(prediction, examples)
    if target.is_floating_point():
        return task_losses(prediction, examples)
    hits = restrict(prediction, ways).argmax(-1) == target
    return _mean(hits.to(prediction.dtype), examples)


def targets(prediction: Tensor, examples: Examples) -> Tensor:
    """Return `examples.y`.

    Raises:
        ShapeError: if it is None, or disagrees with predictions `(T, Q, C)` or `(T, Q, D)` about T, Q or D.

    Example:
        >>> targets(torch.zeros(1, 2, 3), Examples(torch.zeros(1, 2, 1), torch.tensor([[0, 1]])))
        tensor([[0, 1]])
    """
    if examples.y is None:
        raise ShapeError("examples: expected labelled examples, got y = None")
    expected = examples.y.shape if examples.y.is_floating_point() else (*examples.y.shape, prediction.shape[-1])
    if prediction.shape != torch.Size(expected):
        raise ShapeError(f"prediction: expected shape {tuple(expected)}, got {tuple(prediction.shape)}")
    return examples.y


def _mean(values: Tensor, examples: Examples) -> Tensor:
    if examples.mask is None:
        return values.mean(-1)
    # Padding is overwritten rather than multiplied by zero: its loss may be infinite or NaN.
    return values.masked_fill(~examples.mask, 0).sum(-1) / examples.mask.sum(-1).clamp(min=1)
