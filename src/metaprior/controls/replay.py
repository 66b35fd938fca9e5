"""The control of continual learning: ordinary training, with a few earlier examples played again beside each new one.

Axis letters: T tasks, N support, B buffer, R replayed examples, C classes, D target features.
"""

from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from metaprior.controls.pooled import FineTune
from metaprior.errors import MetapriorError, ShapeError, UnknownNameError, check_positive
from metaprior.nets import apply_per_task, best_chunk, builtin_norms, default_net
from metaprior.nets.norm import sees_batch
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tree import Tree, map_chunks, map_tensors, tensors

__all__ = ["Replay", "ReplayScratch", "Replayed"]

_BETAS = (0.9, 0.999)
_EPS = 1e-8


class Replayed(NamedTuple):
    """The belief of fine-tuning with replay.

    Args:
        weights: each `(T, *shape)`.
        means: of the gradients, each `(T, *shape)`; empty for plain gradient steps.
        squares: means of their squares, likewise.
        x: the buffer, `(T, B, *x)`; `(T, 0)` before any example.
        y: its labels, `(T, B)` or `(T, B, D)`.
        seen: `(T,)`, how many examples have come. It is the state of the random numbers too: those for an example are
            drawn from a generator seeded by the number of examples before it.
    """

    weights: dict[str, Tensor]
    means: dict[str, Tensor]
    squares: dict[str, Tensor]
    x: Tree
    y: Tensor
    seen: Tensor


