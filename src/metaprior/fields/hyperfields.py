"""HyperFields: a prior that writes the weights of a radiance field from a prompt.

Axis letters: T scenes, L tokens, D text features, E code, P probe points, F features, Q rays.
"""

import importlib.util
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, ShapeError, UnknownNameError, check_positive
from metaprior.fields.cameras import Rays
from metaprior.fields.distil import point_losses
from metaprior.fields.field import OCCUPANCY, Weights
from metaprior.fields.hyper_field_net import HyperFieldNet
from metaprior.fields.known import rays_of
from metaprior.fields.occupancy import between
from metaprior.fields.quality import collapse
from metaprior.fields.render import render
from metaprior.fields.source import Scenes
from metaprior.fields.text import ENCODER, encode, features_of
from metaprior.fields.writers import png, sheet
from metaprior.prior import Preview, Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tasks.source import TaskSource
from metaprior.tree import Tree

__all__ = ["FieldState", "HyperFields"]

Adapts = Literal["code", "weights"]
_ADAPTS = ("code", "weights")
_EMPTY = 0.1
"""The density below which acquisition takes a place for empty: fog of it hides a tenth of what lies one unit behind."""
_OPEN = 8
"""One ray of so many is followed through empty space too, so that something may come to be there."""
_SURE = 1e-5
"""Opacities nearer to 0 or 1 than this have the entropy of this, and no gradient."""
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
        depth_weight: what the squared error of depth counts, where tasks tell it; see `Scenes`.
        entropy_weight: what the entropy of opacity counts, where pictures teach: rays are to meet something or nothing.

    Source: Babu et al. 2024 (HyperFields, arXiv 2310.17075). Differs: activations are those of fixed probe points
    instead of the present batch of rays, and their spread is seen beside their mean; the prompt has its say through the
    weights alone, and no part of its features is given to the layers of the field. Acquisition lets the learning rate
    fall along a half cosine unless told otherwise; the reference's schedule is `acquire` with `learning_rate=1e-4`,
    `warm_up=100`, `tenth=100_000` and `average=0.95`, and `entropy_weight=1e-4` here. There the learning rate is a
    thousandth of its top while it warms up, here it rises evenly, and planes have ten times as much in both.

    Example:
        >>> prior = HyperFields(HyperFieldNet(text_size=64, cells=8, width=16, hidden=1), "words", samples=8)
        >>> state = prior.start(2, about=["a red torus", "a blue box"])
        >>> prior.predict(state, torch.rand(2, 5, 6)).shape
        torch.Size([2, 5, 4])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"rays"})
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 1e-3, "tasks_per_step": 4}

    def __init__(
        self,
        net: nn.Module,
        text: str = ENCODER,
        samples: int = 48,
        culling: int = 16,
        inner_steps: int = 0,
        adapts: Adapts = "code",
        step_size: float = 0.1,
        depth_weight: float = 0.01,
        entropy_weight: float = 0.0,
    ):
        super().__init__()
        check_positive(samples=samples, step_size=step_size)
        if not isinstance(net, HyperFieldNet):
            raise MetapriorError(f"net: expected a HyperFieldNet, got {type(net).__name__}")
        if adapts not in _ADAPTS:
            raise UnknownNameError("choice for adapts", adapts, _ADAPTS)
        if min(inner_steps, culling) < 0:
            raise MetapriorError(f"inner_steps, culling: expected at least 0, got {inner_steps} and {culling}")
        if min(depth_weight, entropy_weight) < 0:
            raise MetapriorError(
                f"depth_weight, entropy_weight: expected at least 0, got {depth_weight} and {entropy_weight}"
            )
        self.net: HyperFieldNet = net
        self.text = text
        self.samples = samples
        self.culling = culling
        self.inner_steps = inner_steps
        self.adapts = adapts
        self.step_size = step_size
        self.depth_weight = depth_weight
        self.entropy_weight = entropy_weight

    @property
    def first_order(self) -> bool:
        """Whether gradients leave out how the weights of a layer change those of the next."""
        return self.net.dynamic and self.net.stop_gradient

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build the prior for scenes, with their text encoder; the default network has the size of its features."""
        given = {"text": spec.text or ENCODER} | arguments
        if net is None:
            net = HyperFieldNet(features_of(given["text"]), seed=seed)
        return cls(net, **given)

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
                about = encode(about, self.text)._asdict()
            tokens, mask = about["tokens"].to(self.net.blank), about["mask"].to(self.net.blank.device)
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
        """Return the mean squared error of colours and opacities, and of depth if it is told, along rays of queries.

        Where a field is empty as yet is left out along seven rays of eight; nothing is kept from step to step. If what
        is known of the tasks says that they are of points, fields are compared there, and nothing is rendered.
        """
        state = self.observe(self.start(episode.tasks, episode.about), episode.support)
        weights, x = self.net.whole(state.weights), episode.query.x
        if isinstance(episode.about, dict) and "points" in episode.about:
            return point_losses(self.net.field, weights, episode.query).mean()
        depth = episode.about.get("depth") if isinstance(episode.about, dict) else None
        if not self.culling:
            return self._error(self._along(weights, x), episode.query, depth)
        mask = {OCCUPANCY: between(self.net.field, weights, self.culling, _EMPTY)}
        place = torch.arange(x.shape[1], device=x.device)
        parts = [place[place % _OPEN == 0], place[place % _OPEN != 0]]
        seen = [self._along(own, x[:, part]) for own, part in zip((weights, weights | mask), parts, strict=True)]
        return self._error(torch.cat(seen, dim=1)[:, torch.cat(parts).argsort()], episode.query, depth)

    def _error(self, seen: Tensor, query: Examples, depth: Tensor | None) -> Tensor:
        """Return the loss of what `_along` gave, where depth `(T, Q)` is known with that of depth."""
        error = task_losses(seen[..., :4], query).mean()
        if self.entropy_weight:
            opacity = seen[..., 3].clamp(_SURE, 1 - _SURE)
            entropy = torch.special.entr(opacity) + torch.special.entr(1 - opacity)
            error = error + self.entropy_weight * (entropy * query.real).sum() / query.real.sum().clamp(min=1)
        if depth is None:
            return error
        met = (depth > 0) & query.real
        return error + self.depth_weight * ((seen[..., 4] - depth).square() * met).sum() / met.sum().clamp(min=1)

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
            rays = torch.cat([rays_of(own.cameras) for own in truth]).to(device)
            seen = self._seen(weights, rays).cpu()
        width, height = truth[0].cameras.width, truth[0].cameras.height
        seen = seen.unflatten(1, (height, width))
        wanted = torch.stack([torch.cat([own.colour, own.opacity[..., None]], dim=-1)[0] for own in truth])
        rows = [list(part[..., :3] + 1 - part[..., 3:]) for part in (wanted, seen)]
        return Preview(png(sheet(rows, ["teachers", "fields"])), collapse(seen, wanted))

    def _seen(self, weights: Weights, x: Tensor) -> Tensor:
        return self._along(weights, x)[..., :4]

    def _along(self, weights: Weights, x: Tensor) -> Tensor:
        """Return colour, opacity, and depth by opacity, `(T, Q, 5)`: of what is half seen, half the distance."""
        seen = render(self.net.field, weights, Rays(x[..., :3], x[..., 3:]), self.samples)
        return torch.cat([seen.colour, seen.opacity[..., None], (seen.opacity * seen.depth)[..., None]], dim=-1)

    def field_weights(self, state: FieldState) -> Weights:
        """Return all weights of the fields of a belief, to render or to write to files."""
        return {name: value.detach() for name, value in self.net.whole(state.weights).items()}

    def _with(self, state: FieldState, changed: Weights) -> FieldState:
        if self.adapts == "code":
            return FieldState(changed["code"], self.net.write(changed["code"]))
        return state._replace(weights=changed)
