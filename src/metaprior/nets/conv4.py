"""The four-block convolutional network of the few-shot literature."""

from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, check_positive
from metaprior.nets.images import check_images
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.norm import BatchNorm, Norm, norm_layer
from metaprior.registry import nets

__all__ = ["Conv4"]


class _Block(nn.Module):
    def __init__(self, before: int, after: int, norm: Norm):
        super().__init__()
        # A bias before a normalisation has no effect.
        self.conv = uninitialised(nn.Conv2d, before, after, kernel_size=3, padding=1, bias=norm == "none")
        self.norm = norm_layer(norm, after)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.norm, BatchNorm):
            return self.norm.after(self.conv, x)
        # Pooling before the rectifier gives the same values for a quarter of the work.
        return functional.max_pool2d(self.norm(self.conv(x)), 2).relu()


@nets.register("conv4")
class Conv4(nn.Module):
    """Four blocks of 3x3 convolution, normalisation, 2x2 max-pooling and rectifier, then an optional linear head.

    Args:
        channels: of the input.
        size: the height and width of the input; at least 16.
        outputs: the number of outputs; None to end with the flattened features.
        width: the features of each block.
        norm: "batch" as published, "group" where no example may see another, or "none".
        seed: of the initial weights.

    Source: Vinyals et al. 2016 (arXiv 1606.04080), section 4.1.1, with 64 features.

    Example:
        >>> import torch
        >>> Conv4(channels=1, size=28)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 64])
    """

    def __init__(
        self,
        channels: int,
        size: int,
        outputs: int | None = None,
        width: int = 64,
        norm: Norm = "batch",
        seed: int = 0,
    ):
        super().__init__()
        check_positive(channels=channels, width=width)
        if size < 16:
            raise MetapriorError(f"size: four halvings need images of at least 16 pixels a side, got {size}")
        self.channels = channels
        self.size = size
        self.outputs = outputs
        self.width = width
        self.norm = norm
        self.seed = seed
        self.blocks = nn.Sequential(*[_Block(before, width, norm) for before in (channels, width, width, width)])
        self.head = nn.Identity() if outputs is None else uninitialised(nn.Linear, self.features, outputs)
        initialise(self, seed)

    @property
    def features(self) -> int:
        """The number of features before the head."""
        return self.width * (self.size // 16) ** 2

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, channels, size, size)` to `(N, outputs)`, or to `(N, features)` without a head."""
        check_images(x, self.channels, self.size)
        return self.head(self.blocks(x).flatten(1))
