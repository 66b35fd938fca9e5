"""A store of examples that is searched by what resembles a query, for read-outs by attention.

Axis letters: T tasks, N examples, M stored examples, Q query, C classes, F features.
"""

from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.metric.features import FeaturePrior, Unseen, fitted
from metaprior.metric.labels import memberships
from metaprior.nets import default_net
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tree import Tree

__all__ = ["StorePrior", "Stored", "empty", "put", "votes"]

_LEAST = 1e-8
"""What no class's probability is below, so that logarithms are finite."""


class Stored(NamedTuple):
    """The examples seen.

    Args:
        features: `(T, M, F)`.
        members: `(T, M, C)`, 1 for the class of an example; all 0 for padding.
    """

    features: Tensor
    members: Tensor

    @property
    def real(self) -> Tensor:
        """`(T, M)`, False for padding."""
        return self.members.any(-1)


def empty(tasks: int, ways: int, like: Tensor) -> Stored:
    """Return the store of no examples; the width of a feature is settled by the first of them."""
    return Stored(like.new_zeros(tasks, 0, 1), like.new_zeros(tasks, 0, ways))


def put(store: Stored, examples: Examples, capacity: int | None = None) -> Stored:
    """Add labelled examples, whose `x` is features `(T, N, F)`; beyond a capacity the oldest are forgotten.

    Raises:
        ShapeError: if the examples carry no class ids.

    Example:
        >>> examples = Examples(torch.ones(1, 3, 4), torch.tensor([[0, 1, 1]]))
        >>> store = put(empty(1, 2, torch.zeros(())), examples, capacity=2)
        >>> store.features.shape, store.members.argmax(-1)
        (torch.Size([1, 2, 4]), tensor([[1, 1]]))
    """
    members = memberships(examples, store.members.shape[-1], examples.x.dtype)
    before = functional.pad(store.members, (0, members.shape[-1] - store.members.shape[-1]))
    features = torch.cat([store.features.expand(-1, -1, examples.x.shape[-1]), examples.x], dim=1)
    kept = slice(-capacity if capacity else None, None)
    return Stored(features[:, kept], torch.cat([before, members], dim=1)[:, kept])


def votes(similarities: Tensor, store: Stored, unseen: Unseen | None, novelty: Tensor | None) -> Tensor:
    """Return the logarithm of the share of each class in the attention paid to stored examples, `(T, Q, C)`.

    Args:
        similarities: `(T, Q, M)`, whose softmax is attention.
        store: of M examples.
        unseen: where the attention paid to something new goes; see `fill_unseen`.
        novelty: how similar something new always is; None if all attention goes to what is stored.

    Example:
        >>> store = Stored(torch.zeros(1, 2, 1), torch.eye(2)[None])
        >>> votes(torch.tensor([[[0.0, 0.0]]]), store, "impossible", None).exp()
        tensor([[[0.5000, 0.5000]]])
    """
    members = store.members
    if novelty is not None:
        similarities = torch.cat([similarities, novelty.expand(*similarities.shape[:2], 1)], dim=-1)
        if unseen == "last":
            absent = functional.pad(torch.zeros_like(members[..., :-1].sum(1, keepdim=True)), (0, 1), value=1.0)
        else:
            absent = (members.sum(1, keepdim=True) == 0).to(members.dtype)
            absent = absent / absent.sum(-1, keepdim=True).clamp(min=1)
        members = torch.cat([members, absent], dim=1)
    real = members.any(-1)[:, None]
    attention = similarities.masked_fill(~real, -torch.inf).softmax(-1)
    # Where there is nothing to attend to, no class is more likely than another.
    attention = torch.where(real.any(-1, keepdim=True), attention, 0)
    return (attention @ members).clamp(min=_LEAST).log()


class StorePrior(FeaturePrior):
    """A prior whose belief is the examples seen, or the last of them; what a query is told by them, `recall` says."""

    kinds: ClassVar[frozenset[str]] = frozenset({"classification"})
    incremental: ClassVar[bool] = True
    ways: int
    capacity: int | None

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features, and room for as many classes as the tasks have."""
        return cls(default_net(spec, None, seed) if net is None else net, **fitted(spec, arguments))

    @property
    def order_free(self) -> bool:  # type: ignore[override]
        """Order matters where the oldest are forgotten."""
        return self.capacity is None

    def start(self, tasks: int, about: Tree = None) -> Stored:
        """Return the store of no examples."""
        return empty(tasks, self.ways, next(self.parameters()))

    def remember(self, state: Stored, examples: Examples) -> Stored:
        """Add labelled examples to the store."""
        return put(state, examples, self.capacity)
