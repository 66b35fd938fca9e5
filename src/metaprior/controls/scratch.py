"""The control that knows nothing: a new network for every task.

Axis letters: T tasks, Q query, C classes, D target features.
"""

from typing import Any, ClassVar, Self

from torch import Tensor, nn

from metaprior.controls.tuning import tune, tune_chunk
from metaprior.gradient.maml import FastWeights
from metaprior.nets import apply_per_task, best_chunk, default_net
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tasks.scores import KINDS
from metaprior.tree import Tree, map_chunks

__all__ = ["Scratch"]


@priors.register("scratch")
class Scratch(Prior):
    """Train a network on the support set alone, from its initial weights.

    Args:
        net: from `(N, *x)` to logits `(N, C)`, of pixels `(N, C, H, W)`, or values `(N, D)`.
        steps: of Adam on the support set.
        learning_rate: of Adam.

    Example:
        >>> import torch
        >>> from metaprior.nets import MLP
        >>> prior = Scratch(MLP(inputs=1, outputs=1), steps=3)
        >>> state = prior.observe(prior.start(2), Examples(torch.zeros(2, 5, 1), torch.ones(2, 5, 1)))
        >>> prior.predict(state, torch.zeros(2, 7, 1)).shape
        torch.Size([2, 7, 1])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({*KINDS, "rays"})
    learns: ClassVar[bool] = False

    def __init__(self, net: nn.Module, steps: int = 20, learning_rate: float = 0.01):
        super().__init__()
        self.net = net
        self.steps = steps
        self.learning_rate = learning_rate

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of as many outputs as the tasks have."""
        return cls(default_net(spec, spec.outputs, seed) if net is None else net, **arguments)

    def start(self, tasks: int, about: Tree = None) -> FastWeights:
        """Return the initial weights for each of T tasks."""
        return FastWeights({name: p.expand(tasks, *p.shape) for name, p in self.net.named_parameters()}, ())

    def observe(self, state: FastWeights, examples: Examples) -> FastWeights:
        """Train on the support set of each task."""

        def train(state: FastWeights, examples: Examples) -> FastWeights:
            return FastWeights(*tune(self.net, state.weights, examples, self.steps, self.learning_rate))

        return map_chunks(train, tune_chunk(self.net, examples), state, examples)

    def predict(self, state: FastWeights, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` of the trained networks."""

        def run(state: FastWeights, x: Tree) -> Tensor:
            return apply_per_task(self.net, state.weights, x, state.statistics or None)[0]

        return map_chunks(run, self.chunk_size, state, x)

    @property
    def chunk_size(self) -> int | None:
        """How many tasks are computed at once; None for all of them."""
        return best_chunk(self.net)
