"""HyperMAML: the change that a support set calls for is written by a network instead of found by gradient steps.

Axis letters: T tasks, N support, Q query, F features, C classes, D target features, K either of the last two, G groups.
"""

from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from metaprior.errors import ShapeError, check_positive
from metaprior.metric.labels import memberships
from metaprior.nets import MLP, apply, default_net, initialise, uninitialised, width_of
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import targets
from metaprior.tree import Tree

__all__ = ["HyperMAML", "Impressions"]


class Impressions(NamedTuple):
    """The belief of HyperMAML: what its examples had to say, from which the change of the head follows.

    Args:
        sums: `(T, G, H)`, summed over the examples of each class, or, for regression, over all (G = 1).
        counts: `(T, G)`, how many examples were summed.
    """

    sums: Tensor
    counts: Tensor


@priors.register("hypermaml")
class HyperMAML(Prior):
    """Write the change of a shared head from features, the head's present predictions, and the right answers.

    Each example makes an impression; the impressions of a class are averaged; from their mean, and the mean over all
    classes, the change of the class's row of the head is written. A regression has one group of all examples, from
    which every row is.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`.
        outputs: C or D.
        regression: whether targets are values instead of classes.
        hidden: H, the units of the two networks that write.

    Source: Przewięźlikowski et al. 2022 (arXiv 2205.15745), section 3. Differs: the classes of a task are written one
    by one by the same network, so that their order does not matter, where the paper writes all of them from one long
    vector; the head alone is changed, as in its main experiments; regression is ours.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = HyperMAML(MLP(inputs=4), outputs=3)
        >>> support = Examples(torch.rand(2, 6, 4), torch.tensor([[0, 1, 2] * 2] * 2))
        >>> prior.predict(prior.observe(prior.start(2), support), torch.rand(2, 5, 4)).shape
        torch.Size([2, 5, 3])
    """

    incremental: ClassVar[bool] = True
    headless: ClassVar[bool] = True

    def __init__(self, net: nn.Module, outputs: int = 2, regression: bool = False, hidden: int = 128):
        super().__init__()
        check_positive(outputs=outputs, hidden=hidden)
        features = width_of(net)
        self.net = net
        self.outputs = outputs
        self.regression = regression
        self.hidden = hidden
        seed = getattr(net, "seed", 0)
        self.head = uninitialised(nn.Linear, features, outputs)
        initialise(nn.ModuleDict({"head": self.head}), seed)
        told = features + (2 * outputs if regression else 2)
        rows = outputs if regression else 1
        self.impress = MLP(told, hidden, hidden=(hidden,), seed=seed)
        self.write = MLP(2 * hidden, rows * (features + 1), hidden=(hidden,), seed=seed + 1)
        # The change begins small, so that the head is at first what all tasks share.
        with torch.no_grad():
            self.write.head.get_parameter("weight").mul_(0.1)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features and a head of as many outputs as the tasks have."""
        given = {"outputs": spec.outputs, "regression": spec.kind == "regression"} | arguments
        return cls(default_net(spec, None, seed) if net is None else net, **given)

    def start(self, tasks: int, about: Tree = None) -> Impressions:
        """Return no impressions."""
        groups = 1 if self.regression else self.outputs
        zeros = self.head.weight.new_zeros
        return Impressions(zeros(tasks, groups, self.hidden), zeros(tasks, groups))

    def observe(self, state: Impressions, examples: Examples) -> Impressions:
        """Add the impressions that labelled examples make.

        Raises:
            ShapeError: if the examples carry no targets of the kind expected, or a class id has no output.
        """
        check_tasks(state.counts, examples)
        if examples.y is not None and examples.y.is_floating_point() != self.regression:
            kind = "values" if self.regression else "class ids"
            raise ShapeError(f"y: expected {kind}, got {examples.y.dtype}")
        features = apply(self.net, examples.x, examples.mask)
        prediction = self.head(features)
        right = targets(prediction, examples)
        if self.regression:
            members = examples.real[..., None].to(features.dtype)
            told = torch.cat([prediction, right], dim=-1)
        else:
            members = memberships(examples, self.outputs, features.dtype)
            if members.shape[-1] > self.outputs:
                raise ShapeError(f"y: expected class ids below {self.outputs}, got {members.shape[-1] - 1}")
            probabilities = prediction.softmax(-1)
            own = (probabilities * members).sum(-1, keepdim=True)
            told = torch.cat([own, probabilities.square().sum(-1, keepdim=True)], dim=-1)
        impressions = self.impress(torch.cat([features, told], dim=-1).flatten(0, 1)).unflatten(0, features.shape[:2])
        impressions = impressions.relu().masked_fill(~examples.real[..., None], 0)
        return Impressions(state.sums + members.transpose(1, 2) @ impressions, state.counts + members.sum(1))

    def predict(self, state: Impressions, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` of the head as changed."""
        weight, bias = self.changed_head(state)
        return torch.baddbmm(bias[:, None], apply(self.net, x), weight.transpose(1, 2))

    def changed_head(self, state: Impressions) -> tuple[Tensor, Tensor]:
        """Return the weight `(T, K, F)` and bias `(T, K)` of each task's head; of unseen classes, the shared."""
        seen = state.counts > 0
        means = state.sums / state.counts.clamp(min=1)[..., None]
        across = means.sum(1, keepdim=True) / seen.sum(1).clamp(min=1)[:, None, None]
        told = torch.cat([means, across.expand_as(means)], dim=-1)
        change = self.write(told.flatten(0, 1)).unflatten(0, seen.shape).masked_fill(~seen[..., None], 0)
        change = change.reshape(len(seen), self.outputs, -1)
        return self.head.weight + change[..., :-1], self.head.bias + change[..., -1]
