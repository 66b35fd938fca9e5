"""Reading pictures with poses: `transforms.json` of Blender and nerfstudio, and `.npz` files.

Worlds are moved and scaled so that what the cameras look at fills the unit ball.

Axis letters: V views, H height, W width.
"""

import json
import math
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, missing
from metaprior.fields.cameras import Cameras, Convention, converted
from metaprior.fields.views import Views

__all__ = ["read_npz", "read_transforms", "read_views"]

_SINGULAR, _ROUGH = 1e-6, 1e-2
"""Of a matrix that is to turn: the least determinant, at norm one, and how far rows may be from length one."""
_SHOWN = 5
_IMAGES = (".png", ".jpg", ".jpeg")


def read_views(path: str | Path, convention: Convention = "opengl", skip_bad: bool = False) -> tuple[Views, Views]:
    """Read posed pictures in two parts, of which the second is held out.

    Args:
        path: a `transforms.json`, an `.npz`, or a folder with `transforms.json`, or with `transforms_train.json` and
            `transforms_test.json` (or `_val`); where there is one file, each eighth view is held out.
        convention: of the poses.
        skip_bad: leave out views whose image is missing or whose pose does more than turn and shift.

    Raises:
        DataError: if there is no such file, or as the two functions below say.
    """
    path = Path(path)
    if path.is_dir():
        parts = [path / f"transforms_{name}.json" for name in ("train", "test", "val")]
        if parts[0].is_file():
            other = next((part for part in parts[1:] if part.is_file()), None)
            if other is not None:
                frames = [(own, frame) for own in (parts[0], other) for frame in _frames(own)]
                views = _read_frames(frames, parts[0], convention, skip_bad)
                # What was skipped is not among them: a view belongs to the file that names it.
                first = torch.tensor([own == parts[0] for own, _ in views[1]])
                return views[0][first.nonzero()[:, 0]], views[0][(~first).nonzero()[:, 0]]
            path = parts[0]
        else:
            path = path / "transforms.json"
    views_read = (
        read_npz(path, convention) if path.suffix.lower() == ".npz" else read_transforms(path, convention, skip_bad)
    )
    if len(views_read) < 2:
        raise DataError(f"{path}: expected at least 2 views, got {len(views_read)}")
    return views_read.split(min(8, len(views_read)))


def read_transforms(path: str | Path, convention: Convention = "opengl", skip_bad: bool = False) -> Views:
    """Read a `transforms.json` in the style of Blender (`camera_angle_x`) or nerfstudio (`fl_x`, `fl_y`, `cx`, `cy`).

    Args:
        path: of the file; images lie beside it, and may be named without their ending.
        convention: of the poses.
        skip_bad: leave out views whose image is missing or whose pose does more than turn and shift, with a warning.

    Raises:
        DataError: if the file cannot be read, an image is missing or a pose wrong (each is named), or images are of
            different sizes.
        MetapriorError: if pillow is not installed.
    """
    path = Path(path)
    return _read_frames([(path, frame) for frame in _frames(path)], path, convention, skip_bad)[0]


