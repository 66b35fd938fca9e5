"""What networks for images ask of their inputs."""

from torch import Tensor

from metaprior.errors import ShapeError

__all__ = ["check_images"]


def check_images(x: Tensor, channels: int, size: int | None = None) -> None:
    """Raise ShapeError unless inputs are images `(N, channels, size, size)`; of any height and width without a size.

    Example:
        >>> import torch
        >>> check_images(torch.zeros(2, 1, 20, 20), channels=1, size=28)
        Traceback (most recent call last):
        metaprior.errors.ShapeError: x: expected images of the shape (1, 28, 28), got (1, 20, 20)
    """
    got = tuple(x.shape[1:])
    if size is not None and got != (channels, size, size):
        raise ShapeError(f"x: expected images of the shape {(channels, size, size)}, got {got}")
    if len(got) != 3 or got[0] != channels:
        raise ShapeError(f"x: expected images of the shape ({channels}, height, width), got {got}")
