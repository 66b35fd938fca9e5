"""One vector of a set of any size: the mean of its members, and how they differ.

Axis letters: N sets, A members, padding among them, H features of a member.
"""

from torch import Tensor, cat

__all__ = ["mean_and_deviation"]


def mean_and_deviation(state: Tensor, mask: Tensor) -> Tensor:
    """Return mean and standard deviation over members, `(N, 2 H)`, of states `(N, A, H)`; zero where there is none.

    Example:
        >>> import torch
        >>> state, mask = torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])
        >>> mean_and_deviation(state, mask).round(decimals=4)
        tensor([[2., 1.]])
    """
    real = mask[..., None].to(state.dtype)
    count = real.sum(1).clamp(min=1)
    mean = (state * real).sum(1) / count
    variance = ((state - mean[:, None]).square() * real).sum(1) / count
    # The slope of a square root has no bound where members do not differ.
    return cat([mean, (variance + 1e-12).sqrt() - 1e-6], dim=-1)
