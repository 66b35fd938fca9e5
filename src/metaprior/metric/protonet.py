"""The prototypical network: a class is the mean of its examples in an acquired feature space.

Axis letters: T tasks, N support, Q query, C classes, F features.
"""

from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.metric.labels import memberships
from metaprior.nets import apply, default_net
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tree import Tree

__all__ = ["ProtoNet", "Prototypes"]

_UNSEEN = 1e4
"""How far the logit of a class without examples lies below those of all others: as good as impossible, but finite."""


class Prototypes(NamedTuple):
    """The belief of a prototypical network.

    Args:
        sums: `(T, C, F)`, the summed features of each class.
        counts: `(T, C)`, how many examples were summed.
    """

    sums: Tensor
    counts: Tensor


@priors.register("protonet")
class ProtoNet(Prior):
    """Classify by the squared distance to the mean feature of each class.

    Args:
        net: from `(N, *x)` to features `(N, F)`.
        ways: how many classes to expect; a task with more makes room for them as they are observed.

    Source: Snell et al. 2017 (arXiv 1703.05175), eq. 1 and 2. The published scores need episodes of more classes in
    acquisition (20 to 60) than in the test.

    Example:
        >>> prior = ProtoNet(nn.Flatten())
        >>> support = Examples(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0, 1]]))
        >>> prior.predict(prior.observe(prior.start(1), support), torch.tensor([[[0.9]]])).argmax(-1)
        tensor([[1]])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"classification"})
    incremental: ClassVar[bool] = True
    headless: ClassVar[bool] = True

    def __init__(self, net: nn.Module, ways: int = 2):
        super().__init__()
        self.net = net
        self.ways = ways
        self.register_buffer("_zero", torch.zeros(()), persistent=False)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features, and room for as many classes as the tasks have."""
        return cls(default_net(spec, None, seed) if net is None else net, **({"ways": spec.outputs} | arguments))

    def start(self, tasks: int, about: Tree = None) -> Prototypes:
        """Return prototypes of no examples; the width of a feature is settled by the first of them."""
        zero: Tensor = self._zero  # type: ignore[assignment]
        return Prototypes(zero.new_zeros(tasks, self.ways, 1), zero.new_zeros(tasks, self.ways))

    def observe(self, state: Prototypes, examples: Examples) -> Prototypes:
        """Add the features of labelled examples to the sums of their classes."""
        features = apply(self.net, examples.x, examples.mask).masked_fill(~examples.real[..., None], 0)
        members = memberships(examples, state.counts.shape[1], features.dtype)
        more = (0, members.shape[-1] - state.counts.shape[1])
        sums = functional.pad(state.sums, (0, 0, *more)) + members.transpose(1, 2) @ features
        return Prototypes(sums, functional.pad(state.counts, more) + members.sum(1))

    def predict(self, state: Prototypes, x: Tree) -> Tensor:
        """Return minus the squared distance to each prototype, `(T, Q, C)`."""
        features = apply(self.net, x)
        prototypes = (state.sums / state.counts.clamp(min=1)[..., None]).expand(-1, -1, features.shape[-1])
        products = features @ prototypes.transpose(1, 2)
        logits = 2 * products - prototypes.square().sum(-1)[:, None] - features.square().sum(-1, keepdim=True)
        seen = (state.counts > 0)[:, None]
        lowest = logits.detach().masked_fill(~seen, 0).amin(-1, keepdim=True)
        return torch.where(seen, logits, lowest - _UNSEEN)
