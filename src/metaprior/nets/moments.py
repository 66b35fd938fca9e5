"""Mean and variance of the features of a batch, from the features or from what a convolution sees.

Axis letters: N examples, C channels, F features, H and W places.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.nets import pieces

__all__ = ["moments", "patch_moments"]


def moments(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each feature, summed first within an example and then over examples.

    Args:
        x: `(N, F)` or `(N, F, H, W)`.
        mask: `(N,)`, True where an example is real; None where all are.

    Returns:
        Two tensors `(F,)`.

    Example:
        >>> moments(torch.tensor([[1.0], [3.0]]))
        (tensor([2.]), tensor([1.]))
    """
    places = tuple(range(2, x.ndim))

    def average(values: Tensor) -> Tensor:
        return _average(values.mean(places) if places else values, mask)

    # Derivatives take fewer passes if the centre is a constant; what it is off by is zero, its derivative is not.
    centre = average(x.detach())
    apart = x - centre.view(-1, *[1] * len(places))
    off = average(apart)
    return centre + off, average(apart.square()) - off.square()


def _average(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean(0)
    share = mask.to(values.dtype) / mask.sum().clamp(min=1)
    return share @ torch.where(mask[:, None], values, 0)


def patch_moments(
    convolution: nn.Conv2d, kernel: Tensor, x: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the moments that a convolution's maps have, from those of what its kernel sees: `k'E[p]`, `k'Cov[p]k`.

    Args:
        convolution: says how; its weight is not used.
        kernel: `(F, C, height, width)`, to use instead.
        x: `(N, C, H, W)`.
        mask: `(N,)`, True where an example is real; None where all are.

    Returns:
        Mean and variance, `(F,)`.

    Example:
        >>> convolution = nn.Conv2d(1, 1, 1, bias=False)
        >>> patch_moments(convolution, torch.full((1, 1, 1, 1), 2.0), torch.tensor([[[[1.0, 3.0]]]]))
        (tensor([4.]), tensor([4.]))
    """
    rows = kernel.flatten(1).double()
    count = len(x) if mask is None else mask.sum().clamp(min=1)
    size = max(1, pieces.PIECE * len(x) // (x.numel() * rows.shape[1]))
    sums = []
    for start in range(0, len(x), size):
        # In double precision, since a kernel of mixed signs cancels most of the covariance of a smooth image.
        seen = _patches(convolution, x[start : start + size].double())
        if mask is not None:
            seen = torch.where(mask[start : start + size, None], seen, 0)
        places, flat = seen.shape[2], seen.flatten(1)
        sums.append((flat.sum(1), flat @ flat.T))
    mean, square = (torch.stack(parts).sum(0) / (count * places) for parts in zip(*sums, strict=True))
    covariance = square - mean[:, None] * mean
    return (rows @ mean).to(x.dtype), ((rows @ covariance) * rows).sum(1).to(x.dtype)


def _patches(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """Return what a convolution's kernel sees, `(C * height * width, N, places)`."""
    assert not isinstance(convolution.padding, str)
    seen = functional.pad(x, [convolution.padding[axis] for axis in (1, 1, 0, 0)])
    for axis, size in enumerate(convolution.kernel_size):
        stride, dilation = convolution.stride[axis], convolution.dilation[axis]
        seen = seen.unfold(2 + axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    return seen.permute(1, 4, 5, 0, 2, 3).flatten(0, 2).flatten(2)
