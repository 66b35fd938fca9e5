"""Cameras: where they stand, how they look, and the rays of their pixels.

Axes are those of OpenGL and Blender: a camera looks along its -z, with x to the right and y up; in the world z is up.
Rays pass through the centres of pixels.

Axis letters: V views, H height, W width, R rays.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import MetapriorError, ShapeError, UnknownNameError, check_positive

__all__ = ["Cameras", "Convention", "Rays", "converted", "look_at"]

Convention = Literal["opengl", "opencv"]
_CONVENTIONS = ("opengl", "opencv")
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


class Rays(NamedTuple):
    """Half-lines, of which the directions have length one.

    Args:
        origins: `(..., R, 3)`.
        directions: `(..., R, 3)`.
    """

    origins: Tensor
    directions: Tensor

    def take(self, chosen: Tensor | slice) -> "Rays":
        """Return some of the rays along the axis R."""
        return Rays(self.origins[..., chosen, :], self.directions[..., chosen, :])

    def to(self, like: Tensor) -> "Rays":
        """Return the rays on the device of a tensor, and in its precision."""
        return Rays(self.origins.to(like), self.directions.to(like))


@dataclass(frozen=True, eq=False)
class Cameras:
    """V pinhole cameras with pictures of one size.

    Args:
        poses: `(V, 4, 4)`, from camera to world.
        focal: `(V, 2)`, focal lengths along x and y in pixels.
        centre: `(V, 2)`, where the optical axis meets the picture, in pixels from its upper left corner.
        width: W.
        height: H.

    Raises:
        ShapeError: if the parts disagree about V.

    Example:
        >>> cameras = Cameras.on_sphere(8, size=64)
        >>> cameras.rays().directions.shape
        torch.Size([8, 4096, 3])
    """

    poses: Tensor
    focal: Tensor
    centre: Tensor
    width: int
    height: int

    def __post_init__(self) -> None:
        views = len(self.poses)
        for name, shape in (("poses", (views, 4, 4)), ("focal", (views, 2)), ("centre", (views, 2))):
            if getattr(self, name).shape != shape:
                raise ShapeError(f"{name}: expected shape {shape}, got {tuple(getattr(self, name).shape)}")

    @staticmethod
    def looking(eyes: Tensor, size: int | tuple[int, int] = 64, field_of_view: float = 40.0) -> "Cameras":
        """Return cameras at `eyes` `(V, 3)` that look at the origin.

        Args:
            eyes: where they stand.
            size: of the pictures; or width and height.
            field_of_view: across the width, in degrees.

        Example:
            >>> Cameras.looking(torch.tensor([[0.0, -3.0, 0.0]])).rays().directions.mean(1).round(decimals=1)
            tensor([[0., 1., 0.]])
        """
        width, height = (size, size) if isinstance(size, int) else size
        check_positive(size=min(width, height), field_of_view=field_of_view)
        if field_of_view >= 180:
            raise MetapriorError(f"field_of_view: expected less than 180 degrees, got {field_of_view}")
        focal = 0.5 * width / math.tan(math.radians(field_of_view) / 2)
        centre = torch.tensor([width / 2, height / 2]).expand(len(eyes), 2)
        return Cameras(look_at(eyes), torch.full((len(eyes), 2), focal), centre, width, height)

    @staticmethod
    def on_sphere(
        views: int,
        size: int | tuple[int, int] = 64,
        radius: float = 3.0,
        field_of_view: float = 40.0,
        elevations: tuple[float, float] = (-10.0, 60.0),
        turn: float = 0.0,
    ) -> "Cameras":
        """Return cameras spread evenly over a zone of a sphere around the origin, at which they look.

        Args:
            views: V.
            size: of the pictures; or width and height.
            radius: of the sphere.
            field_of_view: across the width, in degrees.
            elevations: the least and most, in degrees above the horizon.
            turn: degrees by which all are turned around the vertical; another turn gives other views.
        """
        check_positive(views=views, radius=radius)
        low, high = (math.sin(math.radians(angle)) for angle in elevations)
        place = (torch.arange(views) + 0.5) / views
        return Cameras.looking(
            radius
            * _on_unit_sphere(torch.arange(views) * _GOLDEN_ANGLE + math.radians(turn), low + (high - low) * place),
            size,
            field_of_view,
        )

    @staticmethod
    def turntable(
        frames: int,
        size: int | tuple[int, int] = 64,
        radius: float = 3.0,
        field_of_view: float = 40.0,
        elevation: float = 25.0,
        azimuth: float = -60.0,
    ) -> "Cameras":
        """Return cameras once around the origin at one height.

        Args:
            frames: V.
            size: of the pictures; or width and height.
            radius: distance from the origin.
            field_of_view: across the width, in degrees.
            elevation: degrees above the horizon.
            azimuth: of the first camera, in degrees from the x axis; -90 is the front.

        Example:
            >>> Cameras.turntable(4, elevation=0, azimuth=-90, radius=2).poses[:, :3, 3].round().abs()
            tensor([[0., 2., 0.],
                    [2., 0., 0.],
                    [0., 2., 0.],
                    [2., 0., 0.]])
        """
        check_positive(frames=frames, radius=radius)
        around = torch.arange(frames) / frames * 2 * math.pi + math.radians(azimuth)
        height = torch.full((frames,), math.sin(math.radians(elevation)))
        return Cameras.looking(radius * _on_unit_sphere(around, height), size, field_of_view)

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, views: slice | Sequence[int] | Tensor) -> "Cameras":
        return replace(self, poses=self.poses[views], focal=self.focal[views], centre=self.centre[views])

    def rays(self) -> Rays:
        """Return the rays through the centres of all pixels, row by row, `(V, H * W, 3)`."""
        across = torch.arange(self.width, device=self.poses.device) + 0.5
        down = torch.arange(self.height, device=self.poses.device) + 0.5
        x = (across - self.centre[:, :1]) / self.focal[:, :1]
        y = -(down - self.centre[:, 1:]) / self.focal[:, 1:]
        x = x[:, None, :].expand(-1, self.height, -1)
        y = y[:, :, None].expand(-1, -1, self.width)
        seen = functional.normalize(torch.stack([x, y, -torch.ones_like(x)], dim=-1).flatten(1, 2), dim=-1)
        directions = seen @ self.poses[:, :3, :3].mT
        return Rays(self.poses[:, None, :3, 3].expand_as(directions), directions)

    def enlarged(self, factor: float) -> "Cameras":
        """Return the same cameras with pictures of `factor` times as many pixels each way."""
        width, height = round(self.width * factor), round(self.height * factor)
        ratio = torch.tensor([width / self.width, height / self.height], device=self.focal.device)
        return replace(self, focal=self.focal * ratio, centre=self.centre * ratio, width=width, height=height)

    def moved(self, centre: Tensor, scale: float) -> "Cameras":
        """Return the cameras of a world that was shifted by `-centre` `(3,)` and then scaled."""
        poses = self.poses.clone()
        poses[:, :3, 3] = (poses[:, :3, 3] - centre) * scale
        return replace(self, poses=poses)

    def framing(self) -> tuple[Tensor, float]:
        """Return the centre and scale that bring what all cameras look at into the unit ball.

        The centre is the point nearest to all optical axes; the unit ball then fills the narrower side of the pictures.
        """
        eyes, axes = self.poses[:, :3, 3].double(), -self.poses[:, :3, 2].double()
        across = torch.eye(3, dtype=torch.float64) - axes[:, :, None] * axes[:, None, :]
        # A little of the mean eye keeps the system regular where all axes are parallel.
        regular = 1e-6 * torch.eye(3, dtype=torch.float64)
        right = (across @ eyes[:, :, None]).sum(0) + regular @ eyes.mean(0)[:, None]
        centre = torch.linalg.solve(across.sum(0) + regular, right)[:, 0]
        half = torch.tensor([self.width, self.height]) / 2 / self.focal
        sine = (half.min(1).values / (1 + half.min(1).values ** 2).sqrt()).double()
        radius = ((eyes - centre).norm(dim=1) * sine).median()
        return centre.float(), float(1 / radius)


def look_at(eyes: Tensor, target: Tensor | None = None, up: Sequence[float] = (0.0, 0.0, 1.0)) -> Tensor:
    """Return poses `(V, 4, 4)` of cameras at `eyes` `(V, 3)` that look at `target` `(3,)`, the origin unless given."""
    back = functional.normalize(eyes if target is None else eyes - target, dim=-1)
    vertical = torch.tensor(up, dtype=eyes.dtype, device=eyes.device).expand_as(back)
    # Straight from above or below, "up" says nothing: the far side of the picture is then the back of the world.
    steep = torch.linalg.cross(vertical, back).norm(dim=-1, keepdim=True) < 1e-4
    vertical = torch.where(steep, vertical.roll(-1, dims=-1), vertical)
    right = functional.normalize(torch.linalg.cross(vertical, back), dim=-1)
    poses = torch.eye(4, dtype=eyes.dtype, device=eyes.device).repeat(len(eyes), 1, 1)
    poses[:, :3] = torch.stack([right, torch.linalg.cross(back, right), back, eyes], dim=-1)
    return poses


def converted(poses: Tensor, convention: Convention) -> Tensor:
    """Return poses `(V, 4, 4)` of one convention in the other; OpenCV and COLMAP have y down and look along +z.

    Raises:
        UnknownNameError: for another convention.

    Example:
        >>> converted(torch.eye(4)[None], "opencv")[0].diag()
        tensor([ 1., -1., -1.,  1.])
    """
    if convention not in _CONVENTIONS:
        raise UnknownNameError("convention", convention, _CONVENTIONS)
    flip = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=poses.dtype, device=poses.device)
    return poses if convention == "opengl" else poses * flip


def _on_unit_sphere(azimuth: Tensor, height: Tensor) -> Tensor:
    level = (1 - height**2).sqrt()
    return torch.stack([level * azimuth.cos(), level * azimuth.sin(), height], dim=-1)
