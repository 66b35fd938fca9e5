"""Layer-distributed memory that is read out by class means.

Axis letters: T streams, R reads, W writes, C classes, F features.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError
from metaprior.memory.cells import Carried
from metaprior.memory.layers import STAGES, CellName, Remembered
from metaprior.memory.paired import PairedMemory, at
from metaprior.metric.features import Unseen, fill_unseen, fitted, novelty_for
from metaprior.metric.protonet import Prototypes, distances
from metaprior.nets import width_of
from metaprior.registry import priors
from metaprior.tasks.episode import TaskSpec
from metaprior.tree import Tree, map_tensors

__all__ = ["PrototypicalMemory"]

_PROTOTYPES = "prototypes"


@priors.register("prototypical_memory")
class PrototypicalMemory(PairedMemory):
    """Learn within a stream twice: cells behind every block say what to look at, class means what it is.

    Examples and their labels enter the cells as in `PairedMemory`. What the network then makes of an example, without
    its label, is added to the mean of its class; an input is of the class whose mean is nearest. What fast weights give
    is zero at first, so that this begins as the prototypical network whose network it is given, acquired or new.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`; without batch norm.
        x_shape: of one input.
        outputs: C.
        where: see `DistributedMemory`, as for `steps_at_once` and `save_memory`.
        steps_at_once: how many steps a block computes before the next block does.
        save_memory: compute again in the backward pass what lies between.
        cell: "fast", fast weights; or "lstm", "external" or "dnc".
        unseen: as for `ProtoNet`; None for "alike", or what `for_tasks` chose.

    Raises:
        MetapriorError: if the network has no attribute `features`, gives maps, or has batch norm.

    Source: cells of Babu et al. 2021, "Online meta-learning via learning with layer-distributed memory", NeurIPS 2021;
    class means of Snell et al. 2017 (arXiv 1703.05175). That one changes the features of the other is ours; for a
    recurrent network behind the last block it is that of Ren et al. 2021 (arXiv 2007.04546), `CPM`.

    Example:
        >>> from metaprior.nets import MLP
        >>> from metaprior.tasks.episode import Examples
        >>> prior = PrototypicalMemory(MLP(inputs=4, hidden=(8,)), x_shape=(4,), outputs=3)
        >>> belief = prior.observe(prior.start(1), Examples(torch.eye(4)[None, :2], torch.tensor([[2, 0]])))
        >>> prior.predict(belief, torch.eye(4)[None, :2]).argmax(-1)
        tensor([[2, 0]])
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"classification"})
    headless: ClassVar[bool] = True

    def __init__(
        self,
        net: nn.Module,
        x_shape: Sequence[int],
        outputs: int,
        where: str = STAGES,
        steps_at_once: int | None = None,
        save_memory: bool = False,
        cell: CellName = "fast",
        unseen: Unseen | None = None,
    ):
        super().__init__(net, x_shape, outputs, where, "all", steps_at_once, save_memory, cell)
        if self._mask:
            raise MetapriorError("net: expected one from (N, *x) to features (N, F), got one that gives maps")
        self.unseen: Unseen = "alike" if unseen is None else unseen
        self.novelty = novelty_for(self.unseen, logit=-10.0)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features; where the last class stands for all that are unknown, that is `unseen`."""
        unseen = fitted(spec, arguments)["unseen"] if spec.unknown else arguments.get("unseen")
        return super().for_tasks(spec, net, seed, **{**arguments, "unseen": unseen})

    def start(self, tasks: int, about: Tree = None) -> Remembered:
        """Return memories of nothing, and means of no examples."""
        state = super().start(tasks)
        like, width = state.label, width_of(self.net)
        none = Prototypes(like.new_zeros(tasks, self.outputs, width), like.new_zeros(tasks, self.outputs))
        cells: dict[str, Any] = {**state.cells, _PROTOTYPES: none}
        return state._replace(cells=cells)

    def _step(
        self,
        asked: Tensor,
        x: Tensor,
        told: Tensor,
        real: Tensor | None,
        after: Tensor | None,
        carried: dict[str, Carried],
    ) -> tuple[Tensor, dict[str, Carried]]:
        features, left = self._outputs(asked, x, told, real, after, carried)
        questions, examples = features.split([asked.shape[1], x.shape[1]], dim=1)
        members = told[..., :-1] if real is None else told[..., :-1] * real[..., None]
        added = Prototypes(members[..., None] * examples[:, :, None], members)
        means = map_tensors(
            lambda old, new: torch.cat([old[:, None], new], dim=1).cumsum(1), carried[_PROTOTYPES], added
        )
        left[_PROTOTYPES] = map_tensors(lambda leaf: leaf[:, -1], means)
        if not asked.shape[1]:
            return questions.new_zeros(len(asked), 0, self.outputs), left
        known = map_tensors(lambda leaf: at(leaf, after).flatten(0, 1), means)
        logits = -distances(questions.flatten(0, 1)[:, None], known)
        logits = fill_unseen(logits, known.counts > 0, self.unseen, self.novelty)
        return logits[:, 0].unflatten(0, asked.shape[:2]), left
