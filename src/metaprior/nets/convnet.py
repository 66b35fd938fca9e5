"""A few strided convolutions and a linear layer, for images too small for a Conv4.

Axis letters: N examples, C channels, S pixels of a side, F features.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from metaprior.errors import MetapriorError, check_positive
from metaprior.nets.images import check_images
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.registry import nets

__all__ = ["ConvNet"]


@nets.register("convnet")
class ConvNet(nn.Module):
    """Blocks of a 3x3 convolution of stride 2 and a rectifier, one of a linear layer, then an optional linear head.

    Args:
        channels: C, of the input.
        size: S, the height and width of the input.
        outputs: the number of outputs; None to end with the features.
        widths: the features of each convolution.
        hidden: F, the features before the head.
        seed: of the initial weights.

    Example:
        >>> import torch
        >>> ConvNet(channels=1, size=10, outputs=3)(torch.zeros(5, 1, 10, 10)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        channels: int,
        size: int,
        outputs: int | None = None,
        widths: Sequence[int] = (8, 16),
        hidden: int = 64,
        seed: int = 0,
    ):
        super().__init__()
        check_positive(channels=channels, size=size, hidden=hidden)
        if not widths or min(widths) < 1:
            raise MetapriorError(f"widths: expected the features of one convolution or more, got {tuple(widths)}")
        self.channels = channels
        self.size = size
        self.outputs = outputs
        self.widths = tuple(widths)
        self.hidden = hidden
        self.seed = seed
        convolutions = [
            nn.Sequential(uninitialised(nn.Conv2d, before, after, 3, stride=2, padding=1), nn.ReLU())
            for before, after in zip((channels, *widths), widths, strict=False)
        ]
        flat = widths[-1] * math.ceil(size / 2 ** len(widths)) ** 2
        last = nn.Sequential(nn.Flatten(), uninitialised(nn.Linear, flat, hidden), nn.ReLU())
        self.blocks = nn.Sequential(*convolutions, last)
        self.head = nn.Identity() if outputs is None else uninitialised(nn.Linear, hidden, outputs)
        initialise(self, seed)

    @property
    def features(self) -> int:
        """The number of features before the head."""
        return self.hidden

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, C, S, S)` to `(N, outputs)`, or to `(N, F)` without a head."""
        check_images(x, self.channels, self.size)
        return self.head(self.blocks(x))
