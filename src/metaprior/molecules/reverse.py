"""From noise to molecules: the diffusion backwards, with any network that tells the noise.

Axis letters: N molecules, A atoms, K numbers of an atom's type.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from metaprior.molecules.noise import Schedule, centred, draw_noise

__all__ = ["Denoiser", "reverse"]

Denoiser = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From positions `(N, A, 3)`, types `(N, A, K)`, mask `(N, A)` and levels from 0 to 1 `(N,)` to the noise in both."""


@torch.no_grad()
def reverse(
    denoiser: Denoiser,
    schedule: Schedule,
    mask: Tensor,
    types: int,
    generator: torch.Generator,
    steps: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Draw positions `(N, A, 3)` and types `(N, A, K)` of molecules.

    Args:
        denoiser: what tells the noise.
        schedule: of its levels.
        mask: `(N, A)`, where atoms should be.
        types: K.
        generator: the only source of randomness, on the CPU.
        steps: from pure noise to none; None for one from each level to the next.
        dtype: of the result.

    Source: Hoogeboom et al. 2022 (arXiv 2203.17003), algorithm 2. Differs: what is left of the noise at the last level
    is taken away, and no noise is added.

    Example:
        >>> from metaprior.molecules.noise import polynomial
        >>> mask = torch.ones(2, 3, dtype=torch.bool)
        >>> all_is_noise = lambda x, h, mask, time: (x, h)
        >>> positions, types = reverse(all_is_noise, polynomial(20), mask, 4, torch.Generator().manual_seed(0))
        >>> positions.shape, types.shape
        (torch.Size([2, 3, 3]), torch.Size([2, 3, 4]))
    """
    x, h = draw_noise(mask, types, generator, dtype)
    last = schedule.levels
    levels = torch.linspace(last, 0, min(steps or last, last) + 1).round().long().tolist()
    for late, early in pairwise(levels):
        kept, taken, renewed = schedule.earlier(late, early)
        moved, changed = denoiser(x, h, mask, torch.full((len(mask),), late / last).to(x))
        new = draw_noise(mask, types, generator, dtype)
        x, h = kept * x - taken * moved + renewed * new[0], kept * h - taken * changed + renewed * new[1]
    moved, changed = denoiser(x, h, mask, torch.zeros(len(mask)).to(x))
    least = torch.zeros((), dtype=torch.int64)
    signal, noise = float(schedule.signal(least)), float(schedule.noise(least))
    return centred((x - noise * moved) / signal, mask), (h - noise * changed) / signal