@priors.register("replay")
class Replay(FineTune):
    """Pre-train one network on the pool, then train all of it, with a new head, on each example as it comes.

    Each example is trained on together with some that are drawn from a buffer, which holds a fair sample of all that
    came before. It is acquired on episodes, and follows streams.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`.
        outputs: C or D.
        pool: G, the number of classes of the training tasks together; None where tasks share their targets.
        steps: on each example and those replayed with it.
        learning_rate: of these steps.
        optimiser: "adam", or "sgd" for plain gradient steps.
        buffer: B; none is kept where none is replayed.
        replayed: R, how many are drawn from the buffer beside each new example, with replacement.

    Source: experience replay with a reservoir, Chaudhry et al. 2019 (arXiv 1902.10486), algorithms 1 and 2. Differs:
    it begins with pooled pre-training; `ReplayScratch` does not.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = Replay(MLP(inputs=1), outputs=1, buffer=3)
        >>> state = prior.observe(prior.start(2), Examples(torch.zeros(2, 5, 1), torch.ones(2, 5, 1)))
        >>> state.x.shape, state.seen, prior.predict(state, torch.zeros(2, 7, 1)).shape
        (torch.Size([2, 3, 1]), tensor([5, 5]), torch.Size([2, 7, 1]))
    """

    order_free: ClassVar[bool] = False
    incremental: ClassVar[bool] = True

    def __init__(
        self,
        net: nn.Module,
        outputs: int = 2,
        pool: int | None = None,
        steps: int = 1,
        learning_rate: float = 1e-3,
        optimiser: Literal["adam", "sgd"] = "adam",
        buffer: int = 200,
        replayed: int = 8,
    ):
        super().__init__(net, outputs, pool, steps, learning_rate)
        check_positive(steps=steps, learning_rate=learning_rate, buffer=buffer)
        if replayed < 0:
            raise MetapriorError(f"replayed: expected 0 or more, got {replayed}")
        if optimiser not in ("adam", "sgd"):
            raise UnknownNameError("optimiser", optimiser, ("adam", "sgd"))
        self.optimiser = optimiser
        self.buffer = buffer
        self.replayed = replayed

    def start(self, tasks: int, about: Tree = None) -> Replayed:  # type: ignore[override]
        """Return the pre-trained weights, a new head, and an empty buffer for each of T tasks."""
        weights = super().start(tasks, about).weights
        moments = {name: torch.zeros_like(weight) for name, weight in weights.items() if self.optimiser == "adam"}
        like = next(iter(weights.values()))
        none = like.new_zeros(tasks, 0)
        return Replayed(weights, moments, dict(moments), none, none, none.new_zeros(tasks, dtype=torch.int64))

    def observe(self, state: Replayed, examples: Examples) -> Replayed:  # type: ignore[override]
        """Train on each example in turn, and on some from the buffer; then put it there, or not.

        Raises:
            ShapeError: if `examples` and `state` disagree on T or the shape of inputs, or there are no labels that fit
                the outputs.
        """
        check_tasks(state.seen, examples)
        if examples.y is None:
            raise ShapeError("examples: expected labelled examples, got y = None")
        if not examples.size:
            return state
        if not state.y.shape[1]:
            x, y = map_tensors(
                lambda leaf: leaf.new_zeros(len(leaf), self._kept, *leaf.shape[2:]), (examples.x, examples.y)
            )
            state = state._replace(x=x, y=y)
        for kept, leaf in zip(tensors(state.x), tensors(examples.x), strict=True):
            if kept.shape[2:] != leaf.shape[2:]:
                raise ShapeError(
                    f"examples: expected inputs of shape {tuple(kept.shape[2:])}, as those before, "
                    f"got {tuple(leaf.shape[2:])}"
                )
        return map_chunks(self._trained, best_chunk(self.net), state, examples)

    @property
    def _kept(self) -> int:
        return self.buffer if self.replayed else 0

    def _trained(self, state: Replayed, examples: Examples) -> Replayed:
        # Copies, which may be written to.
        state = map_tensors(lambda leaf: leaf.detach().clone(memory_format=torch.preserve_format), state)
        rows = torch.arange(examples.tasks, device=state.seen.device)
        for step in range(examples.size):
            new = examples.take(slice(step, step + 1))
            chances = self._chances(state.seen)
            played = self._played(state, chances[:, :-1])
            for turn in range(self.steps):
                state = self._stepped(state, new.joined(played), new.real[:, 0], turn)
            # Reservoir sampling: of n examples that came, each is kept with probability B / n.
            place = torch.where(state.seen < self._kept, state.seen, (chances[:, -1] * (state.seen + 1)).long())
            put = rows[(place < self._kept) & new.real[:, 0]]
            for kept, leaf in zip(tensors((state.x, state.y)), tensors((new.x, new.y)), strict=True):
                kept[put, place[put]] = leaf[put, 0]
            state = state._replace(seen=state.seen + new.real[:, 0])
        return state

    def _chances(self, seen: Tensor) -> Tensor:
        """Return random numbers from 0 to 1, `(T, R + 1)`, for the next example of each task."""
        # A prime apart, lest the numbers of one seed be those of the next, an example later.
        seeds = {count: getattr(self.net, "seed", 0) * 1_000_003 + count for count in set(seen.tolist())}
        drawn = {
            count: torch.rand(self.replayed + 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for count, seed in seeds.items()
        }
        return torch.stack([drawn[count] for count in seen.tolist()]).to(seen.device)

    def _played(self, state: Replayed, chances: Tensor) -> Examples:
        """Draw R examples of the buffer of each task, `(T, R, ...)`; none while it is empty."""
        filled = state.seen.clamp(max=self._kept)[:, None]
        places = (chances * filled).long().minimum((filled - 1).clamp(min=0))
        rows = torch.arange(len(places), device=places.device)[:, None]
        x, y = map_tensors(lambda leaf: leaf[rows, places], (state.x, state.y))
        return Examples(x, y, (filled > 0).expand(places.shape))

    def _stepped(self, state: Replayed, batch: Examples, real: Tensor, turn: int) -> Replayed:
        """Take one step of the optimiser on a batch, for tasks whose new example is real."""
        weights = {name: weight.requires_grad_() for name, weight in state.weights.items()}
        with torch.enable_grad():
            prediction, _ = apply_per_task(self._whole[0], weights, batch.x, "running", batch.mask)
            loss = task_losses(prediction, batch).sum()
            gradients = torch.autograd.grad(loss, list(weights.values()))
        count = state.seen * self.steps + turn + 1
        after: tuple[dict[str, Tensor], ...] = ({}, {}, {})
        for (name, weight), gradient in zip(state.weights.items(), gradients, strict=True):
            across = (-1, *[1] * (weight.ndim - 1))
            before: tuple[Tensor, ...] = (weight.detach(),)
            moved: tuple[Tensor, ...] = (before[0] - self.learning_rate * gradient,)
            if self.optimiser == "adam":
                before = (before[0], state.means[name], state.squares[name])
                moved = _adam(
                    *before, gradient=gradient, count=count.view(across).to(gradient), rate=self.learning_rate
                )
            for known, new, old in zip(after, moved, before, strict=False):
                known[name] = torch.where(real.view(across), new, old)
        return state._replace(weights=after[0], means=after[1], squares=after[2])


def _adam(
    weight: Tensor, mean: Tensor, square: Tensor, gradient: Tensor, count: Tensor, rate: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return weight and moments after a step, the `count`-th."""
    mean = mean.lerp(gradient, 1 - _BETAS[0])
    square = square.lerp(gradient.square(), 1 - _BETAS[1])
    unbiased, spread = mean / (1 - _BETAS[0] ** count), (square / (1 - _BETAS[1] ** count)).sqrt()
    return weight - rate * unbiased / (spread + _EPS), mean, square


@priors.register("replay_scratch")
class ReplayScratch(Replay):
    """`Replay` from the initial weights of a network, without pre-training; its network is one without batch norm.

    Takes the arguments of `Replay`, but for `pool`.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = ReplayScratch(MLP(inputs=1), outputs=1)
        >>> prior.predict(prior.start(2), torch.zeros(2, 7, 1)).shape
        torch.Size([2, 7, 1])
    """

    learns: ClassVar[bool] = False
    batch_norm: ClassVar[bool] = False

    def __init__(
        self,
        net: nn.Module,
        outputs: int = 2,
        steps: int = 1,
        learning_rate: float = 1e-3,
        optimiser: Literal["adam", "sgd"] = "adam",
        buffer: int = 200,
        replayed: int = 8,
    ):
        super().__init__(net, outputs, None, steps, learning_rate, optimiser, buffer, replayed)
        if sees_batch(net) or builtin_norms(net):
            raise MetapriorError(
                "net: expected one without batch norm, since examples come one by one; got one with it"
            )

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features; Conv4 has group norm here."""
        net = default_net(spec, None, seed, batch_norm=False) if net is None else net
        return cls(net, **({"outputs": spec.outputs} | arguments))
