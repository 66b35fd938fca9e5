"""Controls that pool the examples of all training tasks, as if there were no tasks, and then adapt in ordinary ways.

Axis letters: T tasks, N support, Q query, F features, G classes of the pool, C classes, D target features.
"""

from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional

from metaprior.controls.tuning import tune, tune_chunk
from metaprior.errors import MetapriorError
from metaprior.gradient.maml import FastWeights
from metaprior.nets import BatchNorm, apply, apply_per_task, best_chunk, default_net, initialise, uninitialised
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.scores import KINDS, task_losses
from metaprior.tree import Tree, map_chunks

__all__ = ["FineTune", "Frozen"]


class _Pooled(Prior):
    """Pre-training on the pool; what is common to the controls that begin with it."""

    kinds: ClassVar[frozenset[str]] = frozenset(KINDS)
    headless: ClassVar[bool] = True

    def __init__(self, net: nn.Module, outputs: int, pool: int | None, steps: int, learning_rate: float):
        super().__init__()
        features = getattr(net, "features", None)
        if not isinstance(features, int):
            raise MetapriorError("net: expected a network with an attribute `features`, the width F of its output")
        if pool is not None and getattr(net, "labels_pixels", False):
            raise MetapriorError(f"pool: expected None for a network that labels pixels, got {pool}")
        self.net = net
        self.outputs = outputs
        self.pool = pool
        self.steps = steps
        self.learning_rate = learning_rate
        # Features that are rectified share a large mean, which hides the classes of a big pool from a linear head.
        self.neck = nn.Identity() if pool is None else BatchNorm(features)
        self.head = self._head(outputs if pool is None else pool)
        self.task_head = self._head(outputs)
        initialise(nn.ModuleDict({"head": self.head}), seed=0)
        for parameter in self.task_head.parameters():
            nn.init.zeros_(parameter.requires_grad_(False))
        self._body = [nn.Sequential(net, self.neck)]  # in a list, so that it is no second owner of its parts

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features and a head for all classes of the training tasks together."""
        return cls(
            default_net(spec, None, seed) if net is None else net,
            **({"outputs": spec.outputs, "pool": spec.pool} | arguments),
        )

    def loss(self, episode: Episode) -> Tensor:
        """Return the mean loss over all examples of the tasks, by their class in the whole pool."""
        examples = episode.support.joined(episode.query)
        prediction = apply(nn.Sequential(*self._body, self.head), examples.x, examples.mask)
        if self.pool is None:
            return task_losses(prediction, examples).mean()
        if episode.labels is None or examples.y is None:
            raise MetapriorError("episode: expected `labels`, the pool's own class ids, since `pool` was given")
        classes = episode.labels.gather(1, examples.y).masked_fill(~examples.real, -1)
        return functional.cross_entropy(prediction.flatten(0, 1), classes.flatten(), ignore_index=-1)

    def _head(self, outputs: int) -> nn.Module:
        """Return a linear head without weights; for a network that labels pixels, one for all of them."""
        if getattr(self.net, "labels_pixels", False):
            return uninitialised(nn.Conv2d, self.net.features, outputs, 1)  # type: ignore[arg-type]
        return uninitialised(nn.Linear, self.net.features, outputs)  # type: ignore[arg-type]

    def _new_head(self, tasks: int) -> dict[str, Tensor]:
        """Return a head for each task: the pooled one where tasks share their targets, else zeros."""
        head = self.head if self.pool is None else self.task_head
        return {name: parameter.expand(tasks, *parameter.shape) for name, parameter in head.named_parameters()}


@priors.register("fine_tune")
class FineTune(_Pooled):
    """Pre-train one network on the pool, then train all of it, with a new head, on the support set.

    Args:
        net: from `(N, *x)` to features `(N, F)`, or, if it labels pixels, `(N, F, H, W)`, with F as its attribute
            `features`.
        outputs: C or D.
        pool: G, the number of classes of the training tasks together; None where tasks share their targets.
        steps: of Adam on the support set.
        learning_rate: of Adam.

    Source: the baseline of Chen et al. 2019 (arXiv 1904.04232), with all layers trained, and with a batch norm between
    features and classes (Luo et al. 2019, arXiv 1903.07071). Batch norms keep their running averages while they are
    fine-tuned.

    Example:
        >>> import torch
        >>> from metaprior.nets import MLP
        >>> prior = FineTune(MLP(inputs=1), outputs=1, steps=3)
        >>> state = prior.observe(prior.start(2), Examples(torch.zeros(2, 5, 1), torch.ones(2, 5, 1)))
        >>> prior.predict(state, torch.zeros(2, 7, 1)).shape
        torch.Size([2, 7, 1])
    """

    def __init__(
        self, net: nn.Module, outputs: int = 2, pool: int | None = None, steps: int = 20, learning_rate: float = 1e-3
    ):
        super().__init__(net, outputs, pool, steps, learning_rate)
        self._whole = [nn.Sequential(net, self.neck, self.task_head)]

    @property
    def chunk_size(self) -> int | None:
        """None: the pool is trained on as a whole."""
        return None

    def start(self, tasks: int, about: Tree = None) -> FastWeights:
        """Return the pre-trained weights and a new head for each of T tasks."""
        body = {name: p.expand(tasks, *p.shape) for name, p in self._body[0].named_parameters()}
        return FastWeights(body | {f"2.{name}": value for name, value in self._new_head(tasks).items()}, ())

    def observe(self, state: FastWeights, examples: Examples) -> FastWeights:
        """Train everything on the support set of each task."""

        def train(state: FastWeights, examples: Examples) -> FastWeights:
            net, weights = self._whole[0], state.weights
            return FastWeights(*tune(net, weights, examples, self.steps, self.learning_rate, running=True))

        return map_chunks(train, tune_chunk(self.net, examples), state, examples)

    def predict(self, state: FastWeights, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` of the fine-tuned networks."""

        def run(state: FastWeights, x: Tree) -> Tensor:
            return apply_per_task(self._whole[0], state.weights, x, "running")[0]

        return map_chunks(run, best_chunk(self.net), state, x)


