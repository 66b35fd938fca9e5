"""The light that falls on every scene.

Axis letters: P points.
"""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LIGHT", "shade"]

LIGHT: Tensor = functional.normalize(torch.tensor([-0.5, -0.7, 0.9]), dim=0)
"""Where the light comes from: from the left, the front and above."""


def shade(normals: Tensor) -> Tensor:
    """Return how bright a matte surface with normals `(P, 3)` is, `(P, 1)`: the light, and a dim sky.

    Example:
        >>> shade(torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])).round(decimals=2)
        tensor([[0.9000],
                [0.2500]])
    """
    lit = (normals @ LIGHT.to(normals)).clamp(min=0)[:, None]
    return 0.25 + 0.125 * (1 + normals[:, 2:]) + 0.55 * lit
