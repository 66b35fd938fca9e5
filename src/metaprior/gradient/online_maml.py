"""MAML within streams: initial weights from which a gradient step on each example, as it comes, leads on.

Axis letters: T tasks, N support.
"""

from typing import Any, ClassVar, Self

from torch import nn

from metaprior.errors import MetapriorError
from metaprior.gradient.maml import MAML, FastWeights
from metaprior.nets import default_net
from metaprior.nets.norm import sees_batch
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec

__all__ = ["OnlineMAML"]


@priors.register("online_maml")
class OnlineMAML(MAML):
    """MAML that takes its inner steps on each example in turn, instead of on the support set as a whole.

    Acquired on streams, its objective is the loss of each prediction before its label, differentiated through all steps
    before; acquired on episodes, the loss on the queries after the last step. With `save_memory`, on here unless it is
    said otherwise, memory grows with the number of steps by a copy of the adapted weights each; `adapted` makes these
    few, `first_order` does without second derivatives.

    Takes the arguments of `MAML`; `inner_steps` are those on each example. Its network is one without batch norm, since
    one example is no batch.

    Source: Finn et al. 2017 (arXiv 1703.03400), with the updates of the continual prediction problem of Javed and White
    2019 (arXiv 1905.12588), eq. 1: one for each example of a stream.

    Example:
        >>> import torch
        >>> from metaprior.nets import MLP
        >>> from metaprior.tasks import Stream
        >>> prior = OnlineMAML(MLP(inputs=4, outputs=3), step_size=0.1)
        >>> prior.stream(Stream(Examples(torch.rand(2, 7, 4), torch.randint(3, (2, 7))))).shape
        torch.Size([2, 7, 3])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    order_free: ClassVar[bool] = False
    incremental: ClassVar[bool] = True
    batch_norm: ClassVar[bool] = False

    def _prepare(self) -> None:
        if sees_batch(self.net):
            raise MetapriorError(
                "net: expected one without batch norm, since examples come one by one; got one with it"
            )

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of as many outputs as the tasks have; Conv4 has group norm here."""
        net = default_net(spec, spec.outputs, seed, batch_norm=False) if net is None else net
        if arguments.get("save_memory") is None:
            arguments["save_memory"] = True
        return super().for_tasks(spec, net, seed, **arguments)

    def observe(self, state: FastWeights, examples: Examples) -> FastWeights:
        """Take gradient steps on each example in turn; see `MAML.observe`."""
        for step in range(examples.size):
            state = super().observe(state, examples.take(slice(step, step + 1)))
        return state
