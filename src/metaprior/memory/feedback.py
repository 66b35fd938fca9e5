"""What a recurrent prior is told at each step: the labels that arrive, as numbers; in segmentation, for each place.

Axis letters: T streams, S steps, C classes, D target features, K numbers of feedback, H and W places.
"""

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError
from metaprior.tasks.episode import Examples
from metaprior.tasks.stream import Stream

__all__ = ["arrivals", "arriving", "encode", "nothing", "previous", "resized", "width"]


def width(outputs: int) -> int:
    """Return K: a number for each class or target feature, and one that says that no label came."""
    return outputs + 1


def nothing(tasks: int, outputs: int, like: Tensor, places: tuple[int, ...] = ()) -> Tensor:
    """Return the feedback `(T, K)` of a step at which no label comes; with places H and W, `(T, K, H, W)`."""
    return _one_hot(torch.full((tasks, *places), outputs, device=like.device), outputs, like)


def encode(examples: Examples, outputs: int, like: Tensor) -> Tensor:
    """Return the labels of examples as feedback `(T, S, K)`; unlabelled ones say that no label came.

    Args:
        examples: of S steps.
        outputs: C or D.
        like: the feedback before, `(T, K)`, or, in segmentation, `(T, K, H, W)`; the result is `(T, S, K, H, W)` then.

    Raises:
        ShapeError: if a class id, the number of target features, or the size of a mask does not fit.

    Example:
        >>> encode(Examples(torch.zeros(1, 2, 1), torch.tensor([[1, 0]])), 2, torch.zeros(()))
        tensor([[[0., 1., 0.],
                 [1., 0., 0.]]])
    """
    places = tuple(like.shape[2:])
    if examples.y is None:
        return _none_of(examples, outputs, like)
    if examples.y.is_floating_point():
        if examples.y.shape[-1] != outputs:
            raise ShapeError(f"y: expected {outputs} target features, got {examples.y.shape[-1]}")
        told = functional.pad(examples.y, (0, 1))
    else:
        if tuple(examples.y.shape[2:]) != places:
            wanted = f"masks of {' x '.join(map(str, places))} places" if places else "one class id an example"
            raise ShapeError(f"y: expected {wanted}, got shape {tuple(examples.y.shape)}")
        ids = examples.y
        if examples.mask is not None:
            ids = ids.masked_fill(~examples.mask.view(*examples.mask.shape, *[1] * len(places)), 0)
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < outputs:
            outside = next(id for id in ids.flatten().tolist() if not 0 <= id < outputs)
            raise ShapeError(f"y: expected class ids from 0 to {outputs - 1}, got {outside}")
        told = _one_hot(ids.flatten(0, 1), outputs, like).unflatten(0, ids.shape[:2])
    if examples.mask is None:
        return told
    return torch.where(_across(examples.mask, told), told, _none_of(examples, outputs, like))


