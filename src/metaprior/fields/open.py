"""From what a user calls a scene to its pictures."""

import hashlib
from dataclasses import replace
from pathlib import Path

from metaprior.data import find
from metaprior.errors import DataError, check_positive
from metaprior.fields.cameras import Cameras, Convention
from metaprior.fields.readers import read_views
from metaprior.fields.scenes.analytic import AnalyticScene
from metaprior.fields.scenes.fitted import FieldScene
from metaprior.fields.scenes.meshes import MESH_FILES, MeshScene, kenney
from metaprior.fields.scenes.posed import POSED_FILES, PosedScene
from metaprior.fields.views import Views

__all__ = ["content_of", "find_scene", "open_scene"]

_LEGO = "lego_train_200.npz", "lego_train_100.npz"


def open_scene(
    scene: str | Path,
    size: int = 64,
    views: int = 60,
    held_out: int = 8,
    convention: Convention = "opengl",
    skip_bad: bool = False,
) -> tuple[Views, Views]:
    """Return pictures of a scene, those to fit and those that are held out.

    Args:
        scene: a prompt, such as "a red torus on a blue box"; or a mesh file; or a `transforms.json`, an `.npz`, or a
            folder of them; or a field, or a run of `metaprior fit`; or "kenney:NAME", or "lego", of the data under
            `$METAPRIOR_DATA`.
        size: the width of the pictures; posed ones are brought to it.
        views: how many to render, where there is something to render.
        held_out: how many to render besides, from other sides.
        convention: of the poses of posed pictures.
        skip_bad: leave out posed pictures that are missing or whose pose does more than turn and shift.

    Raises:
        DataError: if the scene cannot be found or read, or has no poses that `convention` or `skip_bad` are of.
        CheckpointError: if it is a field that is damaged.

    Example:
        >>> fit, held_out = open_scene("a red torus", size=16, views=4, held_out=2)
        >>> len(fit), len(held_out), fit.prompt
        (4, 2, 'a red torus')
    """
    check_positive(size=size, views=views, held_out=held_out)
    known = find_scene(str(scene), convention, skip_bad)
    if isinstance(known, PosedScene):
        fit, rest = (replace(part.resized(size), prompt=known.prompt) for part in (known.fit, known.held_out))
        return fit, rest
    if skip_bad or convention != "opengl":
        raise DataError(f"convention, skip_bad: they are for posed pictures, and '{scene}' has none")
    fitted = Cameras.on_sphere(views, size, elevations=(-30.0, 75.0))
    other = Cameras.on_sphere(held_out, size, turn=77.0)
    return known.views(fitted), known.views(other)


def find_scene(
    scene: str, convention: Convention = "opengl", skip_bad: bool = False
) -> AnalyticScene | MeshScene | FieldScene | PosedScene:
    """Return a scene by what a user calls it; see `open_scene`. All but posed pictures can be seen from any side.

    Raises:
        DataError: if it cannot be found or read.
        CheckpointError: if it is a field that is damaged.
    """
    text = scene.strip()
    if text.startswith("kenney:"):
        return kenney(text.removeprefix("kenney:"))
    if text == "lego":
        lego = find("nerf_lego", *_LEGO)
        if lego is None:
            raise DataError(f"lego: neither of {', '.join(_LEGO)} is under $METAPRIOR_DATA/nerf_lego")
        return PosedScene(*read_views(lego, convention, skip_bad), "a lego bulldozer")
    path, suffix = Path(text), Path(text).suffix.lower()
    folder = bool(text) and path.is_dir()
    if suffix == ".safetensors" or (folder and (path / "field.safetensors").is_file()):
        return FieldScene.read(path)
    if suffix in POSED_FILES or folder:
        return PosedScene.read(path, convention, skip_bad)
    if suffix in MESH_FILES:
        return MeshScene.read(path)
    if "/" in text or path.is_file():
        raise DataError(
            f"scene: {text} is no mesh ({', '.join(MESH_FILES)}), no posed pictures (.json, .npz, a folder) and no "
            "field (.safetensors, a run of 'metaprior fit')"
        )
    return AnalyticScene(text)


def content_of(scene: str) -> str:
    """Return what a scene is called, and a digest of its file if it has one: what pictures of it are kept under."""
    path = Path(scene.strip())
    if path.is_dir():
        path = path / "field.safetensors"
    return f"{scene} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else scene
