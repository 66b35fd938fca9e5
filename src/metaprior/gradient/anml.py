"""A neuromodulated meta-learning algorithm: a second network gates the features on which a head learns.

Axis letters: F features.
"""

import math
from typing import Any, Self

from torch import Tensor, nn

from metaprior.errors import MetapriorError
from metaprior.gradient.oml import OML
from metaprior.nets import MLP, Conv4, apply, builtin_norms, default_net
from metaprior.nets.norm import sees_batch
from metaprior.registry import priors
from metaprior.tasks.episode import TaskSpec
from metaprior.tree import Tree

__all__ = ["ANML"]


@priors.register("anml")
class ANML(OML):
    """OML whose features are multiplied by gates from 0 to 1, which a neuromodulatory network computes of the input.

    A gate decides which features an example uses, and with that which weights of the head it changes.

    Args:
        net: from `(N, *x)` to features `(N, F)`, as for `OML`: the prediction network without its head.
        gate: from `(N, *x)` to what becomes F gates: the neuromodulatory network.
        outputs: C or D; a class id must be below it.
        pool: G, as for `OML`.
        regression: as for `OML`.
        unknown: as for `OML`.
        step_size: of each step.

    Source: Beaulieu et al. 2020 (arXiv 2002.09571), algorithm 1 and figure 1. Differs: the inner steps change the head
    alone, as they do in the test of the published code; there, they changed all of the prediction network during
    acquisition. Norms are of groups instead of batches, rows are set to zero, as in `OML`.

    Example:
        >>> import torch
        >>> prior = ANML(MLP(inputs=4, hidden=(8,)), MLP(inputs=4, outputs=8), outputs=3)
        >>> prior.predict(prior.start(2), torch.rand(2, 5, 4)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        net: nn.Module,
        gate: nn.Module,
        outputs: int,
        pool: int | None = None,
        regression: bool = False,
        unknown: bool = False,
        step_size: float | None = None,
    ):
        super().__init__(net, outputs, pool, regression, unknown, step_size)
        if sees_batch(gate) or builtin_norms(gate):
            raise MetapriorError("gate: expected a network without batch norm, which would see later examples")
        self.gate = gate

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features, and one of gates: for images, a Conv4 half as wide, as published."""
        built = default_net(spec, None, seed, batch_norm=False) if net is None else net
        if "gate" not in arguments:
            width = int(built.features)  # type: ignore[arg-type]
            inputs = math.prod(spec.x_shape)
            arguments["gate"] = (
                Conv4(spec.x_shape[0], spec.x_shape[1], width, width=32, norm="group", seed=seed + 1)
                if isinstance(built, Conv4)
                else MLP(inputs, width, hidden=(max(width // 2, 1),), seed=seed + 1)
            )
        return super().for_tasks(spec, built, seed, **arguments)

    def _represented(self, x: Tree, mask: Tensor | None) -> Tensor:
        return super()._represented(x, mask) * apply(self.gate, x, mask).sigmoid()
