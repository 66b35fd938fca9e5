"""From what a user calls a scene to its pictures."""

from pathlib import Path

from metaprior.data import find
from metaprior.errors import DataError, check_positive
from metaprior.fields.cameras import Cameras, Convention
from metaprior.fields.readers import read_views
from metaprior.fields.scenes.analytic import AnalyticScene
from metaprior.fields.scenes.meshes import MESH_FILES, MeshScene, kenney
from metaprior.fields.views import Views

__all__ = ["find_scene", "open_scene"]

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
            folder of them; or "kenney:NAME", or "lego", of the data under `$METAPRIOR_DATA`.
        size: the width of the pictures; larger ones are made smaller.
        views: how many to render, where there is something to render.
        held_out: how many to render besides, from other sides.
        convention: of the poses of posed pictures.
        skip_bad: leave out posed pictures that are missing or whose pose is singular.

    Raises:
        DataError: if the scene cannot be found or read.

    Example:
        >>> fit, held_out = open_scene("a red torus", size=16, views=4, held_out=2)
        >>> len(fit), len(held_out), fit.prompt
        (4, 2, 'a red torus')
    """
    check_positive(size=size, views=views, held_out=held_out)
    text = str(scene).strip()
    path = Path(text)
    if text == "lego":
        lego = find("nerf_lego", *_LEGO)
        if lego is None:
            raise DataError(f"lego: neither of {', '.join(_LEGO)} is under $METAPRIOR_DATA/nerf_lego")
        path = lego
    suffix = path.suffix.lower()
    if suffix in (".json", ".npz") or (text and path.is_dir()):
        parts = read_views(path, convention, skip_bad)
        return parts[0].resized(size), parts[1].resized(size)
    known = find_scene(text)
    fitted = Cameras.on_sphere(views, size, elevations=(-30.0, 75.0))
    other = Cameras.on_sphere(held_out, size, turn=77.0)
    return known.views(fitted), known.views(other)


def find_scene(scene: str) -> AnalyticScene | MeshScene:
    """Return what can be rendered from any side: of a prompt, of a mesh file, or of "kenney:NAME".

    Raises:
        DataError: if it cannot be found or read.
    """
    path = Path(scene)
    if scene.startswith("kenney:"):
        return kenney(scene.removeprefix("kenney:"))
    if path.suffix.lower() in MESH_FILES:
        return MeshScene.read(path)
    if "/" in scene or path.is_file():
        raise DataError(
            f"scene: {scene} is no mesh ({', '.join(MESH_FILES)}) and no posed pictures (.json, .npz, a folder)"
        )
    return AnalyticScene(scene)
