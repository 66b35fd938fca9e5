"""Continual learning with a hypernetwork: a code for each task of a sequence, and weights for old codes that stay.

Axis letters: T sequences, K tasks seen, N support, Q query, C classes, D target features, E code, F norm features.
"""

from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from metaprior.controls.tuning import tune
from metaprior.errors import MetapriorError, check_positive
from metaprior.hyper.dynamic import DynamicHypernetwork
from metaprior.hyper.hypernetwork import GeneratorName, Hypernetwork
from metaprior.nets import apply_per_task, default_net
from metaprior.nets.norm import Statistics, builtin_norms
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tree import Tree, map_tensors

__all__ = ["ContinualHypernet", "Learned"]


class Learned(NamedTuple):
    """The belief of a continual hypernetwork.

    Args:
        weights: its parameters, each `(T, *shape)`, the code that it now uses among them.
        statistics: mean and variance `(T, F)` that each batch norm now uses; empty before any task.
        codes: `(T, K, E)`, the code of each task that it has seen.
        kept: the statistics of each task that it has seen, `(T, K, F)`.
    """

    weights: dict[str, Tensor]
    statistics: Statistics
    codes: Tensor
    kept: Statistics


@priors.register("continual_hypernet")
class ContinualHypernet(Prior):
    """Learn a sequence of tasks, each `observe` one of them, without forgetting: old codes must give the old weights.

    A task trains its code and the generator; a penalty on what the generator writes for the codes of earlier tasks,
    compared with what it wrote before, keeps those. No example of an earlier task is kept. What is predicted is the
    task learned last; `recall` turns to another, `universal` to all at once, and `guess` finds the task by itself.

    Args:
        net: from `(N, *x)` to logits `(N, C)` or values `(N, D)`; it is generated. Or a `Hypernetwork`, of which what
            is not generated stays as it is.
        generator: "low_rank", "linear", "factorised", "multiplicative", "templates" or "chunked".
        code_size: E.
        hidden: hidden units of the generator.
        steps: of Adam on each task.
        learning_rate: of Adam.
        penalty: how strongly the weights of earlier tasks are held.
        half_width: of the interval around each code, all points of which are trained to serve the task; 0 for points.
            What all intervals share may then serve all tasks.

    Source: von Oswald et al. 2020 (arXiv 1906.00695), eq. 2, without its look-ahead; intervals: Krukowski et al. 2024
    (HyperInterval, arXiv 2405.15444). Differs: an interval is trained at random corners of its box instead of by
    interval arithmetic, which would need every layer of the network rewritten, so that nothing is guaranteed of the
    points between; all intervals are of one width.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = ContinualHypernet(MLP(inputs=1, outputs=1), steps=200)
        >>> x = torch.linspace(-1, 1, 8)[None, :, None]
        >>> first = prior.observe(prior.start(1), Examples(x, x))
        >>> second = prior.observe(first, Examples(x, -x))
        >>> drift = (prior.predict(prior.recall(second, 0), x) - prior.predict(first, x)).abs().max()
        >>> bool(drift < 0.1)
        True
    """

    learns: ClassVar[bool] = False

    def __init__(
        self,
        net: nn.Module,
        generator: GeneratorName = "low_rank",
        code_size: int = 16,
        hidden: int = 32,
        steps: int = 200,
        learning_rate: float = 1e-3,
        penalty: float = 1.0,
        half_width: float = 0.0,
    ):
        super().__init__()
        check_positive(steps=steps, learning_rate=learning_rate)
        if min(penalty, half_width) < 0:
            raise MetapriorError(f"penalty, half_width: expected 0 or more, got {penalty} and {half_width}")
        if not isinstance(net, Hypernetwork):
            net = Hypernetwork(net, generator, code_size, hidden, seed=getattr(net, "seed", 0))
        if isinstance(net, DynamicHypernetwork):
            raise MetapriorError("net: expected a hypernetwork whose code alone decides, got a dynamic one")
        if builtin_norms(net):
            raise MetapriorError("net: expected metaprior.nets.BatchNorm for torch's own: replace_builtin_norms(net)")
        self.net = net
        # What is not generated would be forgotten: no penalty holds it.
        self.net.net.requires_grad_(False)
        self.generator = generator
        self.code_size = code_size
        self.hidden = hidden
        self.steps = steps
        self.learning_rate = learning_rate
        self.penalty = penalty
        self.half_width = half_width

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of as many outputs as the tasks have."""
        return cls(default_net(spec, spec.outputs, seed) if net is None else net, **arguments)

    def start(self, tasks: int, about: Tree = None) -> Learned:
        """Return the initial weights for each of T sequences, and no codes of tasks."""
        own = {name: value for name, value in self.net.named_parameters() if not name.startswith("net.")}
        weights = {name: value.expand(tasks, *value.shape) for name, value in own.items()}
        return Learned(weights, (), self.net.code.new_zeros(tasks, 0, len(self.net.code)), ())

    def observe(self, state: Learned, examples: Examples) -> Learned:
        """Learn one more task from labelled examples: `x` is `(T, N, *x)`.

        Raises:
            ShapeError: if `examples` and `state` disagree on T, or a class id exceeds the outputs of the network.
        """
        check_tasks(state.codes, examples)
        written = self._written(state.weights, state.codes)
        random = torch.Generator().manual_seed(self.net.seed + state.codes.shape[1])

        def extra(weights: dict[str, Tensor]) -> Tensor:
            loss = weights["code"].new_zeros(examples.tasks)
            if self.half_width:
                corner = weights | {"code": weights["code"] + self._corner(random)}
                loss = loss + task_losses(apply_per_task(self.net, corner, examples.x, mask=examples.mask)[0], examples)
            if self.half_width and state.codes.shape[1]:
                corners = state.codes + self._corner(random)
                loss = loss + self._drift(self._written(weights, corners), self._written(state.weights, corners))
            return loss + self._drift(self._written(weights, state.codes), written)

        first = state.weights | {"code": self.net.code.expand(examples.tasks, -1)}
        trained, statistics = tune(self.net, first, examples, self.steps, self.learning_rate, penalty=extra)
        new = {"codes": trained["code"], "kept": statistics}
        old = {"codes": state.codes, "kept": state.kept} if state.codes.shape[1] else map_tensors(_none, new)
        both = map_tensors(lambda before, now: torch.cat([before, now[:, None]], dim=1), old, new)
        return Learned(trained, statistics, both["codes"], both["kept"])

    def predict(self, state: Learned, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` for the task learned last, or recalled."""
        return apply_per_task(self.net, state.weights, x, state.statistics or None)[0]

    def recall(self, state: Learned, task: int) -> Learned:
        """Turn to the task that was learned as number `task`, from 0 on; negative numbers count from the last.

        Raises:
            MetapriorError: if there is no such task.
        """
        seen = state.codes.shape[1]
        if not seen:
            raise MetapriorError("state: expected one task learned, or more; got none")
        if not -seen <= task < seen:
            raise MetapriorError(f"task: expected a number from 0 to {seen - 1}, since {seen} were learned; got {task}")
        statistics = map_tensors(lambda leaf: leaf[:, task], state.kept)
        return state._replace(weights=state.weights | {"code": state.codes[:, task]}, statistics=statistics)

    def universal(self, state: Learned) -> Learned:
        """Turn to the middle of what the intervals of all tasks share, where one network may serve every task.

        Its batch norms use the means of the statistics of all tasks.
        """
        if not state.codes.shape[1]:
            return state
        middle = (state.codes.amax(1) + state.codes.amin(1)) / 2
        statistics = map_tensors(lambda leaf: leaf.mean(1), state.kept)
        return state._replace(weights=state.weights | {"code": middle}, statistics=statistics)

    def guess(self, state: Learned, x: Tree) -> tuple[Tensor, Tensor]:
        """Predict without being told the task: each query by the code whose prediction is the surest.

        Returns:
            Logits `(T, Q, C)`, and the number of the task chosen `(T, Q)`.

        Raises:
            MetapriorError: if nothing was learned.

        Source: von Oswald et al. 2020, section 2.3: the least entropy.
        """
        if not state.codes.shape[1]:
            raise MetapriorError("state: expected one task learned, or more; got none")
        every = torch.stack([self.predict(self.recall(state, task), x) for task in range(state.codes.shape[1])], dim=-1)
        if every.shape[2] < 2:
            raise MetapriorError("state: expected tasks of two classes or more; a value says nothing of how sure it is")
        entropies = torch.special.entr(every.softmax(2)).sum(2)
        chosen = entropies.argmin(-1)
        return every.gather(3, chosen[..., None, None].expand(*every.shape[:3], 1))[..., 0], chosen

    def _written(self, weights: dict[str, Tensor], codes: Tensor) -> dict[str, Tensor]:
        """Return what the generators `(T, ...)` write for codes `(T, K, E)`: parameters, each `(T, K, *shape)`."""
        if not codes.shape[1]:
            return {}
        prefix = "writer."
        writers = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}

        def write(writer: dict[str, Tensor], codes: Tensor) -> dict[str, Tensor]:
            return vmap(lambda code: functional_call(self.net.writer, writer, (code,)))(codes)

        return vmap(write)(writers, codes)

    def _drift(self, now: dict[str, Tensor], before: dict[str, Tensor]) -> Tensor | float:
        """Return the penalty `(T,)` on what changed between written parameters, a mean over the K tasks."""
        changes = [(now[name] - before[name]).square().flatten(2).sum(2).mean(1) for name in now]
        return self.penalty * sum(changes)

    def _corner(self, random: torch.Generator) -> Tensor:
        """Return the way `(E,)` from the centre of an interval to one of its corners, the same for all tasks."""
        signs = 2 * torch.randint(2, (len(self.net.code),), generator=random) - 1
        return self.half_width * signs.to(self.net.code)


def _none(leaf: Tensor) -> Tensor:
    return leaf[:, None][:, :0]
