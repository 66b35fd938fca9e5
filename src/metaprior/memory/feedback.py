"""What a recurrent prior is told at each step: the labels that arrive, as numbers.

Axis letters: T streams, S steps, C classes, D target features, K numbers of feedback.
"""

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError
from metaprior.tasks.episode import Examples
from metaprior.tasks.stream import Stream

__all__ = ["encode", "nothing", "previous", "width"]


def width(outputs: int) -> int:
    """Return K: a number for each class or target feature, and one that says that no label came."""
    return outputs + 1


def nothing(tasks: int, outputs: int, like: Tensor) -> Tensor:
    """Return the feedback `(T, K)` of a step at which no label comes."""
    return functional.one_hot(torch.full((tasks,), outputs, device=like.device), outputs + 1).to(like.dtype)


def encode(examples: Examples, outputs: int, like: Tensor) -> Tensor:
    """Return the labels of examples as feedback `(T, S, K)`; unlabelled ones say that no label came.

    Raises:
        ShapeError: if a class id, or the number of target features, does not fit the outputs.

    Example:
        >>> encode(Examples(torch.zeros(1, 2, 1), torch.tensor([[1, 0]])), 2, torch.zeros(()))
        tensor([[[0., 1., 0.],
                 [1., 0., 0.]]])
    """
    none = nothing(examples.tasks, outputs, like)[:, None].expand(-1, examples.size, -1)
    if examples.y is None:
        return none
    if examples.y.is_floating_point():
        if examples.y.shape[-1] != outputs:
            raise ShapeError(f"y: expected {outputs} target features, got {examples.y.shape[-1]}")
        told = functional.pad(examples.y, (0, 1))
    else:
        ids = examples.y.masked_fill(~examples.real, 0)
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < outputs:
            outside = next(id for id in ids.flatten().tolist() if not 0 <= id < outputs)
            raise ShapeError(f"y: expected class ids from 0 to {outputs - 1}, got {outside}")
        told = functional.one_hot(ids, outputs + 1).to(like.dtype)
    return torch.where(examples.real[..., None], told, none)


def previous(told: Tensor, pending: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Shift labels by one real step: at each step, what is told is the label of the real example before.

    Args:
        told: `(T, S, K)`, the label of each example.
        pending: `(T, K)`, the label of the last example before these.
        real: `(T, S)`, False for padding.

    Returns:
        The feedback `(T, S, K)`, and what is pending afterwards, `(T, K)`.

    Example:
        >>> told = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> feedback, pending = previous(told, torch.zeros(1, 1), torch.tensor([[True, False, True]]))
        >>> feedback.flatten().tolist(), pending.item()
        ([0.0, 1.0, 1.0], 3.0)
    """
    known = torch.cat([pending[:, None], told], dim=1)
    places = torch.arange(1, told.shape[1] + 1, device=real.device).expand_as(real)
    last = functional.pad(torch.where(real, places, 0).cummax(1).values, (1, 0))
    shifted = known.gather(1, last[..., None].expand(-1, -1, known.shape[-1]))
    return shifted[:, :-1], shifted[:, -1]


def arriving(stream: Stream, outputs: int, pending: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the labels that arrive before each step of a stream.

    Args:
        stream: of S steps.
        outputs: C or D.
        pending: `(T, K)`, the label that has arrived before the first step.

    Returns:
        The feedback `(T, S, K)`, and what has arrived after the last step, `(T, K)`.

    Source: Santoro et al. 2016 (arXiv 1605.06065), section 3, where each label arrives one step late.
    """
    told = encode(stream.examples, outputs, pending)
    comes = (stream.delays > 0) & stream.examples.real
    # One place more than there are steps for what arrives after the last, and one for what comes later still, or never.
    due = torch.arange(stream.steps, device=told.device) + stream.delays
    due = due.clamp(max=stream.steps + 1).masked_fill(~comes, stream.steps + 1)
    feedback = told.new_zeros(stream.tasks, stream.steps + 2, told.shape[-1])
    feedback = feedback.scatter_add(1, due[..., None].expand_as(told), told)[:, :-1]
    came = told.new_zeros(stream.tasks, stream.steps + 2).scatter_add(1, due, comes.to(told.dtype))
    silent = came[:, :-1] == 0
    feedback = torch.where(silent[..., None], nothing(stream.tasks, outputs, pending)[:, None], feedback)
    feedback = torch.cat([pending[:, None], feedback[:, 1:]], dim=1)
    return feedback[:, :-1], feedback[:, -1]