@priors.register("frozen")
class Frozen(_Pooled):
    """Pre-train one network on the pool, then train a linear head on its frozen features.

    Takes the arguments of `FineTune`.

    Source: the linear probe of Tian et al. 2020 (arXiv 2003.11539): features scaled to unit length, then a linear
    classifier. Centring them first is from Wang et al. 2019 (arXiv 1911.04623).

    Example:
        >>> import torch
        >>> from metaprior.nets import MLP
        >>> prior = Frozen(MLP(inputs=1), outputs=1, steps=3)
        >>> state = prior.observe(prior.start(2), Examples(torch.zeros(2, 5, 1), torch.ones(2, 5, 1)))
        >>> prior.predict(state, torch.zeros(2, 7, 1)).shape
        torch.Size([2, 7, 1])
    """

    def __init__(
        self, net: nn.Module, outputs: int = 2, pool: int | None = None, steps: int = 50, learning_rate: float = 0.1
    ):
        super().__init__(net, outputs, pool, steps, learning_rate)

    def start(self, tasks: int, about: Tree = None) -> FastWeights:
        """Return a new head for each of T tasks."""
        return FastWeights(self._new_head(tasks), ())

    def observe(self, state: FastWeights, examples: Examples) -> FastWeights:
        """Train the head of each task on the features of its support set."""
        seen = Examples(self._features(examples.x), examples.y, examples.mask)
        return FastWeights(*tune(self.task_head, state.weights, seen, self.steps, self.learning_rate))

    def predict(self, state: FastWeights, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` of the heads."""
        return apply_per_task(self.task_head, state.weights, self._features(x))[0]

    def _features(self, x: Tree) -> Tensor:
        features = apply(self._body[0], x)
        # Where the pooled head carries over, it must meet the features that it was trained on.
        return features if self.pool is None else functional.normalize(features, dim=-1) * features.shape[-1] ** 0.5