def previous(told: Tensor, pending: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Shift labels by one real step: at each step, what is told is the label of the real example before.

    Args:
        told: `(T, S, K)` or `(T, S, K, H, W)`, the label of each example.
        pending: the label of the last example before these, without S.
        real: `(T, S)`, False for padding.

    Returns:
        The feedback, of the shape of `told`, and what is pending afterwards.

    Example:
        >>> told = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> feedback, pending = previous(told, torch.zeros(1, 1), torch.tensor([[True, False, True]]))
        >>> feedback.flatten().tolist(), pending.item()
        ([0.0, 1.0, 1.0], 3.0)
    """
    known = torch.cat([pending[:, None], told], dim=1)
    places = torch.arange(1, told.shape[1] + 1, device=real.device).expand_as(real)
    last = functional.pad(torch.where(real, places, 0).cummax(1).values, (1, 0))
    shifted = known[torch.arange(len(known), device=real.device)[:, None], last]
    return shifted[:, :-1], shifted[:, -1]


def arriving(stream: Stream, outputs: int, pending: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
    """Sum the labels that arrive before each step of a stream, from one step on.

    Args:
        stream: of S steps.
        outputs: C or D.
        pending: `(T, K)` or `(T, K, H, W)`, the label that has arrived before that step.
        first: the step; those before it have no labels that arrived before it.

    Returns:
        The feedback `(T, S - first, K)` or `(T, S - first, K, H, W)`, and what has arrived after the last step, without
        S.

    Source: Santoro et al. 2016 (arXiv 1605.06065), section 3, where each label arrives one step late.
    """
    told = encode(stream.examples, outputs, pending)
    comes = (stream.delays > 0) & stream.examples.real
    # One place more than there are steps for what arrives after the last, and one for what comes later still, or never.
    due = torch.arange(stream.steps, device=told.device) + stream.delays
    due = due.clamp(max=stream.steps + 1).masked_fill(~comes, stream.steps + 1)
    flat = told.flatten(2)
    feedback = flat.new_zeros(stream.tasks, stream.steps + 2, flat.shape[-1])
    feedback = feedback.scatter_add(1, due[..., None].expand_as(flat), flat)[:, :-1].unflatten(2, told.shape[2:])
    came = told.new_zeros(stream.tasks, stream.steps + 2).scatter_add(1, due, comes.to(told.dtype))
    none = nothing(stream.tasks, outputs, pending, tuple(pending.shape[2:]))[:, None]
    feedback = torch.where(_across(came[:, :-1] == 0, feedback), none, feedback)
    feedback = torch.cat([pending[:, None], feedback[:, first + 1 :]], dim=1)
    return feedback[:, :-1], feedback[:, -1]


def arrivals(stream: Stream) -> tuple[Tensor, Tensor]:
    """Return in which order the labels of a stream arrive, and how many have.

    Returns:
        The steps in the order in which their labels arrive, `(T, S)`, those whose labels never do last; and how many
        labels have arrived before each step, and after the last, `(T, S + 1)`.

    Example:
        >>> stream = Stream(Examples(torch.zeros(1, 3, 1), torch.tensor([[0, 1, 1]])), torch.tensor([[3, 1, 0]]))
        >>> arrivals(stream)
        (tensor([[1, 0, 2]]), tensor([[0, 0, 1, 2]]))
    """
    moments = torch.arange(stream.steps + 1, device=stream.delays.device)
    comes = (stream.delays > 0) & stream.examples.real
    due, order = (moments[:-1] + stream.delays).masked_fill(~comes, 2 * stream.steps + 1).sort(dim=1, stable=True)
    return order, torch.searchsorted(due, moments.expand(stream.tasks, -1).contiguous(), right=True)


def resized(feedback: Tensor, places: tuple[int, ...]) -> Tensor:
    """Average the feedback of places over areas, so that there are as many as a cell has.

    Args:
        feedback: `(T, S, K, H, W)`; `(T, S, K)` is left as it is.
        places: of the cell, height and width; none for a vector.

    Example:
        >>> resized(torch.tensor([[[[[0.0, 1.0], [1.0, 1.0]]]]]), (1, 2)).flatten().tolist()
        [0.5, 1.0]
    """
    if feedback.ndim == 3:
        return feedback
    if not places:
        return feedback.mean((-2, -1))
    return functional.interpolate(feedback.flatten(0, 1), size=places, mode="area").unflatten(0, feedback.shape[:2])


def _none_of(examples: Examples, outputs: int, like: Tensor) -> Tensor:
    places = tuple(like.shape[2:])
    return nothing(examples.tasks, outputs, like, places)[:, None].expand(-1, examples.size, -1, *places)


def _one_hot(ids: Tensor, outputs: int, like: Tensor) -> Tensor:
    """Return `(N, K)` for ids `(N,)`, and `(N, K, H, W)` for ids `(N, H, W)`."""
    return functional.one_hot(ids, outputs + 1).movedim(-1, 1).to(like.dtype)


def _across(mask: Tensor, like: Tensor) -> Tensor:
    return mask.view(*mask.shape, *[1] * (like.ndim - 2))
