"""Online-aware meta-learning: features on which a head can learn one example after another, and forget little.

Axis letters: T tasks, N support, S stream steps, F features, G classes of the pool, C classes, D target features, K any
of the last three.
"""

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, ShapeError, check_positive
from metaprior.metric.labels import memberships
from metaprior.nets import apply, builtin_norms, default_net, initialise, uninitialised
from metaprior.nets.norm import sees_batch
from metaprior.prior import Prior, step_by_step
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import task_losses
from metaprior.tasks.stream import EVERY, Stream
from metaprior.tree import Tree

__all__ = ["OML", "Head"]

_BLOCK = 32
"""Steps that are taken without the heads in between."""


class Head(NamedTuple):
    """The belief of a prior whose linear head learns.

    Args:
        weight: `(T, K, F)`.
        bias: `(T, K)`.
    """

    weight: Tensor
    bias: Tensor


@priors.register("oml")
class OML(Prior):
    """Representation that stays, and a prediction head that takes one gradient step on each example in turn.

    On episodes with something to remember (`ClassIncremental`), what is acquired is that a head with a row for every
    class of the pool, after it has learned a trajectory of classes whose rows were set to zero, still knows all others
    as well as it knows the trajectory. On other episodes it is the loss on the queries; on streams, that of each
    prediction before its label. A novel task gets a head of zeros, since its classes are new.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`, without batch norm.
        outputs: C or D; a class id must be below it.
        pool: G, the number of classes of the training tasks together; None where nothing is to be remembered.
        regression: whether outputs are values; their head is acquired too.
        unknown: whether the last class stands for those never seen; its row of the head is acquired.
        step_size: of each step.

    Source: Javed and White 2019 (arXiv 1905.12588), eq. 2 and algorithm 1, and the paper's code for what to remember.
    Differs: the head is one linear layer, of which only that for the pool is acquired (theirs had a hidden layer of
    1,024), and each feature vector has its mean taken out; rows are set to zero instead of random numbers; a novel task
    is learned by the plain gradient steps of the acquisition, where theirs were Adam's, of a size searched for on test
    tasks.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = OML(MLP(inputs=4), outputs=3)
        >>> state = prior.observe(prior.start(2), Examples(torch.rand(2, 6, 4), torch.randint(3, (2, 6))))
        >>> prior.predict(state, torch.rand(2, 5, 4)).shape
        torch.Size([2, 5, 3])
    """

    order_free: ClassVar[bool] = False
    incremental: ClassVar[bool] = True
    headless: ClassVar[bool] = True
    batch_norm: ClassVar[bool] = False
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 1e-3, "tasks_per_step": 4}

    def __init__(
        self,
        net: nn.Module,
        outputs: int,
        pool: int | None = None,
        regression: bool = False,
        unknown: bool = False,
        step_size: float | None = None,
    ):
        super().__init__()
        check_positive(outputs=outputs, pool=pool, step_size=step_size)
        width = getattr(net, "features", None)
        if not isinstance(width, int):
            raise MetapriorError("net: expected a network with an attribute `features`, the width F of its output")
        if sees_batch(net) or builtin_norms(net):
            raise MetapriorError(
                "net: expected one without batch norm, which would see later examples; got one with it"
            )
        self.net = net
        self.outputs = outputs
        self.pool = pool
        self.regression = regression
        self.unknown = unknown
        self.step_size = step_size
        acquired = outputs if regression else int(unknown)
        self.acquired = uninitialised(nn.Linear, width, acquired) if acquired else None
        self.pooled = None if pool is None else uninitialised(nn.Linear, width, pool)
        for seed, head in enumerate((self.acquired, self.pooled), start=getattr(net, "seed", 0) + 1):
            if head is not None:
                initialise(nn.ModuleDict({"head": head}), seed)
        self.register_buffer("_zero", torch.zeros(()), persistent=False)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features; Conv4 has group norm here. Steps are of size 0.1 for classification."""
        regression = spec.kind == "regression"
        if arguments.get("step_size") is None:
            arguments["step_size"] = 0.01 if regression else 0.1
        given = {"outputs": spec.outputs, "pool": spec.pool, "regression": regression, "unknown": spec.unknown}
        return cls(default_net(spec, None, seed, batch_norm=False) if net is None else net, **(given | arguments))

    def start(self, tasks: int, about: Tree = None) -> Head:
        """Return a head for each of T tasks: the acquired one for values, zeros for classes."""
        zero: Tensor = self._zero  # type: ignore[assignment]
        new = self.outputs - (0 if self.acquired is None else self.acquired.out_features)
        weight, bias = zero.new_zeros(new, int(self.net.features)), zero.new_zeros(new)  # type: ignore[arg-type]
        if self.acquired is not None:
            weight, bias = torch.cat([weight, self.acquired.weight]), torch.cat([bias, self.acquired.bias])
        return Head(weight.expand(tasks, -1, -1), bias.expand(tasks, -1))

    def observe(self, state: Head, examples: Examples) -> Head:
        """Take one gradient step on each labelled example in turn: `x` is `(T, N, *x)`.

        Raises:
            ShapeError: if `examples` and `state` disagree about T, or a label does not fit the outputs.
        """
        return self._learn(state, self._embedded(examples))[0]

    def predict(self, state: Head, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` of the heads."""
        return _run(state, self._features(x))

    def follow(self, stream: Stream, state: Head | None = None, steps: slice = EVERY) -> tuple[Tensor, Head]:
        """Predict steps of a stream; see `Prior.follow`. The network runs once, the heads step by step."""
        begin = self.start(stream.tasks) if state is None else state
        part, first = stream.part(steps)
        seen = replace(part, examples=self._embedded(part.examples))
        if seen.at_once:
            return self._learn(begin, seen.examples)[::-1]
        learn = lambda state, examples: self._learn(state, examples)[0]  # noqa: E731
        return step_by_step(_run, learn, seen, begin, slice(first, None))

    def loss(self, episode: Episode) -> Tensor:
        """Return the loss on the trajectory, held-out examples, and what to remember, after learning the trajectory.

        Where nothing is to be remembered, it is that on the queries.

        Raises:
            MetapriorError: if there is something to remember, but no head for the pool, or not the pool's class ids.
        """
        if episode.remember is None:
            return super().loss(episode)
        if self.pooled is None or episode.labels is None:
            raise MetapriorError(
                "episode: expected `labels`, the pool's own class ids, and a prior with `pool`, their number, since "
                "there is something to remember"
            )
        labels = episode.labels
        support, query = (
            replace(self._embedded(part), y=None if part.y is None else labels.gather(1, part.y * part.real))
            for part in (episode.support, episode.query)
        )
        # A row too many takes up the padding of the labels, -1.
        new = labels.new_zeros(episode.tasks, self.pooled.out_features + 1).scatter(1, labels + 1, 1)[:, 1:].bool()
        start = Head(self.pooled.weight.masked_fill(new[..., None], 0), self.pooled.bias.masked_fill(new, 0))
        everything = support.joined(query).joined(self._embedded(episode.remember))
        return task_losses(_run(self._learn(start, support)[0], everything.x), everything).mean()

    def stream_loss(self, stream: Stream) -> Tensor:
        """Return the mean loss of the predictions of all steps, each before its label; see `Prior.stream_loss`."""
        return task_losses(self.stream(stream), stream.asked, stream.ways).mean()

    def _features(self, x: Tree, mask: Tensor | None = None) -> Tensor:
        features = self._represented(x, mask)
        if self.regression:
            return features
        # Rectified features share a large mean: all classes would be alike to the head, and its steps too large.
        return features - features.mean(-1, keepdim=True)

    def _represented(self, x: Tree, mask: Tensor | None) -> Tensor:
        return apply(self.net, x, mask)

    def _embedded(self, examples: Examples) -> Examples:
        """Return the examples with features in place of inputs."""
        return replace(examples, x=self._features(examples.x, examples.mask))

    def _learn(self, head: Head, seen: Examples) -> tuple[Head, Tensor]:
        """Take a step on each of the features `(T, N, F)` in turn; return also what was said of each before it."""
        check_tasks(head.bias, seen)
        targets = _targets(seen, head.bias, self.regression)
        size = 0.01 if self.step_size is None else self.step_size
        said = [seen.x.new_zeros(*seen.real[:, :0].shape, head.bias.shape[1])]
        for first in range(0, seen.size, _BLOCK):
            here = slice(first, first + _BLOCK)
            head, before = _descend(head, seen.x[:, here], targets[:, here], seen.real[:, here], size, self.regression)
            said.append(before)
        return head, torch.cat(said, dim=1)


