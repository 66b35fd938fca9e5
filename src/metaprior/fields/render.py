"""Rendering: what cameras see of radiance fields, of many scenes at once.

Axis letters: S scenes, R rays, K samples of a ray, M samples that are left of all, G cells along an axis.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError, check_positive
from metaprior.fields.cameras import Cameras, Rays
from metaprior.fields.field import OCCUPANCY, Field, Weights, of_scene, without_mask
from metaprior.tree import map_tensors

__all__ = ["Rendered", "render", "render_views"]

_RAYS_AT_ONCE = 16_384
_HALF_CELL = 1 / 32
_OPAQUE = 16.0
"""The optical depth behind which nothing changes a pixel beyond rounding."""
_ROUNDING = 1e-5
_AT_FIRST = 4
"""Samples of a ray, of those that are left, that are asked for before it is known whether the rest is hidden."""


class Rendered(NamedTuple):
    """What is seen along rays.

    Args:
        colour: `(S, R, 3)`, in front of black; see `over`.
        opacity: `(S, R)`, how much of what lies behind is hidden.
        depth: `(S, R)`, the mean distance along the ray of what is seen; 0 where nothing is.
        normals: `(S, R, 3)`, the mean direction out of what is seen, of length one or 0; None unless asked for.
    """

    colour: Tensor
    opacity: Tensor
    depth: Tensor
    normals: Tensor | None = None

    def over(self, background: Tensor | float = 1.0) -> Tensor:
        """Return the colour `(S, R, 3)` in front of a background, a number or a tensor `(..., 3)`."""
        return self.colour + (1 - self.opacity[..., None]) * background


def render(
    field: Field,
    weights: Weights,
    rays: Rays,
    samples: int = 64,
    generator: torch.Generator | None = None,
    normals: bool = False,
    culled: bool = True,
    rays_at_once: int = _RAYS_AT_ONCE,
) -> Rendered:
    """Return what is seen of S scenes, each along its own R rays.

    A ray is cut into K parts of one length where it passes through the cube [-1, 1]^3, and the field is asked once in
    each part. Where the field has an occupancy mask, samples in empty cells are left out, and, where no gradient is
    wanted, samples behind what is opaque; this changes no value beyond rounding. Neither does how rays are ordered, or
    split into calls, as long as no generator is given.

    Args:
        field: the shape of the field.
        weights: of S scenes.
        rays: `(S, R, 3)` each, on any device; what is seen is where the weights are.
        samples: K.
        generator: draws where in its part each sample lies; None for the middle.
        normals: compute normals too.
        culled: leave out samples in empty cells; False to ask the field everywhere.
        rays_at_once: of a scene; bounds the memory.

    Raises:
        ShapeError: if rays and weights are of different numbers of scenes.

    Source: optical depth in place of products of transparencies: weights are T(before) - T(after), T = exp(-tau),
    tau = cumsum(sigma delta), after Max 1995 ("Optical models for direct volume rendering"). What is left after culling
    is packed as in nerfacc (Li et al. 2023, arXiv 2305.04966).

    Example:
        >>> field = Field()
        >>> weights = field.initial(1, torch.Generator().manual_seed(0))
        >>> seen = render(field, weights, Cameras.on_sphere(1, size=8).rays(), samples=16)
        >>> seen.over(1.0).shape
        torch.Size([1, 64, 3])
    """
    check_positive(samples=samples, rays_at_once=rays_at_once)
    scenes = len(weights["layers.0.weight"])
    if rays.origins.ndim != 3 or len(rays.origins) != scenes:
        raise ShapeError(f"rays: expected shape (S, R, 3) with S = {scenes}, got {tuple(rays.origins.shape)}")
    rays, parts = rays.to(weights["layers.0.weight"]), []
    for start in range(0, max(rays.origins.shape[1], 1), rays_at_once):
        part = rays.take(slice(start, start + rays_at_once))
        near, step = crossing(part, samples)
        place = torch.arange(samples, device=near.device, dtype=near.dtype)
        drawn = 0.5 if generator is None else torch.rand((*near.shape, samples), generator=generator).to(near)
        distances = near[..., None] + (place + drawn) * step[..., None]
        if culled and OCCUPANCY in weights:
            seen = [
                _packed(field, of_scene(weights, scene), Rays(*own), distances[scene], step[scene], normals)
                for scene, own in enumerate(zip(*part, strict=True))
            ]
            parts.append(_joined(torch.stack, seen))
        else:
            parts.append(_dense(field, weights, part, distances, step, normals))
    return _joined(partial(torch.cat, dim=1), parts)


def crossing(rays: Rays, samples: int) -> tuple[Tensor, Tensor]:
    """Return where rays `(..., R, 3)` enter the cube [-1, 1]^3, and a K-th of their way through it, `(..., R)`.

    Rays that miss it, or leave it behind, have a way of 0.
    """
    near, far = _within(rays, -1.0, 1.0)
    near = near.clamp(min=0)
    return near, (far - near).clamp(min=0) / samples


def _within(rays: Rays, lower: Tensor | float, upper: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return at which distances rays enter and leave a box, `(..., R)`; those that miss it leave before they enter."""
    # A direction that is parallel to a side meets it far away.
    slope = rays.directions.where(rays.directions.abs() > 1e-9, 1e-9)
    first, second = (lower - rays.origins) / slope, (upper - rays.origins) / slope
    return torch.minimum(first, second).amax(-1), torch.maximum(first, second).amin(-1)


