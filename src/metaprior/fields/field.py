"""Radiance fields: pure functions from points and weights to density and colour, for many scenes at once.

Axis letters: S scenes, P points, F features, G cells of the occupancy grid along an axis.
"""

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import ShapeError, UnknownNameError
from metaprior.fields.encoders import ENCODERS, Encoder, TriPlane

__all__ = ["OCCUPANCY", "STEP", "Field", "Weights", "of_scene"]

Weights = dict[str, Tensor]
"""The weights of S scenes by name, each `(S, ...)`, or `(1, ...)` where all scenes share it."""

OCCUPANCY = "occupancy"
"""The name among the weights of the mask `(S, G, G, G)`, True where there may be anything; indices are x, y, z."""

STEP = 0.04
"""The least length of a step by which fields are compared at a point: what it hides, rather than boundless density."""

_LARGEST = 15.0
"""Above this the exponential and its gradient stay as they are."""
_AROUND = ((1 / 32, 0.0, 0.0), (0.0, 1 / 32, 0.0), (0.0, 0.0, 1 / 32))
_LEAST = 1e-20
_INFERENCE = 4
"""How many times as many points pass through the perceptron at once where nothing is kept for a gradient."""
_WAVES = (1.0, 2.0)
_FACING = 1 + 2 * len(_WAVES) + 9
"""Features that tell of the direction of view: facing, its waves (with faster ones the normal is not found), and the
harmonics of where light is mirrored from."""