def read_npz(path: str | Path, convention: Convention = "opengl") -> Views:
    """Read an `.npz` with `images` `(V, H, W, 3 or 4)`, `poses` `(V, 4, 4)` and `focal`.

    Raises:
        DataError: if the file is missing, damaged, or lacks one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            images, poses, focal = (stored[name] for name in ("images", "poses", "focal"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: expected an .npz with images, poses and focal: {error}") from error
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or poses.shape != (len(images), 4, 4):
        raise DataError(
            f"{path}: expected images (V, H, W, 3 or 4) and poses (V, 4, 4); got {images.shape}, {poses.shape}"
        )
    _, height, width, _ = images.shape
    if told := _told([(_flaw(pose), str(view)) for view, pose in enumerate(poses)]):
        raise DataError(f"{path}: {told}")
    seen = torch.from_numpy(images).float() / (255 if images.dtype == np.uint8 else 1)
    count = len(images)
    cameras = Cameras(
        converted(torch.from_numpy(poses).float(), convention),
        torch.full((count, 2), float(focal)),
        torch.tensor([width / 2, height / 2]).expand(count, 2),
        width,
        height,
    )
    return _framed(cameras, seen)


def _frames(path: Path) -> list[dict[str, Any]]:
    """Return the frames of a file, each with what the file says of all."""
    try:
        content = json.loads(path.read_text())
        shared = {key: value for key, value in content.items() if key != "frames"}
        frames = [shared | frame for frame in content["frames"]]
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; expected transforms.json, or transforms_train.json, or an .npz"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no transforms.json with frames ({error})") from error
    if not frames:
        raise DataError(f"{path}: expected frames, got none")
    return frames


def _read_frames(
    frames: list[tuple[Path, dict[str, Any]]], path: Path, convention: Convention, skip_bad: bool
) -> tuple[Views, list[tuple[Path, dict[str, Any]]]]:
    found = [(own, frame, _image_file(own.parent, str(frame.get("file_path", "")))) for own, frame in frames]
    flaws = [_flaw(frame.get("transform_matrix")) for _, frame, _ in found]
    names = [str(frame.get("file_path")) for _, frame, _ in found]
    absent = ["" if image else "missing image" for _, _, image in found]
    told = "; ".join(filter(None, (_told(list(zip(what, names, strict=True))) for what in (absent, flaws))))
    good = [(own, frame, image) for (own, frame, image), flaw in zip(found, flaws, strict=True) if image and not flaw]
    if told and (not skip_bad or not good):
        raise DataError(f"{path}: {told}{'; skip_bad leaves them out' if good else ''}")
    if told:
        warnings.warn(f"{path}: {told}; they are left out", stacklevel=3)
    images = [_image(image) for _, _, image in good]
    sizes = sorted({(image.shape[1], image.shape[0]) for image in images})
    if len(sizes) > 1:
        raise DataError(
            f"{path}: images have {len(sizes)} sizes, such as {sizes[0]} and {sizes[-1]}; expected one size"
        )
    if any(abs(float(frame.get(key, 0))) > 1e-9 for _, frame, _ in good for key in ("k1", "k2", "p1", "p2")):
        warnings.warn(f"{path}: lens distortion (k1, k2, p1, p2) is not corrected; undistort the images", stacklevel=3)
    width, height = sizes[0]
    lenses = [_lens(frame, width, height, path) for _, frame, _ in good]
    poses = torch.tensor([frame["transform_matrix"] for _, frame, _ in good], dtype=torch.float32)
    cameras = Cameras(
        converted(poses, convention),
        torch.tensor([lens[:2] for lens in lenses]),
        torch.tensor([lens[2:] for lens in lenses]),
        width,
        height,
    )
    return _framed(cameras, torch.stack(images)), [(own, frame) for own, frame, _ in good]


def _framed(cameras: Cameras, seen: Tensor) -> Views:
    """Return views of `(V, H, W, 3 or 4)` values in [0, 1]."""
    opacity = seen[..., 3] if seen.shape[-1] == 4 else torch.ones(seen.shape[:3])
    return Views(cameras.moved(*cameras.framing()), seen[..., :3] * opacity[..., None], opacity)


def _lens(frame: dict[str, Any], width: int, height: int, path: Path) -> tuple[float, float, float, float]:
    """Return focal lengths and centre in pixels of the image, whatever size the file speaks of."""

    def number(name: str, otherwise: float, above: float = 0) -> float:
        given = frame.get(name, otherwise)
        if isinstance(given, bool) or not isinstance(given, int | float) or not above < given < math.inf:
            raise DataError(f"{path}: {name}: expected a {'positive ' if above == 0 else ''}number, got {given!r}")
        return float(given)

    own_width, own_height = number("w", width), number("h", height)
    if "fl_x" in frame:
        x = number("fl_x", 1)
    elif "camera_angle_x" in frame:
        x = 0.5 * own_width / math.tan(number("camera_angle_x", 1) / 2)
    else:
        raise DataError(f"{path}: expected fl_x or camera_angle_x, got {', '.join(sorted(frame))}")
    across, down = width / own_width, height / own_height
    centre_x, centre_y = number("cx", own_width / 2, -math.inf), number("cy", own_height / 2, -math.inf)
    return x * across, number("fl_y", x) * down, centre_x * across, centre_y * down


def _image_file(folder: Path, name: str) -> Path | None:
    candidates = [folder / name, *(folder / f"{name}{ending}" for ending in _IMAGES)]
    return next((file for file in candidates if file.is_file()), None)


def _image(path: Path) -> Tensor:
    """Return an image `(H, W, 4)` in [0, 1]."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise missing("pillow", "fields", "reading images") from error
    try:
        with Image.open(path) as image:
            return torch.from_numpy(np.asarray(image.convert("RGBA")).copy()).float() / 255
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{path}: is no image: {error}") from error


def _flaw(pose: Any) -> str:
    """Return what is wrong with a pose, which should turn and shift; nothing if it does no more."""
    try:
        matrix = np.asarray(pose, dtype=float)
    except (TypeError, ValueError):
        matrix = np.zeros(0)
    if matrix.shape != (4, 4):
        return "pose that is no 4 x 4 matrix"
    if not np.isfinite(matrix).all():
        return "pose that is not finite"
    turn = matrix[:3, :3]
    size = np.linalg.det(turn)
    if abs(size) <= _SINGULAR * np.linalg.norm(turn) ** 3:
        return "singular pose"
    if size < 0:
        return "pose that mirrors"
    return "pose that scales or shears" if np.abs(turn @ turn.T - np.eye(3)).max() > _ROUGH else ""


def _told(flaws: list[tuple[str, str]]) -> str:
    """Say how many views have each flaw, and which, of flaws and names; views without any have an empty one."""
    said = []
    for what in dict.fromkeys(flaw for flaw, _ in flaws if flaw):
        names = [name for flaw, name in flaws if flaw == what]
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        said.append(f"{len(names)} of {len(flaws)} views with a {what}: {shown}")
    return "; ".join(said)
