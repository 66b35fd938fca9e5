"""HyperFields: a prior that writes the weights of a radiance field from a prompt.

Axis letters: T scenes, L tokens, D text features, E code, P probe points, F features, Q rays.
"""

import importlib.util
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, ShapeError, UnknownNameError, check_positive
from metaprior.fields.cameras import Rays
from metaprior.fields.distil import point_losses
from metaprior.fields.encoders import TriPlane
from metaprior.fields.field import OCCUPANCY, Field, Weights, linear
from metaprior.fields.occupancy import between
from metaprior.fields.quality import collapse
from metaprior.fields.render import render
from metaprior.fields.source import Scenes
from metaprior.fields.text import encode
from metaprior.fields.writers import png, sheet
from metaprior.hyper.generators import GENERATORS
from metaprior.prior import Preview, Prior
from metaprior.registry import nets, priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tasks.source import TaskSource
from metaprior.tree import Tree

__all__ = ["FieldState", "HyperFieldNet", "HyperFields"]

GeneratorName = Literal["low_rank", "multiplicative", "linear", "factorised", "chunked"]
Writes = Literal["weights", "biases"]
Adapts = Literal["code", "weights"]
_WRITES = ("weights", "biases")
_ADAPTS = ("code", "weights")
_PLANE_RATE = 10.0
"""Planes are kept smaller than they are used, so that one step of the outer optimiser changes them by so much more."""
_LEAST_VARIANCE = 1e-5
_EMPTY = 0.1
"""The density below which acquisition takes a place for empty: fog of it hides a tenth of what lies one unit behind."""
_OPEN = 8
"""One ray of so many is followed through empty space too, so that something may come to be there."""
_SHOWN, _PREVIEW = 8, 48
"""How many fields a preview shows, and its size in pixels."""


class FieldState(NamedTuple):
    """What is believed of T scenes.

    Args:
        code: `(T, E)`, what the prompt was read as.
        weights: of the perceptron of each field, each `(T, ...)`.
    """

    code: Tensor
    weights: Weights


