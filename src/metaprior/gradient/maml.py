"""Model-agnostic meta-learning: initial weights from which a few gradient steps lead to a good model of a task.

Axis letters: T tasks, N support, Q query, C classes, D target features, F norm features.
"""

import re
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from metaprior.errors import MetapriorError, check_pattern, check_positive
from metaprior.nets import apply_per_task, best_chunk, builtin_norms, default_net
from metaprior.nets.norm import Statistics, sees_batch
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import KINDS, task_losses
from metaprior.tree import Tree, map_chunks

__all__ = ["MAML", "FastWeights"]


class FastWeights(NamedTuple):
    """The belief of a gradient-based prior.

    Args:
        weights: the parameters that a task may change, each `(T, *shape)`.
        statistics: mean and variance `(T, F)` that each batch norm saw in the support; empty before any example.
    """

    weights: dict[str, Tensor]
    statistics: Statistics


@priors.register("maml")
class MAML(Prior):
    """Initial weights acquired so that `inner_steps` of gradient descent on the support set fit a task.

    Args:
        net: from `(N, *x)` to logits `(N, C)`, of pixels `(N, C, H, W)`, or values `(N, D)`.
        inner_steps: gradient steps on the support set.
        step_size: of the inner steps, at the beginning if they are acquired; None for 0.01, or what `for_tasks` chose.
        first_order: leave second derivatives out of the outer gradient.
        adapted: a regular expression; only parameters with a matching name are adapted, the others are shared.
        transductive: let batch norms normalise queries by the queries' own statistics, as most published code does,
            instead of by those of the support set alone.
        test_steps: inner steps in evaluation mode; None for `inner_steps`.
        chunk: how many tasks are computed at once: 1 loops over tasks, a larger number maps over so many of them,
            "auto" loops for convolutions on a CPU and else takes all at once. Results do not depend on it.
        save_memory: keep the weights alone after each inner step, and compute the rest again in the backward pass;
            None for False, or True where `for_tasks` builds an `OnlineMAML`.

    Source: Finn et al. 2017 (arXiv 1703.03400), algorithm 2. Differs: batch statistics come from the support set
    unless `transductive`; before any example a net with batch norm can only use the statistics of its queries.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = MAML(MLP(inputs=1, outputs=1), inner_steps=2, step_size=0.01)
        >>> state = prior.observe(prior.start(4), Examples(torch.zeros(4, 10, 1), torch.ones(4, 10, 1)))
        >>> prior.predict(state, torch.zeros(4, 7, 1)).shape
        torch.Size([4, 7, 1])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({*KINDS, "rays"})

    def __init__(
        self,
        net: nn.Module,
        inner_steps: int = 1,
        step_size: float | None = None,
        first_order: bool = False,
        adapted: str = ".*",
        transductive: bool = False,
        test_steps: int | None = None,
        chunk: int | Literal["auto"] = "auto",
        save_memory: bool | None = None,
    ):
        super().__init__()
        check_positive(chunk=None if chunk == "auto" else chunk)
        if min(inner_steps, 0 if test_steps is None else test_steps) < 0:
            raise MetapriorError(f"inner_steps, test_steps: expected 0 or more, got {inner_steps} and {test_steps}")
        self.net = net
        self.inner_steps = inner_steps
        self.step_size = step_size
        self.first_order = first_order
        self.adapted = adapted
        self.transductive = transductive
        self.test_steps = test_steps
        self.chunk = chunk
        self.save_memory = bool(save_memory)
        if norms := builtin_norms(net):
            raise MetapriorError(
                f"net: '{norms[0]}' is one of torch's own batch or instance norms, whose second derivatives are wrong "
                "under vmap; expected metaprior.nets.BatchNorm: metaprior.nets.replace_builtin_norms(net)"
            )
        check_pattern(adapted=adapted)
        if not self._adapted_names():
            names = ", ".join(name for name, _ in net.named_parameters())
            raise MetapriorError(f"adapted: expected a pattern that matches a parameter of {names}; got '{adapted}'")
        self._prepare()

    def _prepare(self) -> None:
        """Add what a variant of the method acquires beside the initial weights."""

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of as many outputs as the tasks have; steps have size 0.01 for regression, else 0.1."""
        if arguments.get("step_size") is None:
            arguments["step_size"] = 0.01 if spec.kind == "regression" else 0.1
        return cls(default_net(spec, spec.outputs, seed) if net is None else net, **arguments)

    @property
    def chunk_size(self) -> int | None:
        """How many tasks are computed at once; None for all of them."""
        return best_chunk(self.net) if self.chunk == "auto" else self.chunk

    def start(self, tasks: int, about: Tree = None) -> FastWeights:
        """Return the initial weights for each of T tasks."""
        own = dict(self.net.named_parameters())
        return FastWeights({name: own[name].expand(tasks, *own[name].shape) for name in self._adapted_names()}, ())

    def observe(self, state: FastWeights, examples: Examples) -> FastWeights:
        """Take gradient steps on the support set of each task.

        Args:
            state: fast weights, each `(T, *shape)`.
            examples: `x` is `(T, N, *x)`, `y` is `(T, N)` class ids or `(T, N, D)` targets, `mask` is `(T, N)`.

        Returns:
            New fast weights of the same shapes; `state` is left as it was.

        Raises:
            ShapeError: if `examples` and `state` disagree on T, or a class id exceeds the outputs of the network.
        """
        check_tasks(next(iter(state.weights.values())), examples)
        differentiable = torch.is_grad_enabled() and not self.first_order

        def adapt(state: FastWeights, examples: Examples) -> FastWeights:
            weights = state.weights
            for step in range(self.steps):
                if self.save_memory and differentiable:
                    weights = checkpoint(self._inner_step, weights, examples, step, True, use_reentrant=False)
                else:
                    weights = self._inner_step(weights, examples, step, differentiable)
            return FastWeights(weights, self._support_statistics(weights, examples))

        return map_chunks(adapt, self.chunk_size, state, examples)

    @property
    def steps(self) -> int:
        """The number of inner steps in the present mode, training or evaluation."""
        return self.inner_steps if self.training or self.test_steps is None else self.test_steps

    def predict(self, state: FastWeights, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` of the adapted networks."""
        given = None if self.transductive or not state.statistics else state.statistics

        def run(weights: dict[str, Tensor], given: Statistics | None, x: Tree) -> Tensor:
            return apply_per_task(self.net, weights, x, given)[0]

        return map_chunks(run, self.chunk_size, state.weights, given, x)

    def step_sizes(self, step: int) -> dict[str, Tensor | float]:
        """Return the step size of each adapted parameter at an inner step."""
        return dict.fromkeys(self._adapted_names(), self._first_size)

    @property
    def _first_size(self) -> float:
        return 0.01 if self.step_size is None else self.step_size

    def _adapted_names(self) -> list[str]:
        return [name for name, _ in self.net.named_parameters() if re.search(self.adapted, name)]

    def _inner_step(
        self, weights: dict[str, Tensor], examples: Examples, step: int, differentiable: bool
    ) -> dict[str, Tensor]:
        sizes = self.step_sizes(step)
        with torch.enable_grad():
            # Without second derivatives the gradient is taken at copies, and reaches the outer loss as a constant.
            here = {
                name: weight if differentiable and weight.requires_grad else weight.detach().requires_grad_()
                for name, weight in weights.items()
            }
            prediction, _ = apply_per_task(self.net, here, examples.x, mask=examples.mask)
            gradients = torch.autograd.grad(
                task_losses(prediction, examples).sum(),
                [here[name] for name in sizes],
                create_graph=differentiable,
                allow_unused=True,
                materialize_grads=True,
            )
        return weights | {
            name: _descend(weights[name], sizes[name], gradient)
            for name, gradient in zip(sizes, gradients, strict=True)
        }

    def _support_statistics(self, weights: dict[str, Tensor], examples: Examples) -> Statistics:
        if self.transductive or not sees_batch(self.net):
            return ()
        return apply_per_task(self.net, weights, examples.x, mask=examples.mask)[1]


def _descend(weight: Tensor, size: Tensor | float, gradient: Tensor) -> Tensor:
    if isinstance(size, Tensor):
        return weight - size * gradient
    return torch.sub(weight, gradient, alpha=size)


priors.preset("fomaml", "maml", first_order=True)
# Raghu et al. 2020 (arXiv 1909.09157): the inner loop changes the last layer alone.
priors.preset("anil", "maml", adapted=r"^head\.")
