"""Writing what fields look like: pictures, films, meshes. Every file appears whole or not at all.

Axis letters: V views or frames, H height, W width, G grid points along an axis.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, MetapriorError, UnknownNameError, check_positive, missing
from metaprior.fields.field import OCCUPANCY, Field, Weights, occupied, of_scene
from metaprior.fields.occupancy import cell_points
from metaprior.files import replacing, write_bytes

__all__ = [
    "FILMS",
    "MESHES",
    "NETWORKS",
    "PICTURES",
    "check_kind",
    "depth_picture",
    "kind_of",
    "normal_picture",
    "png",
    "sheet",
    "write_film",
    "write_mesh",
    "write_picture",
]

PICTURES = (".png",)
FILMS = (".mp4", ".gif")
MESHES = (".glb", ".ply")
NETWORKS = (".safetensors",)
_ENDINGS = {"picture": PICTURES, "film": FILMS, "mesh": MESHES, "network": NETWORKS}
_SMALLEST_PART = 0.02


def kind_of(path: str | Path, argument: str = "out") -> str:
    """Return whether a file name is that of a "picture", a "film", a "mesh" or a "network".

    Raises:
        MetapriorError: if it has another ending.

    Example:
        >>> kind_of("torus.glb")
        'mesh'
    """
    suffix = Path(path).suffix.lower()
    for kind, endings in _ENDINGS.items():
        if suffix in endings:
            return kind
    every = [ending for endings in _ENDINGS.values() for ending in endings]
    raise MetapriorError(f"{argument}: {UnknownNameError('format', suffix or str(path), every)}")


def check_kind(path: str | Path, kind: str | None = None, argument: str = "out") -> None:
    """Raise MetapriorError unless a file name is that of some kind: before the work, rather than after it.

    Args:
        path: of the file.
        kind: "picture", "film", "mesh" or "network"; None for any of them.
        argument: the name by which the user gave it.

    Example:
        >>> check_kind("a.glb", "film")
        Traceback (most recent call last):
        metaprior.errors.MetapriorError: out: expected a film to end in .mp4 or .gif, got 'a.glb'
    """
    if kind is None:
        kind_of(path, argument)
    elif Path(path).suffix.lower() not in _ENDINGS[kind]:
        raise MetapriorError(f"{argument}: expected a {kind} to end in {' or '.join(_ENDINGS[kind])}, got '{path}'")


def write_picture(path: str | Path, picture: Tensor) -> None:
    """Write a picture `(H, W, 3 or 4)` in [0, 1] as PNG; a fourth channel is opacity."""
    write_bytes(Path(path), png(picture))


def png(picture: Tensor) -> bytes:
    """Return a picture `(H, W, 3 or 4)` in [0, 1] as the content of a PNG file."""
    buffer = io.BytesIO()
    _pillow().fromarray(_bytes(picture)).save(buffer, format="PNG")
    return buffer.getvalue()


def write_film(path: str | Path, frames: Tensor, rate: int = 24) -> None:
    """Write frames `(V, H, W, 3)` in [0, 1] as an endless GIF, or as MP4.

    Args:
        path: ends in .gif or .mp4.
        frames: the film.
        rate: frames a second.

    Raises:
        MetapriorError: for another ending, if imageio-ffmpeg is not installed, or if an MP4 cannot be written whole.
    """
    check_positive(rate=rate)
    path = Path(path)
    check_kind(path, "film")
    if path.suffix.lower() == ".gif":
        first, *others = (_pillow().fromarray(frame).quantize(128) for frame in _bytes(frames))
        with replacing(path) as temporary:
            first.save(
                temporary, format="GIF", save_all=True, append_images=others, duration=round(1000 / rate), loop=0
            )
        return
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise missing("imageio-ffmpeg", "fields", "writing an mp4") from error
    # The codec wants sizes of whole pairs of pixels.
    height, width = (size - size % 2 for size in frames.shape[1:3])
    with replacing(path) as temporary:
        film = imageio_ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=rate,
            codec="libx264",
            quality=8,
            macro_block_size=2,
            ffmpeg_log_level="quiet",
        )
        try:
            film.send(None)
            for frame in _bytes(frames):
                film.send(np.ascontiguousarray(frame[:height, :width]))
            film.close()
            # The codec does not say how it ended.
            written, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
        except (OSError, RuntimeError):
            written = 0
        if written != len(frames):
            raise MetapriorError(
                f"path: {written} of the {len(frames)} frames of {path}, {width} x {height} pixels each, could be "
                "written; is the disk full, or the size too small?"
            )


def write_mesh(
    path: str | Path, field: Field, weights: Weights, cells: int = 128, level: float = 10.0, scene: int = 0
) -> int:
    """Write the surface on which the density of a field has one value, with the colour of each vertex.

    Args:
        path: ends in .glb, which has y up and colours in linear light as the format says, or in .ply, with z up.
        field: the shape of the field.
        weights: of the scene.
        cells: G, points along each side of the cube in which the density is asked.
        level: the density of the surface.
        scene: which, if the weights are of several.

    Returns:
        How many faces the mesh has; parts of less than a fiftieth of the largest are left out.

    Raises:
        DataError: if the density reaches the level nowhere.
        MetapriorError: for another ending, or if trimesh or scikit-image are not installed.

    Source: Lorensen and Cline 1987 (marching cubes), by scikit-image.
    """
    check_positive(cells=cells, level=level)
    path = Path(path)
    check_kind(path, "mesh")
    try:
        import trimesh
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise missing(error.name or "trimesh", "fields", "writing a mesh") from error
    volume = _volume(field, of_scene(weights, scene), cells)
    solid = _large_parts(volume > level)
    if not solid.any():
        raise DataError(f"field: is empty: its density is at most {volume.max():.3g}, and level is {level:.3g}")
    # An empty rim, so that what touches the side of the cube is closed.
    padded = np.pad(np.where(solid | ~(volume > level), volume, 0), 1)
    vertices, faces, normals, _ = marching_cubes(np.log1p(padded), math.log1p(level))
    points = torch.from_numpy((vertices - 0.5) * (2 / cells) - 1).to(weights["layers.0.weight"]).clamp(-1, 1)
    inward = torch.from_numpy(normals.copy()).to(points)
    with torch.no_grad():
        # Just below the surface, seen from outside.
        _, colour = field(of_scene(weights, scene), (points + inward / cells)[None], inward[None])
    places = points.cpu().double().numpy()
    if path.suffix.lower() == ".glb":
        places = places[:, [0, 2, 1]] * [1, 1, -1]
        colour = colour**2.2
    shown = np.concatenate([_bytes(colour[0]), np.full((len(places), 1), 255, np.uint8)], axis=1)
    mesh = trimesh.Trimesh(places, faces[:, ::-1], vertex_colors=shown, process=False)
    with replacing(path) as temporary:
        mesh.export(temporary, file_type=path.suffix.lower()[1:])
    return len(faces)


def depth_picture(depth: Tensor, opacity: Tensor) -> Tensor:
    """Return depth `(..., H, W)` as grey `(..., H, W, 3)`: near is bright, nothing is black."""
    seen = opacity > 0.5
    if not seen.any():
        return torch.zeros(*depth.shape, 3)
    near, far = depth[seen].min(), depth[seen].max()
    shade = 1 - 0.85 * (depth - near) / (far - near).clamp(min=1e-6)
    return torch.where(seen, shade, 0)[..., None].expand(*depth.shape, 3).clamp(0, 1)


def normal_picture(normals: Tensor, opacity: Tensor) -> Tensor:
    """Return normals `(..., H, W, 3)` as colours: x, y and z are red, green and blue; nothing is white."""
    return torch.where(opacity[..., None] > 0.5, (normals + 1) / 2, 1.0)


def sheet(rows: Sequence[Sequence[Tensor]], captions: Sequence[str] = (), gap: int = 2) -> Tensor:
    """Return pictures `(H, W, 3)` of one size in rows, as one picture; a caption stands below each row's first.

    Args:
        rows: of pictures; shorter rows end in white.
        captions: one for each row, or none.
        gap: white pixels between pictures.

    Example:
        >>> sheet([[torch.zeros(8, 8, 3)] * 3] * 2).shape
        torch.Size([18, 28, 3])
    """
    height, width, _ = rows[0][0].shape
    columns = max(len(row) for row in rows)
    below = 14 if captions else 0
    page = torch.ones(len(rows) * (height + gap + below) - gap, columns * (width + gap) - gap, 3)
    for index, row in enumerate(rows):
        top = index * (height + gap + below)
        for column, picture in enumerate(row):
            page[top : top + height, column * (width + gap) : column * (width + gap) + width] = picture
    if not captions:
        return page
    from PIL import ImageDraw

    image = _pillow().fromarray(_bytes(page))
    drawing = ImageDraw.Draw(image)
    for index, caption in enumerate(captions):
        drawing.text((2, index * (height + gap + below) + height), caption, fill=(60, 60, 60))
    return torch.from_numpy(np.asarray(image).copy()).float() / 255


def _volume(field: Field, weights: Weights, cells: int) -> np.ndarray:
    """Return the density of one scene, mask included, in the middle of each cell, `(G, G, G)`."""
    points = cell_points(cells).to(weights["layers.0.weight"])
    asked = torch.ones(len(points), dtype=torch.bool, device=points.device)
    if OCCUPANCY in weights:
        asked = occupied(weights[OCCUPANCY], points[None])[0]
    volume = torch.zeros_like(points[:, 0])
    with torch.no_grad():
        parts = [field.density_at(weights, part[None])[0] for part in points[asked].split(2**17)]
    volume[asked] = torch.cat(parts)
    return volume.view(cells, cells, cells).cpu().numpy()


def _large_parts(solid: np.ndarray) -> np.ndarray:
    from skimage.measure import label

    parts = label(solid)
    sizes = np.bincount(parts.ravel())
    if len(sizes) == 1:
        return solid
    sizes[0] = 0
    return (sizes >= _SMALLEST_PART * sizes.max())[parts] & solid


def _bytes(picture: Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("pillow", "fields", "writing a picture") from error
    return Image
