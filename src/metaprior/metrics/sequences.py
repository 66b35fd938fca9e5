"""Scores of learning one task after another: what is kept, what helps, what dips on the way.

Axis letters: K tasks of a sequence, I evaluations.
"""

import torch
from torch import Tensor

from metaprior.errors import ShapeError

__all__ = [
    "backward_transfer",
    "forward_contrast",
    "forward_transfer",
    "performance_maintenance",
    "sample_efficiency",
    "stability",
]


def backward_transfer(accuracy: Tensor) -> Tensor:
    """Return by how much earlier tasks gained, or, below zero, were forgotten, when all are learned.

    Args:
        accuracy: `(K, K)`, at row i and column j that of task j after task i was learned.

    Source: Lopez-Paz and Ranzato 2017 (arXiv 1706.08840), eq. 3.

    Example:
        >>> backward_transfer(torch.tensor([[0.9, 0.5], [0.7, 0.9]]))
        tensor(-0.2000)
    """
    _square(accuracy)
    return (accuracy[-1] - accuracy.diagonal())[:-1].mean()


def forward_transfer(accuracy: Tensor, alone: Tensor) -> Tensor:
    """Return by how much tasks gained from those before them, before they were learned themselves.

    Args:
        accuracy: `(K, K)`, as for `backward_transfer`.
        alone: `(K,)`, that of a learner that has learned nothing.

    Source: Lopez-Paz and Ranzato 2017, eq. 4.

    Example:
        >>> forward_transfer(torch.tensor([[0.9, 0.6], [0.7, 0.9]]), torch.tensor([0.5, 0.5]))
        tensor(0.1000)
    """
    _square(accuracy)
    if alone.shape != accuracy.shape[:1]:
        raise ShapeError(f"alone: expected shape (K,) = ({len(accuracy)},), got {tuple(alone.shape)}")
    return (accuracy.diagonal(1) - alone[1:]).mean()


def forward_contrast(accuracy: Tensor) -> Tensor:
    """Return by how much learning a task helped those still to come, between -1 and 1.

    Over all pairs of a task and one that comes later, the mean of (a - b) / (a + b), b and a being the later one's
    scores before and after the task was learned.

    Args:
        accuracy: `(K + 1, K)`, at row i and column j that of task j after i tasks were learned.

    Source: New et al. 2022 (arXiv 2201.08278), forward transfer as contrast.

    Example:
        >>> forward_contrast(torch.tensor([[0.5, 0.2], [0.9, 0.6], [0.9, 0.9]]))
        tensor(0.5000)
    """
    tasks = accuracy.shape[-1]
    if accuracy.ndim != 2 or len(accuracy) != tasks + 1 or tasks < 2:
        raise ShapeError(f"accuracy: expected shape (K + 1, K) for two tasks or more, got {tuple(accuracy.shape)}")
    before, after = accuracy[:-1], accuracy[1:]
    both = before + after
    contrast = torch.where(both > 0, (after - before) / both, 0)
    return contrast[torch.ones_like(contrast).triu(1).bool()].mean()