def _dense(field: Field, weights: Weights, rays: Rays, distances: Tensor, step: Tensor, normals: bool) -> Rendered:
    """Ask the field at every sample: distances `(S, R, K)`, steps `(S, R)`."""
    directions = rays.directions[..., None, :].expand(*distances.shape, 3)
    points = rays.origins[..., None, :] + distances[..., None] * directions
    density, colour, normal = _ask(field, weights, points.flatten(1, 2), directions.flatten(1, 2), normals)
    depth = (density.view_as(distances) * step[..., None]).cumsum(-1)
    before = functional.pad(depth[..., :-1], (1, 0))
    share = (-before).exp() - (-depth).exp()
    seen = (share[..., None] * colour.view(*distances.shape, 3)).sum(-2)
    if normal is not None:
        normal = (share[..., None] * normal.view(*distances.shape, 3)).sum(-2)
    return _finished(seen, share.sum(-1), (share * distances).sum(-1), normal)


def _packed(field: Field, weights: Weights, rays: Rays, distances: Tensor, step: Tensor, normals: bool) -> Rendered:
    """Ask the field of one scene at the samples that its mask leaves: distances `(R, K)`, steps `(R,)`.

    Where no gradient is wanted, from front to back, until what lies behind is hidden.
    """
    count, samples = distances.shape
    # All that is asked for lies where the mask is True.
    free = without_mask(weights)
    with torch.no_grad():
        left = _occupied(weights[OCCUPANCY][0], rays, distances, step)
        rays_of = left // samples
    seen, in_front = distances.new_zeros(count, 8 if normals else 5), torch.zeros_like(step)
    for part in [slice(None)] if torch.is_grad_enabled() else _rounds(rays_of, in_front, samples):
        ray, distance = rays_of[part], distances.flatten().index_select(0, left[part])
        origins, directions = (values.index_select(0, ray) for values in rays)
        points = origins + distance[:, None] * directions
        density, colour, normal = _ask(field, free, points[None], directions[None], normals)
        depth = density[0] * step.index_select(0, ray)
        values = [colour[0], torch.ones_like(distance)[:, None], distance[:, None]]
        if normal is not None:
            values.append(normal[0])
        seen = seen.index_add(0, ray, _shares(depth, ray, in_front)[:, None] * torch.cat(values, dim=-1))
        # What `_rounds` goes by: it gives the next part when this one has been added.
        in_front.index_add_(0, ray, depth.detach())
    return _finished(seen[:, :3], seen[:, 3], seen[:, 4], seen[:, 5:] if normals else None)


def _shares(depth: Tensor, ray: Tensor, in_front: Tensor) -> Tensor:
    """Return how much of the light of its ray comes from each sample, `(M,)`.

    Args:
        depth: the optical depth of each sample.
        ray: of each sample, in order.
        in_front: the optical depth in front of the first of these samples, of each ray.
    """
    # One sum for all rays, in double precision, less what it was where the ray began.
    after = depth.double().cumsum(0)
    before = after - depth
    before = before - before.index_select(0, _begins(ray, len(in_front)))
    before = before.to(depth.dtype).clamp(min=0) + in_front.index_select(0, ray)
    return (-before).exp() * -torch.expm1(-depth)


def _begins(ray: Tensor, rays: int) -> Tensor:
    """Return the first sample of the ray of each sample, `(M,)`, of samples whose rays are in order."""
    counts = torch.bincount(ray, minlength=rays)
    return (counts.cumsum(0) - counts).index_select(0, ray)


