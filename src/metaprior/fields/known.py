"""What is known of one scene that is a task: its rays, what they see, and which of its views are held out.

Axis letters: V views, P pixels of a view.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from metaprior.fields.cameras import Cameras
from metaprior.fields.scenes.posed import PosedScene
from metaprior.fields.views import Views

__all__ = ["Drawn", "Known", "Part", "of_posed", "of_rendered", "pixels_of", "rays_of"]

Part = Literal["train", "test"]
_FIFTH = 5


class Drawn(NamedTuple):
    """R rays of one scene.

    Args:
        rays: origins and directions `(R, 6)`.
        seen: `(R, 4)`, colour in front of black, and opacity.
        depth: `(R,)`, the distance of what is seen, 0 where nothing is; None if not known.
    """

    rays: Tensor
    seen: Tensor
    depth: Tensor | None


class Known(NamedTuple):
    """The views of one scene.

    Args:
        cameras: V.
        rays: origins and directions `(V, P, 6)`.
        seen: `(V, P, 4)`, colour in front of black, and opacity, uint8.
        held_out: `(V,)`, whether a view is kept for validation and tests.
        depth: `(V, P)`, the distance of what is seen, 0 where nothing is; None if not known.
    """

    cameras: Cameras
    rays: Tensor
    seen: Tensor
    held_out: Tensor
    depth: Tensor | None = None

    def drawn(self, part: Part, rays: int, generator: torch.Generator) -> Drawn:
        """Return so many rays, drawn from all views of a part."""
        views = (self.held_out == (part == "test")).nonzero()[:, 0]
        view = views[torch.randint(len(views), (rays,), generator=generator)]
        pixel = torch.randint(self.rays.shape[1], (rays,), generator=generator)
        depth = None if self.depth is None else self.depth[view, pixel].float()
        return Drawn(self.rays[view, pixel], self.seen[view, pixel].float() / 255, depth)

    def pictures(self, views: int, prompt: str) -> Views:
        """Return what some of the held-out cameras see."""
        chosen = self.held_out.nonzero()[:views, 0]
        cameras = self.cameras[chosen]
        seen = self.seen[chosen].unflatten(1, (cameras.height, cameras.width)).float() / 255
        return Views(cameras, seen[..., :3], seen[..., 3], prompt=prompt)


def of_rendered(cameras: Cameras, rays: Tensor, seen: Tensor, depth: Tensor | None = None) -> Known:
    """Return what is known of a scene that these cameras see as `(V, P, 4)`; each fifth view is held out."""
    return Known(cameras, rays, seen, torch.arange(len(cameras)) % _FIFTH == _FIFTH - 1, depth)


def of_posed(scene: PosedScene) -> Known:
    """Return what is known of posed pictures; those that they hold out are held out."""
    parts = (scene.fit, scene.held_out)
    poses, focal, centre = (
        torch.cat([getattr(views.cameras, name) for views in parts]) for name in ("poses", "focal", "centre")
    )
    cameras = Cameras(poses, focal, centre, scene.fit.cameras.width, scene.fit.cameras.height)
    held_out = torch.arange(len(cameras)) >= len(scene.fit)
    return Known(cameras, rays_of(cameras), torch.cat([pixels_of(views) for views in parts]), held_out)


def rays_of(cameras: Cameras) -> Tensor:
    """Return origins and directions `(V, P, 6)` of the rays of all pixels."""
    return torch.cat(list(cameras.rays()), dim=-1)


def pixels_of(views: Views) -> Tensor:
    """Return colour and opacity `(V, P, 4)` of pictures, uint8."""
    seen = torch.cat([views.colour, views.opacity[..., None]], dim=-1)
    return (seen * 255).round().to(torch.uint8).flatten(1, 2)
