"""Scenes that are textured meshes: files of one's own, and the models of Kenney's packs.

Axis letters: R rays, P points, F faces, V views.
"""

import io
import re
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metaprior.data import cache_folder, find
from metaprior.errors import DataError, UnknownNameError, missing
from metaprior.fields.cameras import Cameras, Rays
from metaprior.fields.scenes.analytic import Traced, picture
from metaprior.fields.scenes.grammar import COLOURS
from metaprior.fields.scenes.lighting import shade
from metaprior.fields.views import Views

__all__ = ["MESH_FILES", "MeshScene", "kenney", "kenney_models", "prompt_of"]

MESH_FILES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
"""The endings of files that can be read as meshes."""

_PACKS = (
    "kenney_starter_Racing.zip",
    "kenney_starter_City-Builder.zip",
    "kenney_starter_3D-Platformer.zip",
    "kenney_starter_FPS.zip",
    "kaykit_hexagons.zip",
)
_KINDS = ("vehicle", "detail")
_FIRST = ("small", "large", "tall", "high", "low", "medium", "empty", "falling", "flying")
_FIT = 0.95
_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From y up to z up; what faced +z then faces -y, the front."""


class MeshScene:
    """A textured mesh in the unit ball, lit as analytic scenes are.

    Args:
        mesh: a scene or mesh of trimesh.
        prompt: what it is, in words.
        y_up: whether y points up in it, as in glTF; it is then turned.

    Raises:
        DataError: if there are no faces.
    """

    def __init__(self, mesh: Any, prompt: str = "", y_up: bool = True):
        trimesh = _trimesh()
        parts = mesh.dump() if isinstance(mesh, trimesh.Scene) else [mesh]
        parts = [part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)]
        if not parts:
            raise DataError("mesh: expected a mesh with faces, got none")
        named = [(part.metadata.get("name", str(index)), part) for index, part in enumerate(parts)]
        # In the order of their names, so that a part has the same label in every variant of a model.
        named.sort(key=lambda pair: pair[0])
        self.prompt = prompt
        self.names = tuple(name for name, _ in named)
        self.parts = parts = [part for _, part in named]
        turn = (_UPRIGHT if y_up else np.eye(3)).T
        vertices = np.concatenate([part.vertices for part in parts]) @ turn
        normals = np.concatenate([part.vertex_normals for part in parts]) @ turn
        middle = (vertices.max(0) + vertices.min(0)) / 2
        scale = _FIT / np.linalg.norm(vertices - middle, axis=1).max()
        starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
        faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
        self.mesh = trimesh.Trimesh((vertices - middle) * scale, faces, process=False)
        self.vertex_normals = normals
        self.part = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts])
        self.first_face = np.cumsum([0, *(len(part.faces) for part in parts)])

    @staticmethod
    def read(path: str | Path) -> "MeshScene":
        """Read a file; y is up in glTF and OBJ, z in the others.

        Raises:
            DataError: if the file is missing or no mesh.
            MetapriorError: if trimesh is not installed.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"mesh: no such file: {path}")
        try:
            mesh = _trimesh().load(path)
        except (ValueError, OSError, KeyError, IndexError, TypeError) as error:
            raise DataError(f"mesh: {path} cannot be read: {error}") from error
        return MeshScene(mesh, prompt_of(path.stem), y_up=path.suffix.lower() in (".glb", ".gltf", ".obj"))

    def trace(self, rays: Rays) -> Traced:
        """Return what rays `(R, 3)` meet first; labels are 1 for the first part."""
        origins, directions = (part.double().numpy() for part in rays)
        places, ray, face = self.mesh.ray.intersects_location(origins, directions, multiple_hits=False)
        count = len(origins)
        hit = torch.zeros(count, dtype=torch.bool)
        depth, colour, normals = torch.zeros(count), torch.zeros(count, 3), torch.zeros(count, 3)
        labels = torch.zeros(count, dtype=torch.int64)
        if not len(ray):
            return Traced(colour, hit, depth, normals, labels)
        corners = self.mesh.faces[face]
        weights = _trimesh().triangles.points_to_barycentric(self.mesh.triangles[face], places)
        smooth = (self.vertex_normals[corners] * weights[..., None]).sum(1)
        # Thin parts are seen from both sides.
        smooth *= np.where((smooth * directions[ray]).sum(1, keepdims=True) > 0, -1, 1)
        met = torch.from_numpy(ray)
        hit[met] = True
        depth[met] = torch.from_numpy(np.linalg.norm(places - origins[ray], axis=1)).float()
        normals[met] = functional.normalize(torch.from_numpy(smooth).float(), dim=-1)
        labels[met] = torch.from_numpy(self.part[face]) + 1
        colour[met] = (self._albedo(face, weights) * shade(normals[met])).clamp(0, 1)
        return Traced(colour, hit, depth, normals, labels)

    def _albedo(self, face: np.ndarray, weights: np.ndarray) -> Tensor:
        """Return the colour `(P, 3)` of points, given by their faces and barycentric weights in them."""
        colours = np.zeros((len(face), 3), dtype=np.float32)
        for index, part in enumerate(self.parts):
            mine = self.part[face] == index
            if not mine.any():
                continue
            corners = part.faces[face[mine] - self.first_face[index]]
            visual = part.visual
            material = getattr(visual, "material", None)
            image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
            if getattr(visual, "uv", None) is not None and image is not None:
                # A palette: the nearest texel, since neighbours on it have nothing to do with each other.
                uv = (visual.uv[corners] * weights[mine][..., None]).sum(1)
                texels = _trimesh().visual.color.uv_to_color(uv, image.convert("RGBA"))
                colours[mine] = texels[:, :3] / 255
            elif visual.kind == "vertex":
                colours[mine] = (visual.vertex_colors[corners][..., :3] / 255 * weights[mine][..., None]).sum(1)
            elif visual.kind == "face":
                colours[mine] = visual.face_colors[face[mine] - self.first_face[index]][:, :3] / 255
            else:
                plain = np.asarray(getattr(material, "main_color", [180, 180, 180, 255]))[:3] / 255
                # Factors of glTF are linear, unlike everything else here.
                colours[mine] = plain ** (1 / 2.2) if hasattr(material, "baseColorFactor") else plain
        return torch.from_numpy(colours)

    def views(self, cameras: Cameras, supersample: int = 2) -> Views:
        """Return what cameras see; each pixel is the mean of `supersample` squared rays."""
        return picture(self.trace, cameras, supersample, self.prompt)


