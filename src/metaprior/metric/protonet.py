"""The prototypical network: a class is the mean of its examples in an acquired feature space.

Axis letters: T tasks, N support, Q query, C classes, F features.
"""

from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.metric.features import FeaturePrior, Unseen, fill_unseen, fitted, novelty_for
from metaprior.metric.labels import memberships
from metaprior.nets import default_net
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tree import Tree

__all__ = ["ProtoNet", "Prototypes", "add", "distances"]


class Prototypes(NamedTuple):
    """The belief of a prototypical network.

    Args:
        sums: `(T, C, F)`, the summed features of each class.
        counts: `(T, C)`, how many examples were summed.
    """

    sums: Tensor
    counts: Tensor


@priors.register("protonet")
class ProtoNet(FeaturePrior):
    """Classify by the squared distance to the mean feature of each class.

    Args:
        net: from `(N, *x)` to features `(N, F)`.
        ways: how many classes to expect; a task with more makes room for them as they are observed.
        unseen: classes without examples are "impossible"; or, for acquisition on streams, each has an acquired logit
            ("alike"), or the last class does, which stands for all of them ("last"). None for the first of these, or
            what `for_tasks` chose.

    Source: Snell et al. 2017 (arXiv 1703.05175), eq. 1 and 2. The published scores need episodes of more classes in
    acquisition (20 to 60) than in the test. With `unseen="last"`, an online prototypical network as in Ren et al. 2021
    (arXiv 2007.04546); differs: one softmax over known and unknown, instead of a threshold on the nearest.

    Example:
        >>> prior = ProtoNet(nn.Flatten())
        >>> support = Examples(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0, 1]]))
        >>> prior.predict(prior.observe(prior.start(1), support), torch.tensor([[[0.9]]])).argmax(-1)
        tensor([[1]])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"classification"})
    incremental: ClassVar[bool] = True

    def __init__(self, net: nn.Module, ways: int = 2, unseen: Unseen | None = None):
        super().__init__()
        self.net = net
        self.ways = ways
        self.unseen = unseen
        self.novelty = novelty_for(unseen, logit=-10.0)
        self.register_buffer("_zero", torch.zeros(()), persistent=False)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features, and room for as many classes as the tasks have."""
        return cls(default_net(spec, None, seed) if net is None else net, **fitted(spec, arguments))

    def start(self, tasks: int, about: Tree = None) -> Prototypes:
        """Return prototypes of no examples; the width of a feature is settled by the first of them."""
        zero: Tensor = self._zero  # type: ignore[assignment]
        return Prototypes(zero.new_zeros(tasks, self.ways, 1), zero.new_zeros(tasks, self.ways))

    def remember(self, state: Prototypes, examples: Examples) -> Prototypes:
        """Add the features of labelled examples to the sums of their classes."""
        return add(state, examples)

    def recall(self, state: Prototypes, features: Tensor) -> Tensor:
        """Return minus the squared distance to each prototype, `(T, Q, C)`."""
        logits = -distances(features, state)
        return fill_unseen(logits, state.counts > 0, self.unseen, self.novelty)


def add(state: Prototypes, examples: Examples) -> Prototypes:
    """Add labelled examples, whose `x` is features `(T, N, F)`; a class id beyond C makes room for itself.

    Example:
        >>> nothing = Prototypes(torch.zeros(1, 2, 1), torch.zeros(1, 2))
        >>> add(nothing, Examples(torch.tensor([[[3.0], [5.0]]]), torch.tensor([[1, 1]]))).sums.flatten()
        tensor([0., 8.])
    """
    features = examples.x.masked_fill(~examples.real[..., None], 0)
    members = memberships(examples, state.counts.shape[1], features.dtype)
    more = (0, members.shape[-1] - state.counts.shape[1])
    sums = functional.pad(state.sums, (0, 0, *more)) + members.transpose(1, 2) @ features
    return Prototypes(sums, functional.pad(state.counts, more) + members.sum(1))


def distances(features: Tensor, state: Prototypes, weights: Tensor | None = None) -> Tensor:
    """Return the squared distance of each query to each prototype, `(T, Q, C)`; anything for classes without examples.

    Args:
        features: `(T, Q, F)`.
        state: the prototypes.
        weights: `(T, Q, F)`, how much each feature counts for each query; None for 1.

    Example:
        >>> state = Prototypes(torch.tensor([[[6.0]]]), torch.tensor([[2.0]]))
        >>> distances(torch.tensor([[[1.0]]]), state)
        tensor([[[4.]]])
    """
    prototypes = (state.sums / state.counts.clamp(min=1)[..., None]).expand(-1, -1, features.shape[-1])
    if weights is None:
        weighted, sizes = features, prototypes.square().sum(-1)[:, None]
    else:
        weighted, sizes = weights * features, weights @ prototypes.square().transpose(1, 2)
    products = weighted @ prototypes.transpose(1, 2)
    return (weighted * features).sum(-1, keepdim=True) + sizes - 2 * products
