"""Scenes that are known exactly: colour, depth, normals and labels of a described scene, by sphere tracing.

Axis letters: R rays, P points, O things of a scene, V views, H height, W width.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.fields.cameras import Cameras, Rays
from metaprior.fields.field import STEP
from metaprior.fields.render import crossing
from metaprior.fields.scenes.grammar import COLOURS, Description, Thing, parse
from metaprior.fields.scenes.lighting import LIGHT, shade
from metaprior.fields.scenes.shapes import SOLIDS
from metaprior.fields.views import Views

__all__ = ["AnalyticScene", "Traced", "picture"]

_STEPS = 160
_NEAR_ENOUGH = 2e-4
_GAP = 0.12
_HOVER = 0.35
_FIT = 0.98
_TRIED, _NEARBY, _ELSEWHERE = 6, 0.06, 0.03
"""Points drawn for each that is kept, how near to a surface they are wanted, and the share of those anywhere."""
_SOFT = 0.005
"""The distance over which a surface fades; half of it inside, a step is half opaque: rays that graze a surface gather
what fades outside, and would show things larger than they are."""


class Traced(NamedTuple):
    """What rays meet first.

    Args:
        colour: `(R, 3)` in [0, 1]; 0 where nothing is met.
        hit: `(R,)`, whether anything is.
        depth: `(R,)`, distance along the ray; 0 where nothing is met.
        normals: `(R, 3)`, out of the surface, of length one; 0 where nothing is met.
        labels: `(R,)`, 1 for the first thing of the prompt, 2 for the second, 0 where nothing is met.
    """

    colour: Tensor
    hit: Tensor
    depth: Tensor
    normals: Tensor
    labels: Tensor


class AnalyticScene:
    """What a prompt describes, in the unit ball.

    Light comes from a fixed direction. Striped and checkered things alternate with white (white ones with black); what
    is glossy or iridescent looks different from every side.

    Args:
        prompt: as `grammar.parse` reads it; or a description.

    Raises:
        DataError: if the prompt cannot be read.

    Example:
        >>> scene = AnalyticScene("a red ball on a blue box")
        >>> views = scene.views(Cameras.on_sphere(2, size=16), supersample=1)
        >>> views.labels.unique()
        tensor([0, 1, 2])
    """

    def __init__(self, prompt: str | Description):
        self.description = parse(prompt) if isinstance(prompt, str) else prompt
        self.places, self.scale = _placed(self.description)

    @property
    def prompt(self) -> str:
        """The scene in words, always the same for the same scene."""
        return str(self.description)

    def distances(self, points: Tensor) -> Tensor:
        """Return the signed distance of points `(P, 3)` to each thing, `(P, O)`."""
        own = [
            SOLIDS[thing.shape].distance((points - place.to(points)) / self.scale) * self.scale
            for thing, place in zip(self.description.things, self.places, strict=True)
        ]
        return torch.stack(own, dim=-1)

    def trace(self, rays: Rays) -> Traced:
        """Return what rays `(R, 3)` meet first."""
        near, way = crossing(rays, 1)
        distance = near.clone()
        active = (way > 0).nonzero()[:, 0]
        hit = torch.zeros_like(near, dtype=torch.bool)
        for _ in range(_STEPS):
            if not len(active):
                break
            reached = distance[active]
            left = self.distances(rays.origins[active] + reached[:, None] * rays.directions[active]).amin(-1)
            close = left < _NEAR_ENOUGH
            hit[active[close]] = True
            distance[active] = reached + left
            inside = distance[active] < near[active] + way[active]
            active = active[~close & inside]
        met = hit.nonzero()[:, 0]
        points = rays.origins[met] + distance[met][:, None] * rays.directions[met]
        thing = self.distances(points).argmin(-1)
        normal = self.normals(points)
        seen = self.radiance(points, normal, rays.directions[met], thing)
        hit_depth = torch.where(hit, distance, 0)
        colour, normals = rays.origins.new_zeros(len(near), 3), rays.origins.new_zeros(len(near), 3)
        labels = torch.zeros_like(hit, dtype=torch.int64)
        colour[met], normals[met], labels[met] = seen, normal, thing + 1
        return Traced(colour, hit, hit_depth, normals, labels)

    def sample(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return steps at random points, most of them near surfaces, and what each sees.

        A step is as long as the way to the nearest surface, so that thin fog is told from nothing.

        Args:
            count: P.
            generator: the only source of randomness.

        Returns:
            Points and steps, `(P, 3)` each, the latter from outside where there is a surface, and `field.STEP` long at
            least; and colour in front of black, and opacity, of each, `(P, 4)`.
        """
        tried = torch.rand(_TRIED * count, 3, generator=generator) * 2 - 1
        distance = self.distances(tried).amin(-1)
        likely = (-distance.abs() / _NEARBY).exp() + _ELSEWHERE
        chosen = torch.multinomial(likely, count, generator=generator)
        points, distance = tried[chosen], distance[chosen]
        normals = self.normals(points)
        directions = functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
        directions = directions * -(directions * normals).sum(-1, keepdim=True).sign()
        colour = self.radiance(points, normals, directions, self.distances(points).argmin(-1))
        opacity = fading(distance).sigmoid()[:, None]
        steps = directions * distance.clamp(min=STEP)[:, None]
        return points, steps, torch.cat([opacity * colour, opacity], dim=-1)

    def normals(self, points: Tensor) -> Tensor:
        """Return the direction `(P, 3)` in which the distance to the scene grows."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.distances(points).amin(-1).sum(), points)
        return functional.normalize(slope, dim=-1)

    def radiance(self, points: Tensor, normals: Tensor, directions: Tensor, thing: Tensor) -> Tensor:
        """Return the colour `(P, 3)` of points on the surface of things `(P,)`, seen along directions `(P, 3)`."""
        seen = torch.zeros_like(points)
        for index, (own, place) in enumerate(zip(self.description.things, self.places, strict=True)):
            mine = thing == index
            inside = (points[mine] - place.to(points)) / self.scale
            seen[mine] = _radiance(own, inside, normals[mine], directions[mine])
        return seen

    def views(self, cameras: Cameras, supersample: int = 2) -> Views:
        """Return what cameras see; each pixel is the mean of `supersample` squared rays.

        Depth, normals and labels are those of the ray through the centre of the pixel.
        """
        return picture(self.trace, cameras, supersample, self.prompt)


def fading(distance: Tensor) -> Tensor:
    """Return the logarithm of the odds that a step at a signed distance is opaque.

    `point_losses` compares it with the logarithm of the optical depth of the step.

    Example:
        >>> fading(torch.tensor([-0.0025, 0.05])).tolist()
        [0.0, -10.5]
    """
    return -distance / _SOFT - 0.5


def picture(trace: Callable[[Rays], Traced], cameras: Cameras, supersample: int, prompt: str) -> Views:
    """Return what cameras see of what rays meet; each pixel is the mean of `supersample` squared rays."""
    check_positive(supersample=supersample)
    shape = (len(cameras), cameras.height, cameras.width)
    exact = trace(Rays(*(part.flatten(0, 1) for part in cameras.rays())))
    fine = exact
    if supersample > 1:
        fine = trace(Rays(*(part.flatten(0, 1) for part in cameras.enlarged(supersample).rays())))
    seen = torch.cat([fine.colour, fine.hit[:, None].to(fine.colour)], dim=-1)
    seen = seen.view(shape[0], shape[1], supersample, shape[2], supersample, 4).mean((2, 4))
    depth, labels = exact.depth.view(shape), exact.labels.view(shape)
    return Views(cameras, seen[..., :3], seen[..., 3], depth, exact.normals.view(*shape, 3), labels, prompt)


def _placed(description: Description) -> tuple[Tensor, float]:
    """Return where the centre of each thing goes, `(O, 3)`, and by how much all are scaled, to fit the unit ball."""
    solids = [SOLIDS[thing.shape] for thing in description.things]
    places = [torch.zeros(3)]
    for upper, relation, lower in zip(solids[-2::-1], description.relations[::-1], solids[:0:-1], strict=True):
        own, other = torch.tensor(upper.extent), torch.tensor(lower.extent)
        offset = torch.zeros(3)
        if relation in ("on", "above"):
            offset[2] = own[2] + other[2] + (_HOVER if relation == "above" else 0)
        else:
            axis = 0 if relation in ("left of", "right of") else 1
            sign = 1 if relation in ("right of", "behind") else -1
            offset[axis] = sign * (own[axis] + other[axis] + _GAP)
            offset[2] = own[2] - other[2]  # both stand on the same ground
        places.append(places[-1] + offset)
    centres = torch.stack(places[::-1])
    extents = torch.tensor([solid.extent for solid in solids])
    middle = ((centres + extents).amax(0) + (centres - extents).amin(0)) / 2
    centres = centres - middle
    radius = max(float(centre.norm()) + solid.radius for centre, solid in zip(centres, solids, strict=True))
    scale = min(1.0, _FIT / radius)
    return centres * scale, scale


def _radiance(thing: Thing, inside: Tensor, normals: Tensor, directions: Tensor) -> Tensor:
    """Return the colour of points of a thing, given in its own coordinates."""
    base = inside.new_tensor(COLOURS[thing.colour]).expand(inside.shape)
    other = inside.new_tensor(COLOURS["black"] if thing.colour == "white" else COLOURS["white"])
    facing = -(normals * directions).sum(-1, keepdim=True).clamp(-1, 0)
    if thing.material == "striped":
        base = torch.where((inside[:, 2:] * 3.2 + 0.25).remainder(1) < 0.5, base, other)
    elif thing.material == "checkered":
        cells = ((inside + 0.013) * 3.4 + 0.5).floor().sum(-1, keepdim=True)
        base = torch.where(cells.remainder(2) < 1, base, other)
    elif thing.material == "iridescent":
        phases = inside.new_tensor([0.0, 1 / 3, 2 / 3])
        rainbow = 0.5 + 0.5 * (2 * math.pi * (1.4 * (1 - facing) + phases)).cos()
        base = 0.45 * base + 0.55 * rainbow
    seen = base * shade(normals)
    if thing.material == "glossy":
        mirrored = directions - 2 * (directions * normals).sum(-1, keepdim=True) * normals
        spot = (mirrored @ LIGHT.to(inside)).clamp(min=0)[:, None] ** 30
        # Surroundings of broad bright bands, so that flat faces, which mirror little of them, shine too.
        around = (mirrored @ mirrored.new_tensor([3.5, 1.5, 4.0]))[:, None]
        bands = (0.5 + 0.5 * around.cos()) ** 2
        share = 0.22 + 0.5 * (1 - facing) ** 4
        seen = (1 - share) * seen + share * bands + 0.85 * spot
    return seen.clamp(0, 1)