def prompt_of(name: str) -> str:
    """Return the name of a model as a prompt, with its colour or size in front.

    Example:
        >>> prompt_of("vehicle-truck-red"), prompt_of("building-small-a")
        ('a red truck', 'a small building of type a')
        >>> prompt_of("scan24")
        'a scan 24'
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]|[0-9]+", name.split(".")[0])]
    if len(words) > 1 and words[0] in _KINDS:
        words = words[1:]
    kind = f" of type {words.pop()}" if len(words) > 1 and len(words[-1]) == 1 else ""
    words.sort(key=lambda word: 0 if word in COLOURS else 1 if word in _FIRST else 2)
    article = "an" if words and words[0][0] in "aeiou" else "a"
    return f"{article} {' '.join(words)}{kind}"


@cache
def kenney_models() -> dict[str, tuple[Path, str]]:
    """Return the models that lie under `$METAPRIOR_DATA/meshes_kenney`, by name: the pack and the file in it."""
    models: dict[str, tuple[Path, str]] = {}
    for pack in _PACKS:
        path = find("meshes_kenney", pack)
        if path is not None:
            with zipfile.ZipFile(path) as files:
                for file in sorted(files.namelist()):
                    if file.endswith(".glb"):
                        models.setdefault(PurePosixPath(file).name.split(".")[0], (path, file))
    return models


@cache
def kenney(name: str) -> MeshScene:
    """Return a model of Kenney's packs by name, such as "vehicle-truck-red".

    Raises:
        DataError: if the packs are not on this machine.
        UnknownNameError: if none of that name is in them.
    """
    models = kenney_models()
    if not models:
        raise DataError(
            f"kenney: no pack is under $METAPRIOR_DATA/meshes_kenney or in {cache_folder() / 'meshes_kenney'}; "
            f"expected {', '.join(_PACKS)} (CC0, github.com/KenneyNL)"
        )
    if name not in models:
        raise UnknownNameError("model", name, models)
    pack, file = models[name]
    trimesh = _trimesh()
    with zipfile.ZipFile(pack) as files:
        # All that a model may refer to: its pack is small.
        archive = {entry: io.BytesIO(files.read(entry)) for entry in files.namelist() if not entry.endswith("/")}
    resolver = trimesh.resolvers.ZipResolver(archive, namespace=str(PurePosixPath(file).parent))
    mesh = trimesh.load(archive[file], file_type="glb", resolver=resolver)
    return MeshScene(mesh, prompt_of(name))


def _trimesh() -> Any:
    try:
        import trimesh
        import trimesh.visual
    except ImportError as error:
        raise missing("trimesh", "fields", "reading a mesh") from error
    if not trimesh.ray.has_embree:
        raise missing("embreex", "fields", "rendering a mesh")
    return trimesh