def stability(accuracy: Tensor, learned: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean lowest accuracy of earlier tasks, and the worst-case accuracy: what dips between looks.

    Args:
        accuracy: `(I, K)`, that of each task at each of many evaluations, the last at the very end.
        learned: `(K,)`, after which evaluation each task had been learned; the last one last.

    Returns:
        The mean, over all tasks but the last, of the least accuracy at the evaluations after that; and the mean of
        that, by the share of those tasks, and the final accuracy of the last one.

    Source: De Lange et al. 2023 (arXiv 2205.13452), eq. 2 and 3.

    Example:
        >>> stability(torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.8, 0.8]]), torch.tensor([0, 2]))
        (tensor(0.4000), tensor(0.6000))
    """
    evaluations, tasks = _checked(accuracy, learned)
    if tasks < 2:
        raise ShapeError(f"accuracy: expected two tasks or more, got {tasks}")
    if int(learned[-1]) != int(learned.max()):
        raise ShapeError(f"learned: expected the last task to be learned last, got {learned.tolist()}")
    if int(learned[:-1].max()) == evaluations - 1:
        raise ShapeError(f"learned: expected an evaluation after each task but the last, got {learned.tolist()}")
    before = torch.arange(evaluations, device=accuracy.device)[:, None] <= learned
    least = accuracy.masked_fill(before, torch.inf).amin(0)[:-1].mean()
    return least, accuracy[-1, -1] / tasks + (1 - 1 / tasks) * least


def performance_maintenance(accuracy: Tensor, learned: Tensor) -> Tensor:
    """Return the mean change of a task's score between when it was learned and all evaluations after that.

    Args:
        accuracy: `(I, K)`, as for `stability`.
        learned: `(K,)`, as for `stability`.

    Source: New et al. 2022 (arXiv 2201.08278), "Lifelong learning metrics", performance maintenance.

    Example:
        >>> performance_maintenance(torch.tensor([[0.9], [0.7], [0.5]]), torch.tensor([0]))
        tensor(-0.3000)
    """
    evaluations, _ = _checked(accuracy, learned)
    if bool((learned == evaluations - 1).all()):
        raise ShapeError("learned: expected an evaluation after a task was learned, got none")
    then = accuracy.gather(0, learned[None])[0]
    after = torch.arange(len(accuracy), device=accuracy.device)[:, None] > learned
    changes = [
        (accuracy[after[:, task], task] - then[task]).mean() for task in range(len(then)) if after[:, task].any()
    ]
    return torch.stack(changes).mean()


def sample_efficiency(curve: Tensor, expert: Tensor) -> Tensor:
    """Return how much faster and higher a task is learned than by an expert that learns it alone; 1 is alike.

    The ratio of the best scores, times the inverse ratio of the examples that it took to reach them.

    Args:
        curve: `(I,)`, scores in the course of learning, at equal steps.
        expert: `(I',)`, the same of a learner of this task alone.

    Source: New et al. 2022, sample efficiency, without smoothing.

    Example:
        >>> sample_efficiency(torch.tensor([0.4, 0.8, 0.8]), torch.tensor([0.2, 0.4, 0.6, 0.8]))
        tensor(2.)
    """
    if curve.ndim != 1 or expert.ndim != 1 or not len(curve) or not len(expert):
        expected = "curve, expert: expected one axis each, of one score or more"
        raise ShapeError(f"{expected}, got {tuple(curve.shape)} and {tuple(expert.shape)}")
    reached, took = curve.max(), curve.argmax() + 1
    other, longer = expert.max(), expert.argmax() + 1
    if other <= 0:
        raise ShapeError(f"expert: expected a score above 0 somewhere, got {other.item()} at best")
    return reached / other * longer / took


def _checked(accuracy: Tensor, learned: Tensor) -> tuple[int, int]:
    """Return I and K, if each task was learned at one of the evaluations."""
    if accuracy.ndim != 2 or learned.shape != accuracy.shape[1:]:
        expected = "accuracy, learned: expected shapes (I, K) and (K,)"
        raise ShapeError(f"{expected}, got {tuple(accuracy.shape)} and {tuple(learned.shape)}")
    evaluations, tasks = accuracy.shape
    if not 0 <= int(learned.min()) <= int(learned.max()) < evaluations:
        raise ShapeError(f"learned: expected evaluations from 0 to {evaluations - 1}, got {learned.tolist()}")
    return evaluations, tasks


def _square(accuracy: Tensor) -> None:
    if accuracy.ndim != 2 or accuracy.shape[0] != accuracy.shape[1] or len(accuracy) < 2:
        raise ShapeError(f"accuracy: expected shape (K, K) for two tasks or more, got {tuple(accuracy.shape)}")
