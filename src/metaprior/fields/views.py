"""Pictures with the cameras that took them: what fields are fitted to and scored on.

Axis letters: V views, H height, W width, R rays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError
from metaprior.fields.cameras import Cameras, Rays

__all__ = ["Views"]


@dataclass(frozen=True, eq=False)
class Views:
    """V pictures of one scene.

    Args:
        cameras: that took them.
        colour: `(V, H, W, 3)` in [0, 1], in front of black.
        opacity: `(V, H, W)` in [0, 1].
        depth: `(V, H, W)`, along the ray through the centre of the pixel, 0 where there is nothing; None if not known.
        normals: `(V, H, W, 3)`, out of the surface, 0 where there is none; None if not known.
        labels: `(V, H, W)`, int64, 0 for the background; None if not known.
        prompt: what the scene is, in words; empty if not known.

    Raises:
        ShapeError: if pictures and cameras disagree.
    """

    cameras: Cameras
    colour: Tensor
    opacity: Tensor
    depth: Tensor | None = None
    normals: Tensor | None = None
    labels: Tensor | None = None
    prompt: str = ""

    def __post_init__(self) -> None:
        size = (len(self.cameras), self.cameras.height, self.cameras.width)
        for name, more in (("colour", (3,)), ("opacity", ()), ("depth", ()), ("normals", (3,)), ("labels", ())):
            value = getattr(self, name)
            if value is not None and value.shape != (*size, *more):
                raise ShapeError(
                    f"{name}: expected shape {(*size, *more)} as the cameras say, got {tuple(value.shape)}"
                )

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, views: slice | Sequence[int] | Tensor) -> "Views":
        depth, normals, labels = (
            None if part is None else part[views] for part in (self.depth, self.normals, self.labels)
        )
        taken = (self.cameras[views], self.colour[views], self.opacity[views])
        return Views(*taken, depth, normals, labels, self.prompt)

    def over(self, background: float = 1.0) -> Tensor:
        """Return the pictures `(V, H, W, 3)` in front of a grey background, white unless told otherwise."""
        return self.colour + (1 - self.opacity[..., None]) * background

    def rays(self) -> tuple[Rays, Tensor]:
        """Return the rays of all pixels, `(V * H * W, 3)`, and their colours and opacities `(V * H * W, 4)`."""
        rays = self.cameras.rays()
        seen = torch.cat([self.colour, self.opacity[..., None]], dim=-1)
        return Rays(rays.origins.flatten(0, 1), rays.directions.flatten(0, 1)), seen.flatten(0, 2)

    def resized(self, width: int) -> "Views":
        """Return pictures of another width, pixels the mean of what they cover, without depth, normals and labels."""
        if width == self.cameras.width:
            return self
        cameras = self.cameras.enlarged(width / self.cameras.width)
        seen = torch.cat([self.colour, self.opacity[..., None]], dim=-1).permute(0, 3, 1, 2)
        seen = functional.interpolate(seen, (cameras.height, cameras.width), mode="area").permute(0, 2, 3, 1)
        return Views(cameras, seen[..., :3], seen[..., 3], prompt=self.prompt)

    def squared(self, size: int) -> "Views":
        """Return the square in the middle, so many pixels each way; depth, normals and labels are dropped."""
        height, width = self.opacity.shape[1:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        down, across = slice(top, top + side), slice(left, left + side)
        centre = self.cameras.centre - self.cameras.centre.new_tensor([left, top])
        cameras = replace(self.cameras, centre=centre, width=side, height=side)
        return Views(cameras, self.colour[:, down, across], self.opacity[:, down, across], prompt=self.prompt).resized(
            size
        )

    def split(self, every: int = 5) -> tuple["Views", "Views"]:
        """Return the views in two parts, of which the second has each `every`-th and is held out."""
        place = torch.arange(len(self))
        return self[place[place % every != every - 1]], self[place[place % every == every - 1]]
