"""How like two sets of pictures are.

Axis letters: V views, H height, W width.
"""

import torch
from torch import Tensor

from metaprior.errors import ShapeError, missing

__all__ = ["LEAST_SIZE", "collapse", "large_enough", "psnr", "ssim"]

LEAST_SIZE = 11
"""Pixels each way within which structure is compared: no picture is to be smaller."""
_NOTHING, _FULL, _ALIKE = 0.1, 0.9, 0.05


def psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of pictures `(V, H, W, 3)` in [0, 1], `(V,)`.

    Example:
        >>> psnr(torch.full((1, 4, 4, 3), 0.1), torch.zeros(1, 4, 4, 3))
        tensor([20.])
    """
    return -10 * (pictures - truth).square().flatten(1).mean(1).clamp(min=1e-10).log10()


def large_enough(**pictures: Tensor) -> None:
    """Raise ShapeError, naming the argument, if pictures `(V, H, W, 3)` are too small for `ssim`.

    Example:
        >>> large_enough(views=torch.zeros(2, 11, 11, 3))
    """
    for name, own in pictures.items():
        if min(own.shape[1:3]) < LEAST_SIZE:
            height, width = own.shape[1:3]
            raise ShapeError(
                f"{name}: expected pictures of at least {LEAST_SIZE} x {LEAST_SIZE} pixels, got {width} x {height}"
            )


def ssim(pictures: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of pictures `(V, H, W, 3)` in [0, 1], `(V,)`; 1 for equal ones.

    Source: Wang et al. 2004, with its Gaussian weights, by scikit-image.

    Raises:
        ShapeError: if pictures are smaller than the 11 x 11 pixels within which structure is compared.
        MetapriorError: if scikit-image is not installed.
    """
    large_enough(truth=truth)
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise missing("scikit-image", "fields", "the structural similarity") from error
    values = [
        structural_similarity(
            one.numpy(),
            other.numpy(),
            channel_axis=-1,
            data_range=1.0,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        for one, other in zip(pictures.detach().cpu(), truth.cpu(), strict=True)
    ]
    return torch.tensor(values)


def collapse(seen: Tensor, truth: Tensor) -> str | None:
    """Return in words how fields have collapsed, if they have: they show nothing, or fog, or all show the same.

    Args:
        seen: `(S, H, W, 4)`, colour in front of black, and opacity, of one view of each of S scenes.
        truth: what was to be seen.

    Example:
        >>> truth = (torch.rand(4, 8, 8, 4, generator=torch.Generator().manual_seed(0)) > 0.7).float()
        >>> collapse(torch.zeros(4, 8, 8, 4), truth)
        '4 of 4 fields show next to nothing'
        >>> collapse(truth, truth) is None
        True
    """
    shows, wanted = (part[..., 3].flatten(1).mean(1) for part in (seen, truth))
    for what, wrong in (
        ("show next to nothing", shows < _NOTHING * wanted),
        ("fill the picture with fog", shows > 1 - (1 - _FULL) * (1 - wanted)),
    ):
        if wrong.any():
            return f"{int(wrong.sum())} of {len(seen)} fields {what}"
    if len(seen) > 1 and seen.var(0).sum() < _ALIKE * truth.var(0).sum():
        return f"all {len(seen)} fields look alike, whatever the prompt"
    return None
