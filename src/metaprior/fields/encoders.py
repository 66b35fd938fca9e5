"""Encoders: from points in the cube [-1, 1]^3 to features, each a pure function of points and of its own weights.

The weights of S scenes have a leading axis S; a leading axis of 1 is one encoder that all scenes share.

Axis letters: S scenes, P points, F features, C channels, N cells along an axis, L levels.
"""

import math
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ENCODERS", "DenseGrid", "Encoder", "Frequency", "HashGrid", "TriPlane"]

_PRIMES = (1, 2_654_435_761, 805_459_861)


class Encoder(Protocol):
    """What a field asks of an encoder."""

    @property
    def features(self) -> int:
        """F."""

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return weights to begin with, of one scene and without the axis S."""

    def __call__(self, weights: dict[str, Tensor], points: Tensor) -> Tensor:
        """Return features `(S, P, F)` of points `(S, P, 3)`."""


@dataclass(frozen=True)
class TriPlane:
    """Three planes of features, along the axes; a point has what lies below it on each.

    Source: Chan et al. 2022 (EG3D, arXiv 2112.07945). Differs: features are put beside each other, not added.

    Args:
        cells: N, points of a plane each way.
        channels: C of a plane.
        octaves: of the sines and cosines of `Frequency` that stand beside them, with the coordinates; None for neither.
            With them, a linear layer can shift a scene, which it cannot with planes.

    Example:
        >>> encoder = TriPlane(cells=8, channels=4)
        >>> weights = {name: value[None] for name, value in encoder.initial(torch.Generator()).items()}
        >>> encoder(weights, torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 12])
    """

    cells: int = 64
    channels: int = 16
    octaves: int | None = None

    @property
    def features(self) -> int:
        """F."""
        return 3 * self.channels + (0 if self.octaves is None else Frequency(self.octaves).features)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return small random planes."""
        return {"planes": 0.1 * torch.randn(3, self.channels, self.cells, self.cells, generator=generator)}

    def __call__(self, weights: dict[str, Tensor], points: Tensor) -> Tensor:
        """Return features `(S, P, F)` of points `(S, P, 3)`."""
        planes = weights["planes"]
        own = points.reshape(len(planes), points.shape[:2].numel() // len(planes), 3)
        places = torch.stack([own[..., [0, 1]], own[..., [0, 2]], own[..., [1, 2]]], dim=1)
        found = functional.grid_sample(
            planes.flatten(0, 1), places.flatten(0, 1)[:, None], padding_mode="border", align_corners=True
        )
        wide = 3 * self.channels
        found = found.reshape(len(planes), wide, own.shape[1]).mT.reshape(*points.shape[:2], wide)
        return found if self.octaves is None else torch.cat([found, Frequency(self.octaves)({}, points)], dim=-1)


@dataclass(frozen=True)
class DenseGrid:
    """Grids of features, from coarse to fine.

    Args:
        cells: N of each grid.
        channels: C of each grid.
    """

    cells: tuple[int, ...] = (16, 32, 64)
    channels: int = 4

    @property
    def features(self) -> int:
        """F."""
        return len(self.cells) * self.channels

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return small random grids."""
        return {
            f"grid_{size}": 0.1 * torch.randn(self.channels, size, size, size, generator=generator)
            for size in self.cells
        }

    def __call__(self, weights: dict[str, Tensor], points: Tensor) -> Tensor:
        """Return features `(S, P, F)` of points `(S, P, 3)`."""
        found = []
        for size in self.cells:
            grid = weights[f"grid_{size}"]
            places = points.reshape(len(grid), 1, 1, -1, 3)
            found.append(functional.grid_sample(grid, places, padding_mode="border", align_corners=True).flatten(2))
        return torch.cat(found, dim=1).mT.reshape(*points.shape[:2], self.features)


@dataclass(frozen=True)
class Frequency:
    """The coordinates, and their sines and cosines at doubling frequencies; it has no weights.

    Source: Mildenhall et al. 2020 (NeRF, arXiv 2003.08934), eq. 4.

    Args:
        octaves: how often the frequency doubles.
    """

    octaves: int = 6

    @property
    def features(self) -> int:
        """F."""
        return 3 + 6 * self.octaves

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def __call__(self, weights: dict[str, Tensor], points: Tensor) -> Tensor:
        """Return features `(S, P, F)` of points `(S, P, 3)`."""
        factors = math.pi / 2 * 2.0 ** torch.arange(self.octaves, dtype=points.dtype, device=points.device)
        angles = (points[..., None] * factors).flatten(-2)
        return torch.cat([points, angles.sin(), angles.cos()], dim=-1)


@dataclass(frozen=True)
class HashGrid:
    """Grids from coarse to fine whose corners share a table of features; collisions are left to the network.

    In plain PyTorch: seven to seventeen times slower than `TriPlane` on a processor.

    Source: Müller et al. 2022 (instant-ngp, arXiv 2201.05989), section 3.

    Args:
        levels: L.
        channels: features of a level.
        log_table: the logarithm to base 2 of the entries of a level's table.
        coarsest: N of the first level.
        finest: N of the last level.
    """

    levels: int = 8
    channels: int = 2
    log_table: int = 15
    coarsest: int = 16
    finest: int = 256

    @property
    def features(self) -> int:
        """F."""
        return self.levels * self.channels

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return small random tables."""
        shape = (self.levels, 2**self.log_table, self.channels)
        return {"table": 0.1 * torch.randn(shape, generator=generator)}

    def __call__(self, weights: dict[str, Tensor], points: Tensor) -> Tensor:
        """Return features `(S, P, F)` of points `(S, P, 3)`."""
        table = weights["table"]
        own = ((points.reshape(len(table), -1, 3) + 1) / 2).clamp(0, 1)
        growth = (self.finest / self.coarsest) ** (1 / max(self.levels - 1, 1))
        found = []
        for level in range(self.levels):
            place = own * int(self.coarsest * growth**level)
            corner = place.detach().floor()
            inside = place - corner
            total = own.new_zeros(*own.shape[:2], self.channels)
            for offset in product((0, 1), repeat=3):
                step = own.new_tensor(offset)
                share = torch.where(step.bool(), inside, 1 - inside).prod(-1, keepdim=True)
                entry = self._hash((corner + step).long())
                total = total + share * table[:, level].gather(1, entry[..., None].expand(-1, -1, self.channels))
            found.append(total)
        return torch.cat(found, dim=-1).reshape(*points.shape[:2], self.features)

    def _hash(self, corners: Tensor) -> Tensor:
        x, y, z = (corners[..., axis] * prime for axis, prime in enumerate(_PRIMES))
        return (x ^ y ^ z) & (2**self.log_table - 1)


ENCODERS: dict[str, type] = {
    "triplane": TriPlane,
    "dense": DenseGrid,
    "frequency": Frequency,
    "hash": HashGrid,
}
"""Every encoder by name."""
