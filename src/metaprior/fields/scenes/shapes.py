"""Shapes as signed distances: negative inside, and never more than the distance to the surface.

Distances are those of Quilez ("distance functions"), of solids around the origin, z up, seen from -y.

Axis letters: P points.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["SOLIDS", "Solid"]

Distance = Callable[[Tensor], Tensor]


class Solid(NamedTuple):
    """A shape.

    Args:
        distance: from points `(P, 3)` to signed distances `(P,)`.
        extent: half of its width, depth and height; it lies evenly around the origin.
        radius: of the ball around the origin that holds it.
    """

    distance: Distance
    extent: tuple[float, float, float]
    radius: float


def _length(*parts: Tensor) -> Tensor:
    return torch.stack(parts, dim=-1).norm(dim=-1)


def _box(points: Tensor, extent: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> Tensor:
    beyond = (points - points.new_tensor(centre)).abs() - points.new_tensor(extent)
    return beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)


def _cylinder(points: Tensor, radius: float, half: float, bottom: float = 0.0) -> Tensor:
    across = _length(points[:, 0], points[:, 1]) - radius
    along = (points[:, 2] - bottom).abs() - half
    return _length(across.clamp(min=0), along.clamp(min=0)) + torch.maximum(across, along).clamp(max=0)


def _extruded(flat: Tensor, depth: Tensor, half: float) -> Tensor:
    along = depth.abs() - half
    return _length(flat.clamp(min=0), along.clamp(min=0)) + torch.maximum(flat, along).clamp(max=0)


def _ball(points: Tensor) -> Tensor:
    return points.norm(dim=-1) - 0.7


def _torus(points: Tensor) -> Tensor:
    return _length(_length(points[:, 0], points[:, 1]) - 0.55, points[:, 2]) - 0.22


def _capsule(points: Tensor) -> Tensor:
    return _length(points[:, 0], points[:, 1], points[:, 2] - points[:, 2].clamp(-0.45, 0.45)) - 0.35


def _cone(points: Tensor, radius: float = 0.65, half: float = 0.7) -> Tensor:
    # The outline in the half-plane (distance to the axis, height) is a triangle: its slanted and its flat side.
    across, height = _length(points[:, 0], points[:, 1]), points[:, 2]
    slant = math.hypot(radius, 2 * half)
    side = (across * 2 * half + (height - half) * radius) / slant
    return torch.maximum(side, -half - height)


def _pyramid(points: Tensor, radius: float = 0.65, half: float = 0.6) -> Tensor:
    across = points[:, :2].abs().amax(-1)
    slant = math.hypot(radius, 2 * half)
    return torch.maximum((across * 2 * half + (points[:, 2] - half) * radius) / slant, -half - points[:, 2])


def _octahedron(points: Tensor) -> Tensor:
    return (points.abs().sum(-1) - 0.8) / math.sqrt(3)


def _bowl(points: Tensor) -> Tensor:
    # The lower half of a hollow ball, moved up by a quarter of its height.
    z = points[:, 2] - 0.36
    shell = (_length(points[:, 0], points[:, 1], z) - 0.68).abs() - 0.05
    foot = _cylinder(points, 0.32, 0.05, -0.32)
    return torch.minimum(torch.maximum(shell, z), foot)


def _mug(points: Tensor) -> Tensor:
    moved = points + points.new_tensor([0.17, 0.0, 0.0])
    inside = _cylinder(moved, 0.40, 0.6, 0.12)
    body = torch.maximum(_cylinder(moved, 0.48, 0.58), -inside)
    around = _length(moved[:, 0] - 0.48, moved[:, 2]) - 0.30
    handle = _length(around, moved[:, 1]) - 0.085
    handle = torch.maximum(handle, 0.43 - _length(moved[:, 0], moved[:, 1]))
    return torch.minimum(body, handle)


def _legs(points: Tensor, x: float, y: float, half: float, bottom: float, thickness: float) -> Tensor:
    folded = torch.stack([points[:, 0].abs(), points[:, 1].abs(), points[:, 2]], dim=-1)
    return _box(folded, (thickness, thickness, half), (x - thickness, y - thickness, bottom + half))


def _table(points: Tensor) -> Tensor:
    top = _box(points, (0.75, 0.55, 0.06), (0, 0, 0.42))
    return torch.minimum(top, _legs(points, 0.70, 0.50, 0.42, -0.48, 0.07))


def _chair(points: Tensor) -> Tensor:
    seat = _box(points, (0.42, 0.42, 0.06), (0, 0, -0.05))
    back = _box(points, (0.42, 0.06, 0.42), (0, 0.36, 0.38))
    return torch.minimum(torch.minimum(seat, back), _legs(points, 0.42, 0.42, 0.36, -0.8, 0.065))


def _cross(points: Tensor) -> Tensor:
    upright = _box(points, (0.17, 0.17, 0.75))
    return torch.minimum(upright, _box(points, (0.5, 0.17, 0.17), (0, 0, 0.22)))


def _star(points: Tensor, outer: float = 0.78, inner: float = 0.36, half: float = 0.17) -> Tensor:
    # Ten mirrored sectors, each with one straight edge from a point to a notch.
    x, z = points[:, 0], points[:, 2] + 0.07
    angle = torch.atan2(x, z)
    sector = 2 * math.pi / 5
    folded = ((angle + sector / 2).remainder(sector) - sector / 2).abs()
    across = _length(x, z)
    px, pz = across * folded.sin(), across * folded.cos()
    ex, ez = inner * math.sin(sector / 2), inner * math.cos(sector / 2) - outer
    along = ((px * ex + (pz - outer) * ez) / (ex * ex + ez * ez)).clamp(0, 1)
    near = _length(px - along * ex, pz - outer - along * ez)
    outside = torch.sign(px * -ez + (pz - outer) * ex)
    return _extruded(near * outside, points[:, 1], half)


def _heart(points: Tensor, size: float = 1.22, half: float = 0.2) -> Tensor:
    x, z = points[:, 0].abs() / size, points[:, 2] / size + 0.55
    lobe = _length(x - 0.25, z - 0.75) - math.sqrt(2) / 4
    diagonal = 0.5 * (x + z).clamp(min=0)
    point = torch.minimum(_length(x, z - 1), _length(x - diagonal, z - diagonal)) * torch.sign(x - z)
    return _extruded(torch.where(x + z > 1, lobe, point) * size, points[:, 1], half)


SOLIDS: dict[str, Solid] = {
    "ball": Solid(_ball, (0.7, 0.7, 0.7), 0.7),
    "box": Solid(lambda points: _box(points, (0.55, 0.55, 0.55)), (0.55, 0.55, 0.55), 0.96),
    "torus": Solid(_torus, (0.77, 0.77, 0.22), 0.78),
    "cone": Solid(_cone, (0.65, 0.65, 0.7), 0.96),
    "cylinder": Solid(lambda points: _cylinder(points, 0.5, 0.65), (0.5, 0.5, 0.65), 0.83),
    "pyramid": Solid(_pyramid, (0.65, 0.65, 0.6), 1.10),
    "star": Solid(_star, (0.75, 0.17, 0.71), 0.87),
    "mug": Solid(_mug, (0.65, 0.48, 0.58), 0.87),
    "chair": Solid(_chair, (0.42, 0.42, 0.8), 1.0),
    "table": Solid(_table, (0.75, 0.55, 0.48), 1.05),
    "bowl": Solid(_bowl, (0.73, 0.73, 0.37), 0.82),
    "heart": Solid(_heart, (0.74, 0.2, 0.68), 0.90),
    "capsule": Solid(_capsule, (0.35, 0.35, 0.8), 0.8),
    "octahedron": Solid(_octahedron, (0.8, 0.8, 0.8), 0.8),
    "cross": Solid(_cross, (0.5, 0.17, 0.75), 0.79),
}
"""Every shape by its name in the grammar."""
