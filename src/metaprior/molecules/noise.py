"""How noise hides molecules, level by level: a schedule, and noise that moves no molecule as a whole.

Axis letters: N molecules, A atoms, K numbers of an atom's type, T noise levels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import check_positive

__all__ = ["Schedule", "centred", "draw_noise", "polynomial"]

_LEAST_RATIO = 1e-3
"""Of the squared signals of two neighbouring levels, so that no step of sampling divides by next to nothing."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """How much of the signal and how much noise there is at each of T + 1 levels: `signal² + noise² = 1`.

    Args:
        log_ratio: `(T + 1,)`, of squared noise to squared signal, ascending; float64.

    Example:
        >>> schedule, ends = polynomial(levels=10), torch.tensor([0, 10])
        >>> schedule.signal(ends).round(decimals=1).tolist(), schedule.noise(ends).round(decimals=1).tolist()
        ([1.0, 0.0], [0.0, 1.0])
    """

    log_ratio: Tensor

    @property
    def levels(self) -> int:
        """T."""
        return len(self.log_ratio) - 1

    def signal(self, level: Tensor) -> Tensor:
        """Return what the signal is multiplied by at levels of any shape."""
        return (-self.log_ratio[level]).sigmoid().sqrt()

    def noise(self, level: Tensor) -> Tensor:
        """Return the standard deviation of the noise at levels of any shape."""
        return self.log_ratio[level].sigmoid().sqrt()

    def earlier(self, late: int, early: int) -> tuple[float, float, float]:
        """Return how a noised molecule is taken back to an earlier level, given the noise in it.

        Returns:
            Numbers k, c and s, so that `k * noised - c * noise_in_it + s * new_noise` is a draw of the earlier level
            given the late one.

        Source: Kingma et al. 2021 (arXiv 2107.00630), eq. 32 and 33, of variational diffusion.
        """
        now, before = self.log_ratio[late], self.log_ratio[early]
        # In logarithms, since the levels next to no noise differ in the last digits.
        left = -torch.expm1(functional.softplus(before) - functional.softplus(now))
        kept = (0.5 * (functional.logsigmoid(-now) - functional.logsigmoid(-before))).exp()
        noise, less = now.sigmoid().sqrt(), before.sigmoid().sqrt()
        return float(1 / kept), float(left / (kept * noise)), float(left.sqrt() * less / noise)


def polynomial(levels: int = 1000, precision: float = 1e-5) -> Schedule:
    """Return the schedule whose signal falls as 1 - (t / T)², and never to less than a thirtieth at once.

    Args:
        levels: T.
        precision: how far the squared signal stays from 1 and from 0.

    Source: Hoogeboom et al. 2022 (arXiv 2203.17003), appendix B.
    """
    check_positive(levels=levels, precision=precision)
    time = torch.arange(levels + 1, dtype=torch.float64) / levels
    squared = (1 - time.square()).square()
    ratios = (squared[1:] / squared[:-1]).clamp(min=_LEAST_RATIO)
    squared = torch.cat([squared[:1], ratios]).cumprod(0) * (1 - 2 * precision) + precision
    return Schedule((1 - squared).log() - squared.log())


def centred(positions: Tensor, mask: Tensor) -> Tensor:
    """Return positions `(N, A, 3)` about the centre of each molecule; padding is zero.

    Example:
        >>> centred(torch.tensor([[[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]]), torch.tensor([[True, True]]))[0, :, 0]
        tensor([-1.,  1.])
    """
    real = mask[..., None].to(positions.dtype)
    kept = positions * real
    return (kept - kept.sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)) * real


def draw_noise(
    mask: Tensor, types: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Return normal noise for positions `(N, A, 3)`, with its centre at zero, and for types `(N, A, K)`.

    Padding has none. The generator is one of the CPU, so that noise does not depend on the device.
    """
    drawn = torch.randn(*mask.shape, 3 + types, generator=generator, dtype=dtype).to(mask.device) * mask[..., None]
    return centred(drawn[..., :3], mask), drawn[..., 3:]
