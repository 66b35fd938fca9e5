"""From a field to a file, by the ending of its name."""

from pathlib import Path
from typing import Literal

import torch

from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.fields.cameras import Cameras
from metaprior.fields.field import Field, Weights
from metaprior.fields.network import save_field
from metaprior.fields.render import Rendered, render_views
from metaprior.fields.writers import depth_picture, kind_of, normal_picture, write_film, write_mesh, write_picture

__all__ = ["check_background", "export"]

Shows = Literal["colour", "depth", "normals"]
Background = Literal["white", "black", "transparent"]
_SHOWS = ("colour", "depth", "normals")
_BACKGROUNDS = ("white", "black", "transparent")


def export(
    field: Field,
    weights: Weights,
    out: str | Path,
    *,
    size: int = 256,
    shows: Shows = "colour",
    background: Background = "white",
    elevation: float = 25.0,
    azimuth: float = -60.0,
    radius: float = 3.0,
    field_of_view: float = 40.0,
    frames: int = 48,
    rate: int = 16,
    samples: int = 96,
    cells: int = 128,
    level: float = 10.0,
) -> str:
    """Write a picture, a film once around, or a mesh of a field; or the field itself, as a network.

    Args:
        field: the shape of the field.
        weights: of one scene.
        out: the file: .png, .mp4, .gif, .glb or .ply; or .safetensors, for `load_field`.
        size: width and height of a picture or film.
        shows: "colour", "depth" or "normals".
        background: "white", "black" or, for pictures, "transparent".
        elevation: of the camera, in degrees above the horizon.
        azimuth: of the camera, or of the first, in degrees from the x axis; -90 is the front.
        radius: distance of the camera.
        field_of_view: in degrees.
        frames: of a film.
        rate: frames a second.
        samples: of a ray.
        cells: points along each side of the cube from which a mesh is made.
        level: the density at which a mesh has its surface.

    Returns:
        What was written, in words.

    Raises:
        MetapriorError: for another ending or choice.
        DataError: if there is no surface to make a mesh of.

    Example:
        >>> import tempfile
        >>> field = Field()
        >>> weights = field.initial(1, torch.Generator().manual_seed(0))
        >>> export(field, weights, Path(tempfile.mkdtemp()) / "a.png", size=8, samples=8)
        '...a.png: a picture of 8 x 8 pixels'
    """
    kind = kind_of(out)
    check_background(kind, background)
    for name, value, known in (("choice for shows", shows, _SHOWS), ("background", background, _BACKGROUNDS)):
        if value not in known:
            raise UnknownNameError(name, value, known)
    if kind == "mesh":
        faces = write_mesh(out, field, weights, cells, level)
        return f"{out}: a mesh of {faces:,} faces"
    if kind == "network":
        save_field(out, field, weights)
        numbers = sum(value[0].numel() for value in weights.values() if value.is_floating_point())
        return f"{out}: a network of {numbers:,} numbers"
    number = frames if kind == "film" else 1
    cameras = Cameras.turntable(number, size, radius, field_of_view, elevation, azimuth)
    seen = render_views(field, weights, cameras, samples, normals=shows == "normals")
    if kind == "film":
        write_film(out, _shown(seen, shows, background), rate)
        return f"{out}: a film of {frames} frames of {size} x {size} pixels"
    write_picture(out, _shown(seen, shows, background)[0])
    return f"{out}: a picture of {size} x {size} pixels"


def check_background(kind: str, background: Background) -> None:
    """Raise MetapriorError if a background is none for a kind of file: before the work, rather than after it."""
    if kind == "film" and background == "transparent":
        raise MetapriorError("background: 'transparent' is for pictures; expected white or black for a film")


def _shown(seen: Rendered, shows: Shows, background: Background) -> torch.Tensor:
    """Return pictures `(V, H, W, 3 or 4)`."""
    if shows == "depth":
        return depth_picture(seen.depth, seen.opacity)
    if shows == "normals":
        assert seen.normals is not None
        return normal_picture(seen.normals, seen.opacity)
    if background != "transparent":
        return seen.over(1.0 if background == "white" else 0.0)
    straight = seen.colour / seen.opacity.clamp(min=1e-4)[..., None]
    return torch.cat([straight, seen.opacity[..., None]], dim=-1)
