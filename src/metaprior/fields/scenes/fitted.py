"""Scenes that are fitted fields, such as `metaprior fit` writes: what one prior is taught by many of.

Axis letters: P points.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.fields.cameras import Cameras
from metaprior.fields.field import STEP, Field, Weights
from metaprior.fields.network import load_field
from metaprior.fields.render import render_views
from metaprior.fields.scenes.meshes import prompt_of
from metaprior.fields.views import Views

__all__ = ["FieldScene"]

_SOLID = 0.5
"""The opacity from which a ray is said to meet something."""
_TRIED, _ELSEWHERE = 20, 0.02
"""How many points are looked at for each that is taken, and how likely one is where there is nothing."""


class FieldScene:
    """A radiance field as a scene that can be looked at from any side.

    Args:
        field: its shape.
        weights: of the one scene, with its mask if it has one.
        prompt: what it is, in words.

    Example:
        >>> field = Field()
        >>> scene = FieldScene(field, field.initial(1, torch.Generator().manual_seed(0)), "a cloud")
        >>> scene.views(Cameras.on_sphere(2, size=8)).colour.shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(self, field: Field, weights: Weights, prompt: str = ""):
        self.field = field
        self.weights = weights
        self.prompt = prompt

    @staticmethod
    def read(path: str | Path) -> "FieldScene":
        """Read a field that `save_field` wrote, or the folder of a run of `metaprior fit`.

        Raises:
            CheckpointError: if the file is missing, damaged, or holds no field.
        """
        path = Path(path)
        network, facts = load_field(path)
        weights = {name: value.detach() for name, value in network.weights.items()}
        return FieldScene(network.field, weights, str(facts.get("prompt") or prompt_of(path.resolve().stem)))

    def views(self, cameras: Cameras, supersample: int = 2) -> Views:
        """Return what cameras see; a pixel is the mean of `supersample` squared rays, its depth that of its middle."""
        large = cameras.enlarged(supersample)
        fine, middle = (render_views(self.field, self.weights, own) for own in (large, cameras))
        seen = Views(large, fine.colour, fine.opacity, prompt=self.prompt).resized(cameras.width)
        return replace(seen, depth=middle.depth.where(middle.opacity > _SOLID, 0.0))

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return steps at random points, most of them where there is something, and what each sees.

        Args:
            count: P.
            generator: the only source of randomness.

        Returns:
            Points and steps, `(P, 3)` each, the latter `field.STEP` long and into what is denser; and colour in front
            of black, and opacity, of each, `(P, 4)`, where an optical depth of d is an opacity of d / (1 + d), as
            `point_losses` has it.
        """
        tried = torch.rand(1, _TRIED * count, 3, generator=generator) * 2 - 1
        with torch.no_grad():
            opacity = 1 - 1 / (1 + STEP * self.field.density_at(self.weights, tried)[0])
            chosen = torch.multinomial(opacity + _ELSEWHERE, count, generator=generator)
            points, opacity = tried[:, chosen], opacity[chosen][:, None]
            directions = functional.normalize(torch.randn(1, count, 3, generator=generator), dim=-1)
            before, after = (self.field.density_at(self.weights, points + sign * STEP * directions) for sign in (-1, 1))
            directions = directions * torch.where(before > after, -1.0, 1.0)[..., None]
            _, colour = self.field(self.weights, points, directions)
        return points[0], STEP * directions[0], torch.cat([opacity * colour[0], opacity], dim=-1)
