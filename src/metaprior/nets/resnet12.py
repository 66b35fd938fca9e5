"""The residual network of the few-shot literature."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.nets.images import check_images
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.norm import Norm, norm_layer
from metaprior.registry import nets

__all__ = ["ResNet12"]


def _convolution(before: int, after: int, kernel: int, norm: Norm) -> nn.Sequential:
    convolution = uninitialised(nn.Conv2d, before, after, kernel_size=kernel, padding=kernel // 2, bias=norm == "none")
    return nn.Sequential(convolution, norm_layer(norm, after))


class _Residual(nn.Module):
    def __init__(self, before: int, after: int, norm: Norm):
        super().__init__()
        self.first = _convolution(before, after, 3, norm)
        self.second = _convolution(after, after, 3, norm)
        self.third = _convolution(after, after, 3, norm)
        self.shortcut = _convolution(before, after, 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.leaky_relu(self.first(x), 0.1)
        inner = functional.leaky_relu(self.second(inner), 0.1)
        return functional.max_pool2d(functional.leaky_relu(self.third(inner) + self.shortcut(x), 0.1), 2)


@nets.register("resnet12")
class ResNet12(nn.Module):
    """Four residual blocks of three convolutions, pooled to one vector, then an optional linear head.

    Args:
        channels: of the input.
        outputs: the number of outputs; None to end with the pooled features.
        widths: the features of the four blocks.
        norm: "batch" as published, "group" where no example may see another, or "none".
        seed: of the initial weights.

    Source: Lee et al. 2019 (MetaOptNet, arXiv 1904.03758), section 4.1. Differs: no DropBlock.

    Example:
        >>> import torch
        >>> ResNet12(channels=3, widths=(8, 8, 8, 8))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        channels: int,
        outputs: int | None = None,
        widths: Sequence[int] = (64, 160, 320, 640),
        norm: Norm = "batch",
        seed: int = 0,
    ):
        super().__init__()
        for width in (channels, *widths):
            check_positive(widths=width)
        self.channels = channels
        self.outputs = outputs
        self.widths = tuple(widths)
        self.norm = norm
        self.seed = seed
        pairs = zip((channels, *self.widths), self.widths, strict=False)
        self.blocks = nn.Sequential(*[_Residual(before, after, norm) for before, after in pairs])
        self.head = nn.Identity() if outputs is None else uninitialised(nn.Linear, self.widths[-1], outputs)
        initialise(self, seed)

    @property
    def features(self) -> int:
        """The number of features before the head."""
        return self.widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, channels, H, W)` to `(N, outputs)`, or to `(N, features)` without a head."""
        check_images(x, self.channels)
        return self.head(self.blocks(x).mean((2, 3)))