@dataclass(frozen=True)
class Field:
    """The shape of a radiance field: an encoder, then a perceptron; the weights are given with each call.

    A field is empty where its weights have an occupancy mask that says so: leaving those points out changes nothing.

    Args:
        encoder: of points in the cube [-1, 1]^3.
        width: hidden units of a layer.
        hidden: hidden layers.
        directions: let the colour depend on the direction of view.
        normalised: bring the hidden units of each point to mean 0 and spread 1 before they are rectified.
        density: "exp" or "softplus".
        blob: by how much the logarithm of the density is raised at the origin, so that scenes begin there.
        blob_radius: the standard deviation of that Gaussian.
        chunk: points of a scene that pass through the perceptron at once; 512 to 1,024 stay in the processor's cache.

    Source: activation and blob, HyperFields (Babu et al. 2024, arXiv 2310.17075) and Stable-DreamFusion; mirrored
    directions, Ref-NeRF (Verbin et al. 2022, arXiv 2112.03907), with a normal that is taught by the density.

    Example:
        >>> field = Field(TriPlane(cells=8, channels=4), width=16)
        >>> weights = field.initial(2, torch.Generator().manual_seed(0))
        >>> density, colour = field(weights, torch.zeros(2, 5, 3))
        >>> density.shape, colour.shape
        (torch.Size([2, 5]), torch.Size([2, 5, 3]))
    """

    encoder: Encoder = dataclasses.field(default_factory=TriPlane)
    width: int = 64
    hidden: int = 3
    directions: bool = False
    normalised: bool = False
    density: Literal["exp", "softplus"] = "exp"
    blob: float = 5.0
    blob_radius: float = 0.2
    chunk: int = 1024

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """How many features each layer of the perceptron takes, and gives, by name."""
        widths = [self.encoder.features, *[self.width] * self.hidden, 4]
        layers = {f"layers.{place}": pair for place, pair in enumerate(pairwise(widths))}
        if self.directions:
            layers |= {
                "view.0": (self.width, 3),
                "view.1": (self.width + _FACING, self.width),
                "view.2": (self.width, 3),
            }
        return layers

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the perceptron's weights, by name, without the axis S."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, (before, after) in self.layers.items():
            shapes |= {f"{name}.weight": (after, before), f"{name}.bias": (after,)}
        return shapes

    def initial(self, scenes: int, generator: torch.Generator, shared_encoder: bool = False) -> Weights:
        """Return weights to begin with, different for each of S scenes.

        Args:
            scenes: S.
            generator: the only source of randomness, on the CPU.
            shared_encoder: one encoder for all scenes.
        """
        encoders = [self.encoder.initial(generator) for _ in range(1 if shared_encoder else scenes)]
        weights = {f"encoder.{name}": torch.stack([one[name] for one in encoders]) for name in encoders[0]}
        for name, shape in self.shapes.items():
            if name.endswith("bias"):
                weights[name] = torch.zeros(scenes, *shape)
            else:
                spread = math.sqrt((1 if shape[0] in (3, 4) else 2) / shape[1])
                weights[name] = spread * torch.randn(scenes, *shape, generator=generator)
        return weights

    def __call__(self, weights: Weights, points: Tensor, directions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return density and colour at points.

        Args:
            weights: of S scenes.
            points: `(S, P, 3)` in [-1, 1].
            directions: `(S, P, 3)`, of length one, from the camera to the point; asked for if `directions` is set.

        Returns:
            Density `(S, P)`, at least 0, and colour `(S, P, 3)` in [0, 1].

        Raises:
            ShapeError: if weights and points are of different numbers of scenes, or directions are missing.
        """
        if self.directions and directions is None:
            raise ShapeError(
                "directions: expected a tensor of shape (S, P, 3), since the colour depends on it; got None"
            )
        output = self._output(weights, points, directions if self.directions else None)
        return self._density(weights, output[..., 0], points), output[..., 1:].sigmoid()

    def density_at(self, weights: Weights, points: Tensor) -> Tensor:
        """Return the density `(S, P)` at points `(S, P, 3)`: what a call gives first, for less.

        Raises:
            ShapeError: if weights and points are of different numbers of scenes.
        """
        return self._density(weights, self._output(weights, points, None)[..., 0], points)

    def _output(self, weights: Weights, points: Tensor, directions: Tensor | None) -> Tensor:
        """Return what the density is made from, without mask and blob, and the logits of the colour, `(S, P, 4)`."""
        scenes = len(weights["layers.0.weight"])
        if points.ndim != 3 or points.shape[-1] != 3 or len(points) != scenes:
            raise ShapeError(f"points: expected shape (S, P, 3) with S = {scenes}, got {tuple(points.shape)}")
        encoder = {name[8:]: value for name, value in weights.items() if name.startswith("encoder.")}
        features = self.encoder(encoder, points)
        # Split, not sliced: the gradient of each slice would be as large as the whole.
        chunk = self.chunk * (1 if torch.is_grad_enabled() else _INFERENCE)
        split = [None] * len(features.split(chunk, 1)) if directions is None else directions.split(chunk, 1)
        parts = [self._perceptron(weights, *part) for part in zip(features.split(chunk, 1), split, strict=True)]
        return torch.cat(parts, dim=1)

    def layer(self, weights: Weights, place: int, x: Tensor) -> Tensor:
        """Return the hidden units `(S, P, width)` of a hidden layer, from what reaches it."""
        x = linear(weights, f"layers.{place}", x)
        return (functional.layer_norm(x, x.shape[-1:]) if self.normalised else x).relu_()

    def _perceptron(self, weights: Weights, x: Tensor, directions: Tensor | None) -> Tensor:
        for place in range(self.hidden):
            x = self.layer(weights, place, x)
        output = linear(weights, f"layers.{self.hidden}", x)
        if directions is None:
            return output
        seen = linear(weights, "view.1", self.facing(weights, x, directions)).relu_()
        return torch.cat([output[..., :1], output[..., 1:] + linear(weights, "view.2", seen)], dim=-1)

    def facing(self, weights: Weights, x: Tensor, directions: Tensor) -> Tensor:
        """Return what reaches the layer that knows the direction of view.

        That is the hidden units, how much a normal, which is linear in them, faces the viewer, and where what the
        viewer sees is mirrored from: what shines is simple in these, and not in the direction itself.
        """
        normal = functional.normalize(linear(weights, "view.0", x), dim=-1)
        facing = -(normal * directions).sum(-1, keepdim=True)
        mirrored = directions + 2 * facing * normal
        waves = math.pi * facing * facing.new_tensor(_WAVES)
        return torch.cat([x, facing, waves.sin(), waves.cos(), harmonics(mirrored)], dim=-1)

    def misled(self, weights: Weights, points: Tensor) -> Tensor:
        """Return how far the normals that colours use at points `(S, P, 3)` are from those of the surface, `(S, P)`.

        That is one less the cosine between them. The latter are where the density falls, and taken as they are.
        """
        free = without_mask(weights)
        encoder = {name[8:]: value for name, value in free.items() if name.startswith("encoder.")}
        x = self.encoder(encoder, points)
        for place in range(self.hidden):
            x = self.layer(free, place, x)
        normal = functional.normalize(linear(free, "view.0", x), dim=-1)
        with torch.no_grad():
            around = torch.cat([points, *(points + points.new_tensor(step) for step in _AROUND)], dim=1)
            here, *there = (self.density_at(free, around) + _LEAST).log().split(points.shape[1], 1)
            falls = functional.normalize(torch.stack([here - other for other in there], dim=-1), dim=-1)
        return 1 - (normal * falls).sum(-1)

    def _density(self, weights: Weights, logarithm: Tensor, points: Tensor) -> Tensor:
        raised = logarithm
        if self.blob:
            raised = raised + self.blob * (-points.square().sum(-1) / (2 * self.blob_radius**2)).exp()
        density = _Exponential.apply(raised) if self.density == "exp" else functional.softplus(raised)
        return density * occupied(weights[OCCUPANCY], points) if OCCUPANCY in weights else density

    def describe(self) -> dict[str, Any]:
        """Return what `Field.build` makes an equal field from, ready for JSON."""
        name = next(name for name, kind in ENCODERS.items() if isinstance(self.encoder, kind))
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return own | {"encoder": {"name": name, **dataclasses.asdict(self.encoder)}}  # type: ignore[call-overload]

    @staticmethod
    def build(description: dict[str, Any]) -> "Field":
        """Return the field that `describe` described.

        Raises:
            UnknownNameError: if the encoder is not known.

        Example:
            >>> Field.build(Field(width=8).describe()) == Field(width=8)
            True
        """
        settings = dict(description["encoder"])
        name = settings.pop("name")
        if name not in ENCODERS:
            raise UnknownNameError("encoder", name, ENCODERS)
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
        return Field(**{**description, "encoder": ENCODERS[name](**lists)})


def linear(weights: Weights, layer: str, x: Tensor) -> Tensor:
    """Apply a layer of each scene to its own points, `(S, P, F)`."""
    return torch.baddbmm(weights[f"{layer}.bias"][:, None], x, weights[f"{layer}.weight"].mT)


def occupied(mask: Tensor, points: Tensor) -> Tensor:
    """Return whether each of the points `(S, P, 3)` lies in a cell where the mask `(S, G, G, G)` is True, `(S, P)`."""
    cells = mask.shape[-1]
    x, y, z = ((points + 1) * (cells / 2)).long().clamp_(0, cells - 1).unbind(-1)
    return mask.flatten(1).gather(1, (x * cells + y) * cells + z)


def of_scene(weights: Weights, scene: int) -> Weights:
    """Return the weights of one scene, with S = 1."""
    return {name: value if len(value) == 1 else value[scene : scene + 1] for name, value in weights.items()}


def without_mask(weights: Weights) -> Weights:
    """Return the weights that say the density everywhere."""
    return {name: value for name, value in weights.items() if name != OCCUPANCY}


def harmonics(directions: Tensor) -> Tensor:
    """Return the real spherical harmonics up to degree 2, without their constants, of `(..., 3)`: `(..., 9)`."""
    x, y, z = directions.unbind(-1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], dim=-1)


class _Exponential(torch.autograd.Function):
    """The exponential, cut off where it and its gradient would grow without bound."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(max=_LARGEST).exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.saved_tensors[0]
