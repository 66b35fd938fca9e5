"""The network of HyperFields: from the tokens of prompts to the weights of radiance fields.

Axis letters: T scenes, L tokens, D text features, E code, P probe points, F features.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, UnknownNameError, check_positive
from metaprior.fields.encoders import TriPlane
from metaprior.fields.field import Field, Weights, linear
from metaprior.hyper.generators import GENERATORS
from metaprior.nets.initialise import uninitialised
from metaprior.registry import nets

__all__ = ["HyperFieldNet"]

GeneratorName = Literal["low_rank", "multiplicative", "linear", "factorised", "chunked"]
Writes = Literal["weights", "biases"]
_WRITES = ("weights", "biases")
_PLANE_RATE = 10.0
"""Planes are kept smaller than they are used, so that one step of the outer optimiser changes them by so much more."""
_LEAST_VARIANCE = 1e-5


@nets.register("hyper_field")
class HyperFieldNet(nn.Module):
    """From text features to the weights of a field: a transformer, then a generator for each layer.

    The planes of features that fields begin with are shared by all scenes and not generated.

    Args:
        text_size: D; 384 for the encoder "minilm", 64 for "words".
        code_size: E.
        units: hidden units of the generators.
        generator: how a layer is written; see `metaprior.hyper.generators`.
        dynamic: let what reaches a layer at fixed probe points have a say in its weights; else the code alone has.
        stop_gradient: let no gradient pass through what reaches the layers; False for the ablation.
        directions: let colour depend on the direction of view; for glossy and iridescent scenes.
        writes: the "weights" of a layer, biases among them; or the "biases" alone, which is one network for all scenes
            that is fed the code at every layer, for comparison.
        probes: P.
        cells: of a plane each way.
        plane_features: channels of a plane.
        octaves: of the sines and cosines beside the planes; None for none.
        width: hidden units of the field.
        hidden: its hidden layers.
        depth: layers of the transformer.
        heads: of its attention.
        seed: of the initial weights.

    Example:
        >>> from metaprior.fields import encode
        >>> net = HyperFieldNet(text_size=64, cells=8)
        >>> weights = net.write(net.read(*encode(["a red torus", "a blue box"], "words")))
        >>> weights["layers.0.weight"].shape
        torch.Size([2, 64, 75])
    """

    probe_points: Tensor
    probe_directions: Tensor

    def __init__(
        self,
        text_size: int = 384,
        code_size: int = 64,
        units: int = 64,
        generator: GeneratorName = "low_rank",
        dynamic: bool = True,
        stop_gradient: bool = True,
        directions: bool = False,
        writes: Writes = "weights",
        probes: int = 256,
        cells: int = 32,
        plane_features: int = 16,
        octaves: int | None = 4,
        width: int = 64,
        hidden: int = 3,
        depth: int = 2,
        heads: int = 4,
        seed: int = 0,
    ):
        super().__init__()
        check_positive(text_size=text_size, code_size=code_size, units=units, probes=probes, hidden=hidden, depth=depth)
        if generator not in GENERATORS or generator == "templates":
            raise UnknownNameError("generator", generator, [name for name in GENERATORS if name != "templates"])
        if writes not in _WRITES:
            raise UnknownNameError("choice for writes", writes, _WRITES)
        if code_size % heads:
            raise MetapriorError(f"code_size: expected a multiple of heads, {heads}; got {code_size}")
        self.text_size = text_size
        self.code_size = code_size
        self.units = units
        self.generator = generator
        self.dynamic = dynamic
        self.stop_gradient = stop_gradient
        self.directions = directions
        self.writes: Writes = writes
        self.probes = probes
        self.cells = cells
        self.plane_features = plane_features
        self.octaves = octaves
        self.width = width
        self.hidden = hidden
        self.depth = depth
        self.heads = heads
        self.seed = seed
        random = torch.Generator().manual_seed(seed)
        encoder = TriPlane(cells, plane_features, octaves)
        self.field = Field(encoder, width, hidden, directions=directions, normalised=True)
        initial = {name: value[0] for name, value in self.field.initial(1, random).items()}
        self.planes = nn.Parameter(initial["encoder.planes"] / _PLANE_RATE)
        self.project = uninitialised(nn.Linear, text_size, code_size)
        form = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.layers = nn.ModuleList(
            uninitialised(nn.TransformerEncoderLayer, code_size, heads, 2 * code_size, **form) for _ in range(depth)
        )
        self.blank = nn.Parameter(torch.zeros(code_size))
        _draw(self, random)
        self.writers = nn.ModuleList()
        self.common = nn.ParameterList()
        for place, layer in enumerate(self.field.layers):
            weight, bias = (initial[f"{layer}.{kind}"] for kind in ("weight", "bias"))
            own = {"bias": bias} if writes == "biases" else {"weight": weight, "bias": bias}
            self.writers.append(GENERATORS[generator](own, code_size, units, seed + place))
            if writes == "biases":
                self.common.append(weight)
        # Zeros: what activations mean is acquired. The first layer has the code alone.
        reaching = [before for before, _ in self.field.layers.values()][1:] if dynamic else []
        self.told = nn.ParameterList(torch.zeros(code_size, 2 * before) for before in reaching)
        self.register_buffer("probe_points", _sobol(probes) * 1.8 - 0.9, persistent=False)
        self.register_buffer("probe_directions", _around(_sobol(probes)), persistent=False)

    def read(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return codes `(T, E)` of tokens `(T, L, D)`, of which those where the mask `(T, L)` is False do not count."""
        x = self.project(tokens) + _positions(tokens.shape[1], self.code_size).to(tokens)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~mask)
        x = x.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True)
        # Of length sqrt(E), as the codes are for which generators keep the spread of the plain network.
        return nn.functional.layer_norm(x, x.shape[-1:]) + self.blank

    def write(self, codes: Tensor) -> Weights:
        """Return the weights of the perceptrons of T fields, from codes `(T, E)` and the probes alone."""
        weights: Weights = {}
        layers = list(self.field.layers)
        units = reached = self.field.encoder(self.shared, self.probe_points[None]).expand(len(codes), -1, -1)
        for place, (layer, writer) in enumerate(zip(layers, self.writers, strict=True)):
            own = codes
            if self.dynamic and place:
                variance, mean = torch.var_mean(reached, dim=1, correction=0)
                seen = torch.cat([mean, (variance + _LEAST_VARIANCE).sqrt()], dim=-1)
                own = codes + (seen.detach() if self.stop_gradient else seen) @ self.told[place - 1].T
            weights |= {f"{layer}.{kind}": value for kind, value in torch.vmap(writer)(own).items()}
            if self.writes == "biases":
                weights[f"{layer}.weight"] = self.common[place].expand(len(codes), -1, -1)
            if not self.dynamic:
                continue
            if place < self.hidden:
                units = reached = self.field.layer(weights, place, units)
            elif layer == "view.0":
                reached = self.field.facing(weights, units, self.probe_directions.expand(len(codes), -1, -1))
            elif layer == "view.1":
                reached = linear(weights, layer, reached).relu()
        return weights

    @property
    def shared(self) -> Weights:
        """The weights of the encoder, as the encoder names them, with the axis S = 1."""
        return {"planes": _PLANE_RATE * self.planes[None]}

    def whole(self, weights: Weights) -> Weights:
        """Return what was written together with what is shared."""
        return {f"encoder.{name}": value for name, value in self.shared.items()} | weights


def _draw(net: nn.Module, random: torch.Generator) -> None:
    """Draw the weights of the transformer, which were not drawn when it was built."""
    for name, value in net.named_parameters():
        if not name.startswith(("project", "layers")):
            continue
        with torch.no_grad():
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape, generator=random) / value.shape[1] ** 0.5)
            else:
                value.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)


def _sobol(count: int) -> Tensor:
    """Return points `(P, 3)` spread evenly over the cube [0, 1]^3, always the same."""
    return torch.quasirandom.SobolEngine(3).draw(count + 1)[1:]


def _around(places: Tensor) -> Tensor:
    """Return directions `(P, 3)` spread evenly over the sphere, from places that are over the cube."""
    height, azimuth = 2 * places[:, 2] - 1, 2 * math.pi * places[:, 0]
    level = (1 - height**2).sqrt()
    return torch.stack([level * azimuth.cos(), level * azimuth.sin(), height], dim=-1)


def _positions(length: int, size: int) -> Tensor:
    """Return sines and cosines that tell places apart, `(L, E)` (Vaswani et al. 2017, section 3.5)."""
    place = torch.arange(length)[:, None]
    rates = 10_000.0 ** -(torch.arange(0, size, 2) / size)
    angles = place * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :size]