@nets.register("hyper_field")
class HyperFieldNet(nn.Module):
    """From text features to the weights of a field: a transformer, then a generator for each layer.

    The planes of features that fields begin with are shared by all scenes and not generated.

    Args:
        text_size: D; 64 for the encoder "words", 384 for "minilm".
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
        >>> net = HyperFieldNet(text_size=64, cells=8)
        >>> weights = net.write(net.read(*encode(["a red torus", "a blue box"])))
        >>> weights["layers.0.weight"].shape
        torch.Size([2, 64, 75])
    """

    probe_points: Tensor
    probe_directions: Tensor

    def __init__(
        self,
        text_size: int = 64,
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
        self.project = nn.utils.skip_init(nn.Linear, text_size, code_size)
        form = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.layers = nn.ModuleList(
            nn.utils.skip_init(nn.TransformerEncoderLayer, code_size, heads, 2 * code_size, **form)
            for _ in range(depth)
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


@priors.register("hyperfields")
class HyperFields(Prior):
    """A prior over scenes that writes a radiance field from a prompt; it may then be refined on a few rays.

    The weights of a field depend on its prompt alone, so that it makes no difference which rays are asked together.

    Args:
        net: writes the fields.
        text: the text encoder that prompts go through; see `metaprior.fields.text.encode`.
        samples: of a ray, in acquisition and in `predict`.
        culling: cells along each side of the mask by which acquisition leaves out what is empty as yet; 0 for none.
        inner_steps: gradient steps on the support set; 0 for the prompt alone.
        adapts: what they change: the "code", from which the weights are written again; or the "weights".
        step_size: of the inner steps.

    Source: Babu et al. 2024 (HyperFields, arXiv 2310.17075). Differs: activations are those of fixed probe points
    instead of the present batch of rays, and their spread is seen beside their mean; the prompt has its say through the
    weights alone, and no part of its features is given to the layers of the field.

    Example:
        >>> prior = HyperFields(HyperFieldNet(text_size=64, cells=8, width=16, hidden=1), samples=8)
        >>> state = prior.start(2, about=["a red torus", "a blue box"])
        >>> prior.predict(state, torch.rand(2, 5, 6)).shape
        torch.Size([2, 5, 4])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"rays"})
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 1e-3, "tasks_per_step": 4}

    def __init__(
        self,
        net: nn.Module,
        text: str = "words",
        samples: int = 48,
        culling: int = 16,
        inner_steps: int = 0,
        adapts: Adapts = "code",
        step_size: float = 0.1,
    ):
        super().__init__()
        check_positive(samples=samples, step_size=step_size)
        if not isinstance(net, HyperFieldNet):
            raise MetapriorError(f"net: expected a HyperFieldNet, got {type(net).__name__}")
        if adapts not in _ADAPTS:
            raise UnknownNameError("choice for adapts", adapts, _ADAPTS)
        if min(inner_steps, culling) < 0:
            raise MetapriorError(f"inner_steps, culling: expected at least 0, got {inner_steps} and {culling}")
        self.net: HyperFieldNet = net
        self.text = text
        self.samples = samples
        self.culling = culling
        self.inner_steps = inner_steps
        self.adapts = adapts
        self.step_size = step_size

    @property
    def first_order(self) -> bool:
        """Whether gradients leave out how the weights of a layer change those of the next."""
        return self.net.dynamic and self.net.stop_gradient

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build the prior for scenes; the default network has the size of the text encoder's features."""
        if net is None:
            features = encode(["a"], arguments.get("text", "words")).tokens.shape[-1]
            net = HyperFieldNet(features, seed=seed)
        return cls(net, **arguments)

    def start(self, tasks: int, about: Tree = None) -> FieldState:
        """Write the fields of T prompts.

        Args:
            tasks: T.
            about: T prompts; or text features `{"tokens": (T, L, D), "mask": (T, L)}`; or None, for no prompt.

        Raises:
            ShapeError: if there are not T of them, or their features are not those that the network reads.
        """
        if about is None:
            code = self.net.blank.expand(tasks, -1)
        else:
            if isinstance(about, Sequence) and all(isinstance(prompt, str) for prompt in about):
                features = encode(about, self.text)
                about = {"tokens": features.tokens.to(self.net.blank), "mask": features.mask.to(self.net.blank.device)}
            tokens, mask = about["tokens"], about["mask"]
            if len(tokens) != tasks or tokens.shape[-1] != self.net.text_size:
                wanted = f"(T, L, D) with T = {tasks} and D = {self.net.text_size}"
                raise ShapeError(f"about: expected tokens of shape {wanted}, got {tuple(tokens.shape)}")
            code = self.net.read(tokens, mask)
        return FieldState(code, self.net.write(code))

    def observe(self, state: FieldState, examples: Examples) -> FieldState:
        """Refine fields by gradient steps on what rays `(T, N, 6)` see, `(T, N, 4)`; None of them, unless asked for."""
        check_tasks(state.code, examples)
        differentiable = torch.is_grad_enabled()
        for _ in range(self.inner_steps):
            with torch.enable_grad():
                changed = {"code": state.code} if self.adapts == "code" else state.weights
                if not differentiable:
                    changed = {name: value.detach().requires_grad_() for name, value in changed.items()}
                trial = self._with(state, changed)
                total = task_losses(self.predict(trial, examples.x), examples).sum()
                slopes = torch.autograd.grad(total, list(changed.values()), create_graph=differentiable)
            moved = {
                name: value - self.step_size * slope
                for (name, value), slope in zip(changed.items(), slopes, strict=True)
            }
            state = self._with(state, moved if differentiable else {name: own.detach() for name, own in moved.items()})
        return state

    def predict(self, state: FieldState, x: Tensor) -> Tensor:
        """Return colour in front of black, and opacity, `(T, Q, 4)`, along rays `(T, Q, 6)`."""
        return self._seen(self.net.whole(state.weights), x)

    def loss(self, episode: Episode) -> Tensor:
        """Return the mean squared error of colours and opacities along the rays of the queries.

        Where a field is empty as yet is left out along seven rays of eight; nothing is kept from step to step. If what
        is known of the tasks says that they are of points, fields are compared there, and nothing is rendered.
        """
        state = self.observe(self.start(episode.tasks, episode.about), episode.support)
        weights, x = self.net.whole(state.weights), episode.query.x
        if isinstance(episode.about, dict) and "points" in episode.about:
            return point_losses(self.net.field, weights, episode.query).mean()
        if not self.culling:
            return task_losses(self._seen(weights, x), episode.query).mean()
        mask = {OCCUPANCY: between(self.net.field, weights, self.culling, _EMPTY)}
        place = torch.arange(x.shape[1], device=x.device)
        parts = [place[place % _OPEN == 0], place[place % _OPEN != 0]]
        seen = [self._seen(own, x[:, part]) for own, part in zip((weights, weights | mask), parts, strict=True)]
        prediction = torch.cat(seen, dim=1)[:, torch.cat(parts).argsort()]
        return task_losses(prediction, episode.query).mean()

    def preview(self, source: TaskSource) -> Preview | None:
        """Return prompts that are seen in acquisition, as their teachers show them and as the fields do."""
        if not isinstance(source, Scenes) or importlib.util.find_spec("PIL") is None:
            return None
        prompts = source.prompts()[:: max(len(source.prompts()) // _SHOWN, 1)][:_SHOWN]
        truth = [source.pictures(prompt).resized(min(source.size, _PREVIEW)) for prompt in prompts]
        with torch.no_grad():
            weights = self.net.whole(self.start(len(prompts), about=prompts).weights)
            weights |= {OCCUPANCY: between(self.net.field, weights, 2 * self.culling or 32, _EMPTY)}
            device = self.net.blank.device
            rays = torch.cat(list(truth[0].cameras.rays()), dim=-1).to(device)
            seen = self._seen(weights, rays.expand(len(prompts), -1, -1)).cpu()
        width, height = truth[0].cameras.width, truth[0].cameras.height
        seen = seen.unflatten(1, (height, width))
        wanted = torch.stack([torch.cat([own.colour, own.opacity[..., None]], dim=-1)[0] for own in truth])
        rows = [list(part[..., :3] + 1 - part[..., 3:]) for part in (wanted, seen)]
        return Preview(png(sheet(rows, ["teachers", "fields"])), collapse(seen, wanted))

    def _seen(self, weights: Weights, x: Tensor) -> Tensor:
        seen = render(self.net.field, weights, Rays(x[..., :3], x[..., 3:]), self.samples)
        return torch.cat([seen.colour, seen.opacity[..., None]], dim=-1)

    def field_weights(self, state: FieldState) -> Weights:
        """Return all weights of the fields of a belief, to render or to write to files."""
        return {name: value.detach() for name, value in self.net.whole(state.weights).items()}

    def _with(self, state: FieldState, changed: Weights) -> FieldState:
        if self.adapts == "code":
            return FieldState(changed["code"], self.net.write(changed["code"]))
        return state._replace(weights=changed)


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
