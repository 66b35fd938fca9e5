"""What functions over large maps share whose derivatives are written by hand: pieces, maxima, and a way back.

Such a function is defined by primitives. Where its derivatives are not written, under `vmap` and on other devices than
a CPU, the definition is used.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["PIECE", "by_hand", "differentiate", "examples_in_piece", "split", "spread_maxima"]

PIECE = 600_000
"""Values that are worked on at a time: few enough for the cache, enough for a convolution to be efficient."""


def by_hand(x: Tensor) -> bool:
    """Whether to use derivatives that are written by hand: on a CPU, and outside of `vmap` and its like.

    Example:
        >>> by_hand(torch.zeros(1)), torch.vmap(lambda x: torch.tensor(by_hand(x)))(torch.zeros(1)).item()
        (True, False)
    """
    return x.device.type == "cpu" and not torch._C._are_functorch_transforms_active()


def examples_in_piece(x: Tensor) -> int:
    """Return how many examples to work on at a time.

    Example:
        >>> examples_in_piece(torch.empty(100, 64, 28, 28, device="meta"))
        11
    """
    return max(1, PIECE * len(x) // x.numel())


def split(like: Tensor, *wholes: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Return the pieces of some tensors, side by side, of as many examples as are worked on at a time.

    Example:
        >>> [len(part) for (part,) in split(torch.empty(30, 64, 28, 28, device="meta"), torch.zeros(30, 1))]
        [11, 11, 8]
    """
    size = examples_in_piece(like)
    if size >= len(like):
        return [wholes]
    return zip(*[whole.split(size) for whole in wholes], strict=True)


def spread_maxima(gradient: Tensor, maps: Tensor, places: Tensor) -> Tensor:
    """Give the gradient of each maximum of 2x2 to the place that it came from.

    Args:
        gradient: `(N, F, H // 2, W // 2)`.
        maps: `(N, F, H, W)`, for the shape and layout alone.
        places: of the maxima in the maps, as `max_pool2d` returns them.

    Returns:
        `(N, F, H, W)`.

    Example:
        >>> maps = torch.tensor([[[[1.0, 1.0], [1.0, 5.0]]]])
        >>> spread_maxima(torch.full((1, 1, 1, 1), 2.0), maps, torch.tensor([[[[3]]]]))
        tensor([[[[0., 0.],
                  [0., 2.]]]])
    """
    pool = ([2, 2], [2, 2], [0, 0], [1, 1], False)
    return torch.ops.aten.max_pool2d_with_indices_backward(gradient, maps, *pool, places)


def differentiate(definition: Any, inputs: tuple[Tensor, ...], rest: Any, gradients: Any) -> tuple[Tensor | None, ...]:
    """Differentiate a definition, so that its derivative can be differentiated again.

    Args:
        definition: from the inputs and the rest to the outputs.
        inputs: tensors; None is returned for one that needs no gradient.
        rest: further arguments.
        gradients: of the outputs.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> differentiate(torch.pow, (x,), (2,), torch.tensor(1.0))[0].item()
        6.0
    """
    needed = [value for value in inputs if value.requires_grad]
    found = iter(torch.autograd.grad(definition(*inputs, *rest), needed, gradients, create_graph=True))
    return tuple(next(found) if value.requires_grad else None for value in inputs)
