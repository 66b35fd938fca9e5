"""Several priors that were acquired apart, as one.

Axis letters: T tasks, N support, Q query, C classes, D target features, M members.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, check_positive
from metaprior.prior import Prior
from metaprior.registry import arguments, build, describe, priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.stream import EVERY, Stream
from metaprior.tree import Tree

__all__ = ["Ensemble"]


@priors.register("ensemble")
class Ensemble(Prior):
    """Let priors that differ in how they were acquired, by their seed at least, adapt side by side, and average them.

    The mean is one of logits, or of values: so the loss is never above the mean of the members' losses. What they do
    not agree on is added to the deviation. The belief about a task is the tuple of theirs.

    Args:
        members: M priors, for tasks of one kind.
        columns: of each member the first input feature that it sees, and the one past the last, where inputs are
            vectors `(F,)`; None if every member sees all of them.

    Raises:
        MetapriorError: if there is no member, no kind of task that all of them serve, or columns are given for another
            number of members, or have no width.

    Source: Lakshminarayanan et al. 2017 (deep ensembles, arXiv 1612.01474). Differs: probabilities are averaged as
    logarithms, since a prior does not say whether its predictions are logits.

    Example:
        >>> from metaprior import Ridge
        >>> from metaprior.nets import MLP
        >>> ensemble = Ensemble([Ridge(MLP(1, hidden=(8,), seed=seed), outputs=1) for seed in range(3)])
        >>> support = Examples(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[0.0], [1.0]]]))
        >>> ensemble.predict(ensemble.observe(ensemble.start(1), support), torch.zeros(1, 5, 1)).shape
        torch.Size([1, 5, 1])
    """

    headless = True

    def __init__(self, members: Sequence[Prior], columns: Sequence[tuple[int, int]] | None = None):
        super().__init__()
        if not members:
            raise MetapriorError("members: expected at least one prior, got none")
        self.kinds = frozenset.intersection(*(member.kinds for member in members))  # type: ignore[misc]
        if not self.kinds:
            served = "; ".join(f"{type(member).__name__}: {', '.join(sorted(member.kinds))}" for member in members)
            raise MetapriorError(f"members: expected priors for tasks of one kind, got {served}")
        if columns is not None and len(columns) != len(members):
            raise MetapriorError(f"columns: expected a pair for each of {len(members)} members, got {len(columns)}")
        for first, end in columns or ():
            if not 0 <= first < end:
                raise MetapriorError(f"columns: expected the first and the one past the last, got {first}, {end}")
        self.columns = None if columns is None else tuple((first, end) for first, end in columns)
        self._members = nn.ModuleList(members)
        for name, agreed in (("order_free", all), ("incremental", all), ("learns", any), ("surrogate", any)):
            setattr(self, name, agreed(getattr(member, name) for member in members))
        self.transductive = any(member.transductive for member in members)
        self.early = any(member.early for member in members)
        self.outer = members[0].outer  # type: ignore[misc]

    @property
    def members(self) -> tuple[Prior, ...]:
        """The M priors."""
        return tuple(self._members)  # type: ignore[arg-type]

    @classmethod
    def for_tasks(
        cls,
        spec: TaskSpec,
        net: nn.Module | None = None,
        seed: int = 0,
        of: str = "ridge",
        count: int = 2,
        columns: Sequence[tuple[int, int]] | None = None,
        **more: Any,
    ) -> Self:
        """Build priors that begin with different weights, to be acquired together.

        Args:
            spec: what the tasks have in common.
            net: the network of the first; the others have the same with other weights. None for the default.
            seed: of the first; the others have the numbers that follow.
            of: the name of the members' class.
            count: M.
            columns: of each member what it sees, with no `net`; None for everything.
            more: arguments of the members.
        """
        check_positive(count=count)
        member, implied = priors.resolve(of)
        if net is not None and member.headless != cls.headless:
            raise MetapriorError(f"net: expected None for an ensemble of '{of}', whose networks end with outputs")
        networks = [net, *(None if net is None else _reseeded(net, seed + at) for at in range(1, count))]
        specs = [spec] * count
        if columns is not None:
            if net is not None or len(columns) != count:
                raise MetapriorError(f"columns: expected a pair for each of {count} members, and no network")
            specs = [replace(spec, x_shape=(end - first,)) for first, end in columns]
        members = [
            member.for_tasks(own, built, seed + at, **implied | more)
            for at, (own, built) in enumerate(zip(specs, networks, strict=True))
        ]
        return cls(members, columns)

    def start(self, tasks: int, about: Tree = None) -> tuple[Tree, ...]:
        """Return what each member believes about T tasks before any example."""
        return tuple(member.start(tasks, about) for member in self.members)

    def observe(self, state: tuple[Tree, ...], examples: Examples) -> tuple[Tree, ...]:
        """Return what each member believes after some examples."""
        pairs = zip(self._each(state), self._parts(examples), strict=True)
        return tuple(member.observe(own, seen) for (member, own), seen in pairs)

    def predict(self, state: tuple[Tree, ...], x: Tree) -> Tensor:
        """Return the mean of the members' logits `(T, Q, C)` or values `(T, Q, D)`."""
        return _mean(self._predictions(state, x))

    def deviation(self, state: tuple[Tree, ...], x: Tree) -> Tensor | None:
        """Return the standard deviation `(T, Q, D)` of the mixture of the members' Gaussians; None if one has none."""
        pairs = zip(self._each(state), self._views(x), strict=True)
        spreads = [member.deviation(own, view) for (member, own), view in pairs]
        if any(spread is None for spread in spreads):
            return None
        means = torch.stack(self._predictions(state, x))
        within = torch.stack([spread.square() for spread in spreads if spread is not None]).mean(0)
        return (within + means.var(0, correction=0)).sqrt()

    def loss(self, episode: Episode) -> Tensor:
        """Return the mean of the members' own objectives, so that they are acquired as if each were alone."""
        parts = zip(self.members, self._parts(episode.support), self._parts(episode.query), strict=True)
        return _mean([member.loss(replace(episode, support=own, query=asked)) for member, own, asked in parts])

    def follow(
        self, stream: Stream, state: tuple[Tree, ...] | None = None, steps: slice = EVERY
    ) -> tuple[Tensor, tuple[Tree, ...]]:
        """Return the mean of what the members predict at each step, and what they believe afterwards."""
        begin = self.start(stream.tasks) if state is None else state
        pairs = zip(self._each(begin), self._seen(stream), strict=True)
        said, states = zip(*(member.follow(seen, own, steps) for (member, own), seen in pairs), strict=True)
        return _mean(list(said)), states

    def stream_loss(self, stream: Stream) -> Tensor:
        """Return the mean of the members' own objectives on streams."""
        return _mean([member.stream_loss(seen) for member, seen in zip(self.members, self._seen(stream), strict=True)])

    def check_state(self, state: tuple[Tree, ...]) -> None:
        """Raise ShapeError if a state is of other members."""
        for member, own in self._each(state):
            member.check_state(own)

    @property
    def chunk_size(self) -> int | None:
        """The least of the members'."""
        return min((member.chunk_size for member in self.members if member.chunk_size), default=None)

    def _each(self, state: tuple[Tree, ...]) -> list[tuple[Prior, Tree]]:
        return list(zip(self.members, state, strict=True))

    def _views(self, x: Tree) -> list[Tree]:
        """Return the part of the inputs that each member sees."""
        if self.columns is None:
            return [x] * len(self.members)
        return [x[..., first:end] for first, end in self.columns]

    def _predictions(self, state: tuple[Tree, ...], x: Tree) -> list[Tensor]:
        pairs = zip(self._each(state), self._views(x), strict=True)
        return [member.predict(own, view) for (member, own), view in pairs]

    def _parts(self, examples: Examples) -> list[Examples]:
        return [replace(examples, x=view) for view in self._views(examples.x)]

    def _seen(self, stream: Stream) -> list[Stream]:
        return [replace(stream, examples=part) for part in self._parts(stream.examples)]


def _reseeded(net: nn.Module, seed: int) -> nn.Module:
    """Return a new network of the same shape, whose weights are of another seed."""
    if "seed" not in arguments(net):
        raise MetapriorError(f"net: expected a network with an argument `seed`, got {type(net).__name__}")
    described = describe(net)
    return build(described | {"arguments": described["arguments"] | {"seed": seed}})


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean(0)
