"""HyperFields: a prior that writes the weights of a radiance field from a prompt.

Axis letters: T scenes, L tokens, D text features, E code, P probe points, F features, Q rays.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, ShapeError, UnknownNameError, check_positive
from metaprior.fields.cameras import Rays
from metaprior.fields.encoders import TriPlane
from metaprior.fields.field import Field, Weights
from metaprior.fields.render import render
from metaprior.fields.text import encode
from metaprior.hyper.generators import GENERATORS
from metaprior.prior import Prior
from metaprior.registry import nets, priors
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tree import Tree

__all__ = ["FieldState", "HyperFieldNet", "HyperFields"]

GeneratorName = Literal["low_rank", "multiplicative", "linear", "factorised", "chunked"]
Adapts = Literal["code", "weights"]
_ADAPTS = ("code", "weights")
_PLANE_RATE = 10.0
"""Planes are kept smaller than they are used, so that one step of the outer optimiser changes them by so much more."""
_LEAST_VARIANCE = 1e-5


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
        text_size: D.
        code_size: E.
        units: hidden units of the generators.
        generator: how a layer is written; see `metaprior.hyper.generators`.
        dynamic: let what reaches a layer at fixed probe points have a say in its weights; else the code alone has.
        stop_gradient: let no gradient pass through what reaches the layers; False for the ablation.
        probes: P.
        cells: of a plane each way.
        channels: of a plane.
        width: hidden units of the field.
        hidden: its hidden layers.
        depth: layers of the transformer.
        heads: of its attention.
        seed: of the initial weights.

    Example:
        >>> net = HyperFieldNet(text_size=64, cells=8)
        >>> weights = net.write(net.read(*encode(["a red torus", "a blue box"])))
        >>> weights["layers.0.weight"].shape
        torch.Size([2, 64, 48])
    """

    probe_points: Tensor

    def __init__(
        self,
        text_size: int,
        code_size: int = 64,
        units: int = 64,
        generator: GeneratorName = "low_rank",
        dynamic: bool = True,
        stop_gradient: bool = True,
        probes: int = 256,
        cells: int = 32,
        channels: int = 16,
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
        if code_size % heads:
            raise MetapriorError(f"code_size: expected a multiple of heads, {heads}; got {code_size}")
        self.text_size = text_size
        self.code_size = code_size
        self.units = units
        self.generator = generator
        self.dynamic = dynamic
        self.stop_gradient = stop_gradient
        self.probes = probes
        self.cells = cells
        self.channels = channels
        self.width = width
        self.hidden = hidden
        self.depth = depth
        self.heads = heads
        self.seed = seed
        random = torch.Generator().manual_seed(seed)
        self.field = Field(TriPlane(cells, channels), width, hidden, normalised=True)
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
        for place in range(hidden + 1):
            own = {kind: initial[f"layers.{place}.{kind}"] for kind in ("weight", "bias")}
            self.writers.append(GENERATORS[generator](own, code_size, units, seed + place))
        widths = [self.field.encoder.features, *[width] * hidden] if dynamic else []
        # Zeros: what activations mean is acquired. The first layer has the code alone.
        self.told = nn.ParameterList(torch.zeros(code_size, 2 * reaching) for reaching in widths[1:])
        self.register_buffer("probe_points", _probes(probes), persistent=False)

    def read(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return codes `(T, E)` of tokens `(T, L, D)`, of which those where the mask `(T, L)` is False do not count."""
        x = self.project(tokens) + _positions(tokens.shape[1], self.code_size).to(tokens)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~mask)
        x = x.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True)
        # Of length sqrt(E), as the codes are for which generators keep the spread of the plain network.
        return nn.functional.layer_norm(x, x.shape[-1:]) + self.blank

    def write(self, codes: Tensor) -> Weights:
        """Return the weights of the perceptrons of T fields, from codes `(T, E)` and the probe points alone."""
        weights: Weights = {}
        reached = self.field.encoder(self.shared, self.probe_points[None]).expand(len(codes), -1, -1)
        for place, writer in enumerate(self.writers):
            own = codes
            if self.dynamic and place:
                variance, mean = torch.var_mean(reached, dim=1, correction=0)
                seen = torch.cat([mean, (variance + _LEAST_VARIANCE).sqrt()], dim=-1)
                own = codes + (seen.detach() if self.stop_gradient else seen) @ self.told[place - 1].T
            written = torch.vmap(writer)(own)
            weights |= {f"layers.{place}.{kind}": value for kind, value in written.items()}
            if self.dynamic and place < self.hidden:
                reached = self.field.layer(weights, place, reached)
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
        samples: int = 32,
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
        if inner_steps < 0:
            raise MetapriorError(f"inner_steps: expected at least 0, got {inner_steps}")
        self.net: HyperFieldNet = net
        self.text = text
        self.samples = samples
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
        seen = render(self.net.field, self.net.whole(state.weights), Rays(x[..., :3], x[..., 3:]), self.samples)
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


def _probes(count: int) -> Tensor:
    """Return points `(P, 3)` spread evenly over the cube, always the same."""
    return torch.quasirandom.SobolEngine(3).draw(count + 1)[1:] * 1.8 - 0.9


def _positions(length: int, size: int) -> Tensor:
    """Return sines and cosines that tell places apart, `(L, E)` (Vaswani et al. 2017, section 3.5)."""
    place = torch.arange(length)[:, None]
    rates = 10_000.0 ** -(torch.arange(0, size, 2) / size)
    angles = place * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :size]