def _run(head: Head, features: Tensor) -> Tensor:
    return torch.baddbmm(head.bias[:, None], features, head.weight.transpose(1, 2))


def _targets(seen: Examples, outputs: Tensor, regression: bool) -> Tensor:
    """Return what the head should say, `(T, N, K)`."""
    if not regression:
        members = memberships(seen, outputs.shape[1], outputs.dtype)
        if members.shape[-1] > outputs.shape[1]:
            raise ShapeError(f"y: expected class ids from 0 to {outputs.shape[1] - 1}, got {members.shape[-1] - 1}")
        return members
    if seen.y is None or not seen.y.is_floating_point() or seen.y.shape[-1] != outputs.shape[1]:
        got = None if seen.y is None else tuple(seen.y.shape)
        raise ShapeError(f"y: expected targets of shape (T, N, {outputs.shape[1]}), got {got}")
    return seen.y


def _descend(
    head: Head, features: Tensor, targets: Tensor, real: Tensor, size: float, regression: bool
) -> tuple[Head, Tensor]:
    """Take a gradient step on each of the features `(T, N, F)` in turn, of the loss against targets `(T, N, K)`.

    A step moves the outputs for later features by what they have in common with its own, times its error. So the heads
    in between need not be computed, which is several times faster, and the derivative takes no memory for them.
    """
    common = size * (features @ features.transpose(1, 2) + 1)
    later, said, errors = _run(head, features), [], []
    for step in range(features.shape[1]):
        said.append(later[:, 0])
        guess = later[:, 0] if regression else later[:, 0].softmax(-1)
        error = (guess - targets[:, step]) * (2 / guess.shape[-1] if regression else 1)
        errors.append(error.masked_fill(~real[:, step, None], 0))
        later = torch.baddbmm(later[:, 1:], common[:, step + 1 :, step, None], errors[-1][:, None], alpha=-1)
    moved = size * torch.stack(errors, dim=1)
    weight = torch.baddbmm(head.weight, moved.transpose(1, 2), features, alpha=-1)
    return Head(weight, head.bias - moved.sum(1)), torch.stack(said, dim=1)