def _rounds(ray: Tensor, in_front: Tensor, most: int) -> Iterator[Tensor]:
    """Yield which samples to ask for next, in order: a few of each ray at first, then more, while it is not hidden.

    Args:
        ray: of each sample, in order.
        in_front: the optical depth so far of each ray, which grows between two rounds.
        most: samples of a ray.
    """
    waiting = torch.arange(len(ray), device=ray.device)
    number = waiting - _begins(ray, len(in_front))
    end, count = 0, _AT_FIRST
    while end < most and len(waiting):
        end, count = end + count, 2 * count
        near = number.index_select(0, waiting) < end
        yield waiting[near]
        waiting = waiting[~near]
        waiting = waiting[in_front.index_select(0, ray.index_select(0, waiting)) < _OPAQUE]


def _occupied(mask: Tensor, rays: Rays, distances: Tensor, step: Tensor) -> Tensor:
    """Return which samples of a scene, of R x K in order, lie where its mask `(G, G, G)` is True, `(M,)`."""
    taken = mask.nonzero()
    if not len(taken):
        return taken[:, 0]
    cells = mask.shape[-1]
    lower, upper = (corner.to(distances) * (2 / cells) - 1 for corner in (taken.amin(0), taken.amax(0) + 1))
    # What passes by the box of all occupied cells need not be looked at sample by sample.
    enter, leave = _within(rays, lower - _ROUNDING, upper + _ROUNDING)
    through = ((enter <= leave) & (leave >= 0) & (step > 0)).nonzero()[:, 0]
    if not len(through):
        return through
    # Nor what lies before or behind it for all rays; a sample is less than a step away from where its part begins.
    along, width = distances.index_select(0, through), step[through]
    before, after = (((end[through] - along[:, 0]) / width).clamp(0, along.shape[1]) for end in (enter, leave))
    first, end = max(int(before.amin()) - 1, 0), int(after.amax()) + 3
    along = along[:, first:end]
    index = torch.zeros((), dtype=torch.int32, device=mask.device)
    for origin, direction in zip(rays.origins[through].T, rays.directions[through].T, strict=True):
        place = (along * direction[:, None]).add_(origin[:, None])
        index = index * cells + place.add_(1).mul_(cells / 2).int().clamp_(0, cells - 1)
    ray, sample = mask.flatten().index_select(0, index.flatten()).view_as(index).nonzero(as_tuple=True)
    return through[ray] * distances.shape[1] + first + sample


def _ask(
    field: Field, weights: Weights, points: Tensor, directions: Tensor, normals: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return density, colour and normals of points `(S, P, 3)`.

    Normals come from differences over a cell of the usual planes: the slope of what is interpolated jumps at its cells.
    """
    density, colour = field(weights, points, directions)
    if not normals:
        return density, colour, None
    free = without_mask(weights)
    slopes = []
    for axis in range(3):
        offset = points.new_zeros(3)
        offset[axis] = _HALF_CELL
        after, before = (field.density_at(free, points + sign * offset) for sign in (1, -1))
        slopes.append(before.log1p() - after.log1p())
    return density, colour, functional.normalize(torch.stack(slopes, dim=-1), dim=-1)


def _finished(colour: Tensor, opacity: Tensor, distance: Tensor, normal: Tensor | None) -> Rendered:
    depth = distance / opacity.where(opacity > 1e-6, torch.inf)
    return Rendered(colour, opacity, depth, None if normal is None else functional.normalize(normal, dim=-1))


def render_views(
    field: Field, weights: Weights, cameras: Cameras, samples: int = 96, normals: bool = False
) -> Rendered:
    """Return what V cameras see of one scene, as pictures: colour is `(V, H, W, 3)`, depth `(V, H, W)`.

    Example:
        >>> field = Field()
        >>> weights = field.initial(1, torch.Generator().manual_seed(0))
        >>> render_views(field, weights, Cameras.turntable(2, size=8), samples=16).over().shape
        torch.Size([2, 8, 8, 3])
    """
    views = []
    with torch.no_grad():
        for view in range(len(cameras)):
            views.append(render(field, weights, cameras[view : view + 1].rays(), samples, normals=normals))
    size = (cameras.height, cameras.width)
    return map_tensors(lambda value: value.unflatten(1, size), _joined(torch.cat, views))


def _joined(join: Callable[[list[Tensor]], Tensor], parts: list[Rendered]) -> Rendered:
    return map_tensors(lambda *values: join(list(values)), parts[0], *parts[1:])
