"""Hypernetworks whose code is inferred: an encoder reads it from the support set, and gradient steps may refine it.

Axis letters: T tasks, N support, Q query, C classes, D target features, E code.
"""

from typing import Any, ClassVar, Literal, NamedTuple, Self

from torch import Tensor, nn

from metaprior.errors import ShapeError
from metaprior.gradient.maml import FastWeights
from metaprior.hyper.encoder import Pooled, Pooling, SupportEncoder
from metaprior.hyper.hypernet import Adapts, Hypernet
from metaprior.hyper.hypernetwork import VECTORS, GeneratorName
from metaprior.metric.labels import memberships
from metaprior.nets import apply, default_net, width_of
from metaprior.nets.norm import Statistics
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tree import Tree

__all__ = ["Amortised", "Inference"]


class Inference(NamedTuple):
    """The belief of an amortised hypernetwork.

    Args:
        weights: the parameters that a task may change, each `(T, *shape)`; among them the code.
        statistics: mean and variance `(T, F)` that each batch norm saw in the support; empty before any example.
        pool: what the encoder keeps of the examples.
    """

    weights: dict[str, Tensor]
    statistics: Statistics
    pool: Pooled


@priors.register("amortised")
class Amortised(Hypernet):
    """Infer the code of a task from its support set, with an acquired encoder, and generate the network from it.

    The inferred code is added to the acquired one. `inner_steps` gradient steps on it may follow.

    Args:
        net: from `(N, *x)` to logits `(N, C)` or values `(N, D)`; it is generated.
        features: from `(N, *x)` to `(N, F)`, with F as its attribute `features`: what the encoder sees of an input.
        outputs: C or D.
        pooling: of the examples: by "attention" or by their "mean".
        generator: as for `Hypernet`.
        code_size: E.
        hidden: hidden units of the generator.
        generated: which parameters are generated, as for `Hypernet`.
        adapts: what the gradient steps change, as for `Hypernet`.
        inner_steps: gradient steps that follow.
        step_size: of these steps.
        first_order: leave second derivatives out of the outer gradient.
        transductive: let batch norms normalise queries by the queries' own statistics.
        test_steps: inner steps in evaluation mode; None for `inner_steps`.
        chunk: how many tasks are computed at once, as for `MAML`.
        save_memory: as for `MAML`.
        about_size: how many numbers describe a task, as for `Hypernet`.
        dynamic: as for `Hypernet`.

    Source: conditional neural processes (Garnelo et al. 2018, arXiv 1807.01613) are the preset "cnp", with a mean of
    the examples that adds to every bias; they differ in that a variance is not predicted. Latent embedding optimisation
    (Rusu et al. 2019, arXiv 1807.05960) is the preset "leo": five steps on an inferred code, from which the head is
    written; it differs in that the code is of the whole task, not of each class, and not drawn at random.

    Example:
        >>> import torch
        >>> from metaprior.nets import MLP
        >>> prior = Amortised(MLP(inputs=1, outputs=1), MLP(inputs=1), outputs=1)
        >>> state = prior.observe(prior.start(4), Examples(torch.zeros(4, 10, 1), torch.ones(4, 10, 1)))
        >>> prior.predict(state, torch.zeros(4, 7, 1)).shape
        torch.Size([4, 7, 1])
    """

    kinds: ClassVar[frozenset[str]] = Prior.kinds

    def __init__(
        self,
        net: nn.Module,
        features: nn.Module,
        outputs: int,
        pooling: Pooling = "attention",
        generator: GeneratorName = "low_rank",
        code_size: int = 64,
        hidden: int = 32,
        generated: str = ".*",
        adapts: Adapts = "code",
        inner_steps: int = 0,
        step_size: float | None = None,
        first_order: bool = False,
        transductive: bool = False,
        test_steps: int | None = None,
        chunk: int | Literal["auto"] = "auto",
        save_memory: bool = False,
        about_size: int | None = None,
        dynamic: bool = False,
    ):
        width = width_of(features, "features")
        super().__init__(
            net, generator, code_size, hidden, generated, adapts, inner_steps, step_size, first_order, transductive,
            test_steps, chunk, save_memory, about_size, dynamic,
        )  # fmt: skip
        self.features = features
        self.outputs = outputs
        self.pooling = pooling
        code, seed = len(self.net.code), getattr(features, "seed", 0)
        self.encoder = SupportEncoder(width, outputs, code, pooling=pooling, seed=seed).to(self.net.code)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with networks for the tasks: one to generate, and one for the encoder to see inputs through."""
        given = {"features": default_net(spec, None, seed), "outputs": spec.outputs} | arguments
        return super().for_tasks(spec, net, seed, **given)

    def start(self, tasks: int, about: Tree = None) -> Inference:  # type: ignore[override]
        """Return the acquired code for each of T tasks, and an empty pool."""
        return Inference(*super().start(tasks, about), self.encoder.empty(tasks))

    def observe(self, state: Inference, examples: Examples) -> Inference:  # type: ignore[override]
        """Infer the code anew from all examples so far, and take gradient steps on these.

        What gradient steps changed before is kept.

        Raises:
            ShapeError: if `examples` and `state` disagree on T, or a class id exceeds the outputs of the network.
        """
        check_tasks(state.pool.totals, examples)
        pool = self.encoder.add(state.pool, self._seen(examples), self._targets(examples), examples.real)
        code = state.weights["code"] + self.encoder.read(pool) - self.encoder.read(state.pool)
        inferred = FastWeights(state.weights | {"code": code}, state.statistics)
        return Inference(*super().observe(inferred, examples), pool)

    def _seen(self, examples: Examples) -> Tensor:
        return apply(self.features, examples.x, examples.mask)

    def _targets(self, examples: Examples) -> Tensor:
        if examples.y is not None and examples.y.is_floating_point():
            if examples.y.shape[-1] != self.outputs:
                raise ShapeError(f"y: expected {self.outputs} target features, got {examples.y.shape[-1]}")
            return examples.y
        members = memberships(examples, self.outputs, self.net.code.dtype)
        if members.shape[-1] > self.outputs:
            raise ShapeError(f"y: expected class ids below {self.outputs}, got {members.shape[-1] - 1}")
        return members


priors.preset("cnp", "amortised", pooling="mean", generator="linear", generated=VECTORS)
priors.preset("leo", "amortised", generated=r"^head\.", inner_steps=5)
