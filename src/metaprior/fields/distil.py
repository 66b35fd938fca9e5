"""Comparing fields with scenes at points, without rendering.

Axis letters: T scenes, Q points.
"""

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.fields.field import Field, Weights
from metaprior.tasks.episode import Examples
from metaprior.tasks.scores import targets

__all__ = ["point_losses"]

_COLOUR = 20.0
_LEAST = 1e-20


def point_losses(field: Field, weights: Weights, examples: Examples) -> Tensor:
    """Return how far fields are from what is known of steps at points, `(T,)`.

    The loss of opacity is logistic, in the logarithm of the optical depth of a step: unlike that of a squared error,
    its gradient vanishes neither where there is nothing yet that should be something, nor in fog that should be
    nothing. Colours count where there is something.

    Args:
        field: the shape of the fields.
        weights: of T scenes.
        examples: `x` is `(T, Q, 6)`, points and steps; `y` is `(T, Q, 4)`, colour in front of black, and opacity.

    Example:
        >>> field, generator = Field(), torch.Generator().manual_seed(0)
        >>> examples = Examples(torch.rand(2, 5, 6), torch.zeros(2, 5, 4))
        >>> point_losses(field, field.initial(2, generator), examples).shape
        torch.Size([2])
    """
    points, steps = examples.x[..., :3], examples.x[..., 3:]
    length = steps.norm(dim=-1).clamp(min=1e-6)
    density, colour = field(weights, points, steps / length[..., None])
    wanted = targets(torch.cat([colour, density[..., None]], dim=-1), examples)
    opacity = wanted[..., 3]
    losses = functional.binary_cross_entropy_with_logits((density * length + _LEAST).log(), opacity, reduction="none")
    error = (colour * opacity[..., None] - wanted[..., :3]).square().mean(-1)
    losses = (losses + _COLOUR * error).masked_fill(~examples.real, 0)
    return losses.sum(-1) / examples.real.sum(-1).clamp(min=1)
