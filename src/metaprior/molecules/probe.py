"""A multi-task backbone, and a probe on its features for each new task.

Axis letters: T tasks, N support, Q query, F features, C classes, D target features, K either of the last two, G classes
of the pool.
"""

import math
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, UnknownNameError, check_positive
from metaprior.metric.labels import Labelled, added, nothing
from metaprior.molecules.probes import logistic, quadratic, ridge
from metaprior.nets import MLP, apply, default_net, initialise, uninitialised
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.scores import restrict, task_losses
from metaprior.tree import Tree

__all__ = ["MultitaskProbe"]

_WIDE = 256
"""From so many input features on they are taken for fingerprints, which want a wide network that drops out."""
_LESS = 0.25
"""The length that features, or the input itself, may be cut to beside the other, where values are predicted."""


@priors.register("multitask_probe")
class MultitaskProbe(Prior):
    """Features acquired by a head for each training task, and a probe of its own on them for each new task.

    A training task's head tells its classes apart, and only those, so that what a class means may differ from task to
    task; all features are shared. The heads are of no use to a new task. They are best acquired on few examples of many
    tasks at each step, since Adam hardly moves the head of a task that is seldom drawn.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`.
        outputs: C or D.
        pool: G, the number of classes of the training tasks together; None where tasks share their targets.
        probe: "logistic" regression, or "quadratic", a Gaussian for each class; regression has a ridge in any case.
        scale: the length of a feature vector, the larger the less the probe is regularised; None for 4, or 2 where
            `for_tasks` finds fingerprints.
        moderate: draw the probabilities of the logistic probe towards a half where its weights are uncertain.
        inputs: the length of the input itself, put beside the features for the probe, with so many times the logarithms
            of how large it was, which solubility hangs on; 0 leaves them out. None for 0, or 1 where `for_tasks` finds
            fingerprints.
        sharpness: a factor of the logits of the logistic probe. What is regularised as ranking likes it best is too
            unsure of itself. None for 1, or 2 where `for_tasks` finds fingerprints, which the validation assays of
            FS-Mol told.

    Source: a backbone with a head for each task is the multi-task baseline of FS-Mol (Stanley et al. 2021); probes of
    it are from Formont et al. 2024 (arXiv 2404.02314), whose quadratic probe is fitted by gradient descent: ours is
    in closed form. Moderation is MacKay 1992, "The evidence framework applied to classification networks".

    Example:
        >>> prior = MultitaskProbe(MLP(3), outputs=2)
        >>> support = Examples(torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]]), torch.tensor([[0, 1]]))
        >>> prior.predict(prior.observe(prior.start(1), support), support.x).argmax(-1)
        tensor([[0, 1]])
    """

    incremental: ClassVar[bool] = True
    headless: ClassVar[bool] = True
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 1e-3, "tasks_per_step": 16}

    def __init__(
        self,
        net: nn.Module,
        outputs: int = 2,
        pool: int | None = None,
        probe: Literal["logistic", "quadratic"] = "logistic",
        scale: float | None = None,
        moderate: bool = True,
        inputs: float | None = None,
        sharpness: float | None = None,
    ):
        super().__init__()
        check_positive(outputs=outputs, scale=scale, sharpness=sharpness)
        if probe not in ("logistic", "quadratic"):
            raise UnknownNameError("probe", str(probe), ("logistic", "quadratic"))
        features = getattr(net, "features", None)
        if not isinstance(features, int):
            raise MetapriorError("net: expected a network with an attribute `features`, the width F of its output")
        self.net = net
        self.outputs = outputs
        self.pool = pool
        self.probe = probe
        self.scale = 4.0 if scale is None else scale
        self.moderate = moderate
        self.inputs = 0.0 if inputs is None else inputs
        self.sharpness = 1.0 if sharpness is None else sharpness
        self.head = uninitialised(nn.Linear, features, outputs if pool is None else pool)
        initialise(nn.ModuleDict({"head": self.head}), seed=0)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features and a head for each task.

        For fingerprints the network is wide and has dropout, and the probe sees the fingerprint beside features. Both
        are short, since features that many tasks have shaped should not be bent far by a few examples.
        """
        plain = not (spec.is_image or spec.net or spec.tokens)
        if net is None and plain and math.prod(spec.x_shape) >= _WIDE:
            net = MLP(math.prod(spec.x_shape), hidden=(1024, 512), norm="layer", seed=seed, dropout=0.2)
            chosen = {"scale": 2.0, "inputs": 1.0, "sharpness": 2.0}
            arguments |= {name: value for name, value in chosen.items() if arguments.get(name) is None}
        return cls(
            default_net(spec, None, seed) if net is None else net,
            **({"outputs": spec.outputs, "pool": spec.pool} | arguments),
        )

    def loss(self, episode: Episode) -> Tensor:
        """Return the mean loss over the tasks of their heads, on support and query together."""
        examples = episode.support.joined(episode.query)
        features = apply(self.net, examples.x, examples.mask)
        if self.pool is None:
            return task_losses(self.head(features), examples).mean()
        if episode.labels is None:
            raise MetapriorError("episode: expected `labels`, the pool's own class ids, since `pool` was given")
        rows = episode.labels.clamp(min=0)
        logits = features @ self.head.weight[rows].transpose(1, 2) + self.head.bias[rows][:, None]
        present = (episode.labels >= 0).sum(1)
        return task_losses(restrict(logits, present), examples, episode.ways).mean()

    def start(self, tasks: int, about: Tree = None) -> Labelled:
        """Return the belief that nothing has been seen."""
        return nothing(tasks, self.outputs, self.head.weight)

    def observe(self, state: Labelled, examples: Examples) -> Labelled:
        """Add the features and targets of labelled examples."""
        return added(state, replace(examples, x=self._features(examples.x, examples.mask)))

    def predict(self, state: Labelled, x: Tree) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` of the probes."""
        seen, queries = state[:3], self._features(x)
        if not bool(state.classes.all()):
            return ridge(*seen, queries, self._scales(queries))[0]
        if self.probe == "quadratic":
            return quadratic(*seen, queries)
        return self.sharpness * logistic(*seen, queries, self.moderate)

    def deviation(self, state: Labelled, x: Tree) -> Tensor | None:
        """Return the standard deviation `(T, Q, D)` of what will be measured, for regression."""
        if bool(state.classes.any()):
            return None
        queries = self._features(x)
        return ridge(*state[:3], queries, self._scales(queries))[1].sqrt()

    def _scales(self, features: Tensor) -> Tensor | None:
        """Return factors of features that a ridge chooses from: a value may hang on the input more than on the rest."""
        if not self.inputs:
            return None
        scales = features.new_ones(3, features.shape[-1])
        own = int(self.net.features)  # type: ignore[arg-type]
        scales[1, :own] = _LESS
        scales[2, own:-2] = _LESS
        return scales

    def _features(self, x: Tree, mask: Tensor | None = None) -> Tensor:
        features = functional.normalize(apply(self.net, x, mask), dim=-1) * self.scale
        if not self.inputs:
            return features
        inputs = x.flatten(2)
        sizes = torch.stack([inputs.norm(1, dim=-1), inputs.norm(dim=-1)], dim=-1).log1p()
        return torch.cat([features, self.inputs * functional.normalize(inputs, dim=-1), self.inputs * sizes], dim=-1)
