"""Contextual prototypical memory: prototypes of features that a recurrent network has put into context.

Axis letters: T tasks, N support, Q query, C classes, F features, H hidden units.
"""

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.memory.cells import Carried, Cell, linear
from metaprior.metric.features import FeaturePrior, Unseen, fill_unseen, fitted
from metaprior.metric.protonet import Prototypes, add, distances
from metaprior.nets import default_net, width_of
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tree import Tree, map_tensors

__all__ = ["CPM", "Contextual"]


class Contextual(NamedTuple):
    """The belief of a contextual prototypical memory.

    Args:
        context: what the recurrent network carries.
        prototypes: sums and counts of features in context.
    """

    context: Carried
    prototypes: Prototypes


class _Reading(NamedTuple):
    """What the recurrent network makes of an input: features in context, how much each counts, and how novel all is."""

    features: Tensor
    weights: Tensor
    novelty: Tensor


@priors.register("cpm")
class CPM(FeaturePrior):
    """Classify by the distance to class means, in features that depend on where in the stream one is.

    A recurrent network reads the features, and at each step shifts them, says how much each of them counts, and how far
    away a class may be before an input is rather of a new one.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`; without batch norm.
        ways: how many classes to expect; a task with more makes room for them as they are observed.
        hidden: H.
        unseen: as for `ProtoNet`; how novel an input is depends on the context here.

    Source: Ren et al. 2021 (arXiv 2007.04546), section 5. Differs: distances are squared Euclidean ones, one softmax
    holds known classes and the unknown, prototypes are plain means, and the recurrent network goes on to the next
    example when its label arrives.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = CPM(MLP(inputs=4, hidden=(8,)), ways=3)
        >>> prior.predict(prior.observe(prior.start(1), Examples(torch.rand(1, 2, 4), torch.tensor([[0, 1]]))),
        ...               torch.rand(1, 5, 4)).shape
        torch.Size([1, 5, 3])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"classification"})
    order_free: ClassVar[bool] = False
    incremental: ClassVar[bool] = True
    batch_norm: ClassVar[bool] = False

    def __init__(self, net: nn.Module, ways: int = 2, hidden: int = 128, unseen: Unseen | None = None):
        super().__init__()
        check_positive(ways=ways, hidden=hidden)
        self.net = net
        self.ways = ways
        self.hidden = hidden
        self.unseen = unseen
        features = width_of(net)
        random = torch.Generator().manual_seed(getattr(net, "seed", 0) + 1)
        self.enter = linear(features, hidden, random)
        self.cell = Cell((hidden,), 0, random)
        self.read = linear(hidden, 2 * features + 1, random)
        with torch.no_grad():
            # At first, a prototypical network whose features count alike: softplus(0.54) is 1.
            self.read.weight.mul_(0.1)
            self.read.bias[features : 2 * features] = 0.54
            self.read.bias[-1] = -10.0

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features, and room for as many classes as the tasks have."""
        return cls(default_net(spec, None, seed, batch_norm=False) if net is None else net, **fitted(spec, arguments))

    def start(self, tasks: int, about: Tree = None) -> Contextual:
        """Return no context, and prototypes of no examples."""
        zeros = self.read.bias.new_zeros
        prototypes = Prototypes(zeros(tasks, self.ways, width_of(self.net)), zeros(tasks, self.ways))
        return Contextual(self.cell.start(tasks), prototypes)

    def remember(self, state: Contextual, examples: Examples) -> Contextual:
        """Read labelled examples one after another, and add them, in context, to their classes."""
        reading, context = self._read(examples.x, state.context, examples.mask)
        return Contextual(context, add(state.prototypes, replace(examples, x=reading.features)))

    def recall(self, state: Contextual, features: Tensor) -> Tensor:
        """Return minus the weighted squared distance to each prototype, `(T, Q, C)`: each query as if it came next."""
        tasks, queries = features.shape[:2]
        context = map_tensors(lambda leaf: leaf.repeat_interleave(queries, dim=0), state.context)
        reading, _ = self._read(features.reshape(tasks * queries, 1, -1), context, None)
        reading = _Reading(*(part.reshape(tasks, queries, -1) for part in reading))
        logits = -distances(reading.features, state.prototypes, reading.weights)
        novelty = None if self.unseen in (None, "impossible") else reading.novelty
        return fill_unseen(logits, state.prototypes.counts > 0, self.unseen, novelty)

    def _read(self, features: Tensor, context: Carried, real: Tensor | None) -> tuple[_Reading, Carried]:
        outputs, context = self.cell(self.enter(features), context, None, real)
        shift, weights, novelty = self.read(outputs).split([features.shape[-1], features.shape[-1], 1], dim=-1)
        return _Reading(features + shift, functional.softplus(weights), novelty), context
