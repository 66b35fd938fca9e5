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
    assert not isinstance(convolution.padding, str)
    rows = kernel.flatten(1).double()
    means, products = [], []
    for part in x.split(max(1, pieces.PIECE * len(x) // (x.numel() * rows.shape[1]))):
        # In double precision, since a kernel of mixed signs cancels most of the covariance of a smooth image.
        seen = functional.unfold(
            part.double(), kernel.shape[2:], convolution.dilation, convolution.padding, convolution.stride
        )
        means.append(seen.mean(2))
        products.append((seen @ seen.transpose(1, 2)).flatten(1) / seen.shape[2])
    mean = _average(torch.cat(means), mask)
    square = _average(torch.cat(products), mask).view(len(mean), len(mean))
    covariance = square - mean[:, None] * mean
    return (rows @ mean).to(x.dtype), ((rows @ covariance) * rows).sum(1).to(x.dtype)
