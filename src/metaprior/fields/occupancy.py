"""Occupancy: where a field may be anything but empty, so that renderers need not ask it elsewhere.

Axis letters: S scenes, G cells along an axis, P points.
"""

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.fields.field import OCCUPANCY, Field, Weights, of_scene, without_mask

__all__ = ["between", "cell_points", "frozen", "mask_of"]

_FAINT = 0.01
"""Which part of a threshold tells that a neighbour may be above it."""


def cell_points(cells: int, generator: torch.Generator | None = None) -> Tensor:
    """Return a point in each cell of the cube [-1, 1]^3, `(G^3, 3)`: its centre, or one drawn at random.

    Example:
        >>> cell_points(2)[0]
        tensor([-0.5000, -0.5000, -0.5000])
    """
    place = torch.arange(cells)
    corners = torch.stack(torch.meshgrid(place, place, place, indexing="ij"), dim=-1).view(-1, 3)
    inside = 0.5 if generator is None else torch.rand(corners.shape, generator=generator)
    return (corners + inside) * (2 / cells) - 1


def densities(field: Field, weights: Weights, points: Tensor) -> Tensor:
    """Return the density of every scene at the same points `(P, 3)`, without its mask, `(S, P)`."""
    free = without_mask(weights)
    scenes = len(weights["layers.0.weight"])
    with torch.no_grad():
        own = points.to(weights["layers.0.weight"]).expand(scenes, -1, -1)
        return torch.cat([field.density_at(free, part) for part in own.split(2**16, dim=1)], dim=1)


def between(field: Field, weights: Weights, cells: int, threshold: float) -> Tensor:
    """Return the mask `(S, G, G, G)` of cells of which a corner is denser than a threshold: quick, for a step or so.

    Args:
        field: the shape of the field.
        weights: of S scenes.
        cells: G.
        threshold: of the density.
    """
    place = torch.linspace(-1, 1, cells + 1)
    corners = torch.stack(torch.meshgrid(place, place, place, indexing="ij"), dim=-1).view(-1, 3)
    density = densities(field, weights, corners).unflatten(1, (cells + 1,) * 3)
    return functional.max_pool3d(density[:, None], 2, stride=1)[:, 0] > threshold


def mask_of(density: Tensor, threshold: float, margin: int = 1) -> Tensor:
    """Return the mask of densities `(S, G, G, G)`: those above a threshold, and their neighbours.

    Args:
        density: of each cell.
        threshold: of the density.
        margin: how many cells around those above it are taken too.
    """
    above = (density > threshold).float()[:, None]
    return functional.max_pool3d(above, 2 * margin + 1, stride=1, padding=margin)[:, 0] > 0


def frozen(
    field: Field, weights: Weights, cells: int = 64, threshold: float = 0.1, margin: int = 0, points: int = 8
) -> Weights:
    """Return the weights with a mask of where their fields are denser than a threshold, a part of them from then on.

    Every cell is asked at its centre. Where that, or the centre of a neighbour, is denser than a hundredth of the
    threshold, it is asked at more points.

    Args:
        field: the shape of the field.
        weights: of S scenes.
        cells: G.
        threshold: of the density; light loses about a 250th of it in a fiftieth of the cube's side at 0.1.
        margin: how many cells around those above it are taken too.
        points: asked in each cell that may be taken; a third power, or 1 for the centre alone.

    Example:
        >>> field = Field()
        >>> weights = frozen(field, field.initial(1, torch.Generator().manual_seed(0)), cells=8)
        >>> weights["occupancy"].shape
        torch.Size([1, 8, 8, 8])
    """
    check_positive(cells=cells, points=points)
    centres = cell_points(cells).to(weights["layers.0.weight"])
    largest = densities(field, weights, centres)
    finer = max(round(points ** (1 / 3)), 1)
    if finer > 1:
        near = mask_of(largest.unflatten(1, (cells,) * 3), _FAINT * threshold).flatten(1)
        offsets = cell_points(finer).to(centres) / cells
        for scene in near.any(1).nonzero()[:, 0].tolist():
            own = near[scene]
            within = (centres[own][:, None] + offsets).flatten(0, 1)
            found = densities(field, of_scene(weights, scene), within)[0].unflatten(0, (-1, len(offsets)))
            largest[scene, own] = torch.maximum(largest[scene, own], found.amax(1))
    return weights | {OCCUPANCY: mask_of(largest.unflatten(1, (cells,) * 3), threshold, margin)}
