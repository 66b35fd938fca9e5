"""How like two sets of pictures are.

Axis letters: V views, H height, W width.
"""

import torch
from torch import Tensor

from metaprior.errors import missing

__all__ = ["psnr", "ssim"]


def psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB of pictures `(V, H, W, 3)` in [0, 1], `(V,)`.

    Example:
        >>> psnr(torch.full((1, 4, 4, 3), 0.1), torch.zeros(1, 4, 4, 3))
        tensor([20.])
    """
    return -10 * (pictures - truth).square().flatten(1).mean(1).clamp(min=1e-10).log10()


def ssim(pictures: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of pictures `(V, H, W, 3)` in [0, 1], `(V,)`; 1 for equal ones.

    Source: Wang et al. 2004, with its Gaussian weights, by scikit-image.

    Raises:
        MetapriorError: if scikit-image is not installed.
    """
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
