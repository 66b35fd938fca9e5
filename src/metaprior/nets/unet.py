"""The encoder and decoder with bridges between them, for labelling pixels."""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, check_positive
from metaprior.nets.images import check_images
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.norm import Norm, norm_layer
from metaprior.registry import nets

__all__ = ["UNet"]


class _Stage(nn.Module):
    """Two 3x3 convolutions, each followed by normalisation and rectifier."""

    def __init__(self, before: int, after: int, norm: Norm):
        super().__init__()
        pairs = ((before, after), (after, after))
        # A bias before a normalisation has no effect.
        self.convolutions = nn.ModuleList(
            uninitialised(nn.Conv2d, first, second, kernel_size=3, padding=1, bias=norm == "none")
            for first, second in pairs
        )
        self.norms = nn.ModuleList(norm_layer(norm, after) for _ in pairs)

    def forward(self, x: Tensor) -> Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(convolution(x)).relu()
        return x


@nets.register("unet")
class UNet(nn.Module):
    """Stages at scales that halve and double again, with bridges from each to its counterpart; a label for each pixel.

    The stages are called `encoder.0`, `encoder.1`, ..., the last of them at the coarsest scale, and `decoder.0`, ...
    back to the finest.

    Args:
        channels: of the input.
        outputs: the number of outputs of each pixel; None to end with the features of each.
        widths: the features at each scale, from the finest to the coarsest; each but the first is half as large as
            the one before.
        norm: "group", in which no example sees another, "batch", or "none".
        seed: of the initial weights.

    Source: Ronneberger et al. 2015 (arXiv 1505.04597). Differs: borders are padded, so that the output is as large as
    the input; maps grow by repetition of their values; there is normalisation; three scales of few features, for few
    and small images.

    Example:
        >>> UNet(channels=3, outputs=2)(torch.zeros(5, 3, 32, 32)).shape
        torch.Size([5, 2, 32, 32])
    """

    labels_pixels: ClassVar[bool] = True

    def __init__(
        self,
        channels: int,
        outputs: int | None = None,
        widths: Sequence[int] = (16, 32, 64),
        norm: Norm = "group",
        seed: int = 0,
    ):
        super().__init__()
        for width in (channels, *widths):
            check_positive(widths=width)
        if not widths:
            raise MetapriorError("widths: expected the features of one scale or more, got none")
        self.channels = channels
        self.outputs = outputs
        self.widths = tuple(widths)
        self.norm = norm
        self.seed = seed
        self.encoder = nn.ModuleList(
            _Stage(before, after, norm) for before, after in pairwise((channels, *self.widths))
        )
        upwards = pairwise(reversed(self.widths))
        self.decoder = nn.ModuleList(_Stage(before + after, after, norm) for before, after in upwards)
        self.head = nn.Identity() if outputs is None else uninitialised(nn.Conv2d, self.features, outputs, 1)
        initialise(self, seed)

    @property
    def features(self) -> int:
        """The number of features of each pixel before the head."""
        return self.widths[0]

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, channels, H, W)` to `(N, outputs, H, W)`, or to `(N, features, H, W)` without a head."""
        check_images(x, self.channels)
        coarsest = 2 ** (len(self.widths) - 1)
        if min(x.shape[-2:]) < coarsest:
            raise MetapriorError(
                f"widths: {len(self.widths)} scales need images of at least {coarsest} pixels a side, "
                f"got {tuple(x.shape[-2:])}"
            )
        bridges: list[Tensor] = []
        for stage in self.encoder:
            x = stage(functional.max_pool2d(bridges[-1], 2) if bridges else x)
            bridges.append(x)
        for stage, bridge in zip(self.decoder, reversed(bridges[:-1]), strict=True):
            x = stage(torch.cat([_enlarged(x, bridge), bridge], dim=1))
        return self.head(x)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Repeat the values of maps `(N, F, h, w)` until they are as large as others `(N, F', H, W)`."""
    return functional.interpolate(x, size=like.shape[-2:], mode="nearest")
