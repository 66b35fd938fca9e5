"""Layer-distributed memory: a recurrent cell behind every block of a network, told the labels as they arrive.

Axis letters: T streams, S steps, N support, Q query, C classes, D target features, K numbers of feedback, H and W
places.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from metaprior.allocator import keep_some_memory
from metaprior.errors import UnknownNameError
from metaprior.memory.cells import Carried, Cell, Means
from metaprior.memory.feedback import arriving, encode, nothing, previous, resized
from metaprior.memory.layers import STAGES, CellName, Feedback, LayerMemory, Remembered
from metaprior.nets import channels_last
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, check_tasks
from metaprior.tasks.stream import EVERY, Stream
from metaprior.tree import Tree, map_tensors

__all__ = ["DistributedMemory"]

Late = Literal["hold", "wait"]
_LATES = ("hold", "wait")


@priors.register("distributed_memory")
class DistributedMemory(LayerMemory):
    """Learn within a stream, by no gradient step: cells behind the blocks of a network carry what it has taught.

    The output of a block goes through its cell, and on to the next block. At each step every cell is told the label
    that has just arrived: that of the example before, or, if labels are late, of one further back. Where the
    network labels pixels, that is a mask, averaged over the area that each place of a cell stands for.

    Args:
        net: from `(N, *x)` to logits `(N, C)`, of pixels `(N, C, H, W)`, or values `(N, D)`, without batch norm, which
            would see the future.
        x_shape: of one input.
        outputs: C or D.
        where: a regular expression; behind modules with a matching name there is a cell. Or "last", behind the last
            block alone.
        feedback: which cells are told labels: "all", the "last" one, or "none".
        late: whether an example whose label is late enters the memory at once and its label when it comes ("hold"), or
            both when the label comes ("wait").
        steps_at_once: how many steps a block computes before the next block does; None for as many as are fast, and,
            where no gradients are wanted, few enough that memory does not grow with the stream. Results do not depend
            on it.
        save_memory: keep only what is carried between such groups of steps, and compute the rest again in the backward
            pass.
        means: where the network labels pixels, also tell every place of a cell what the cell gave at the step before,
            in the mean over each class of the mask. That was for the example that the mask belongs to, unless masks
            are late and `late` is "hold".
        cell: "lstm"; or a cell with rows to write to, which it finds by content: "external", overwriting the row least
            used, or "dnc", which allocates, frees and links rows; or "fast", a matrix in which values are stored under
            keys, with `residual`.
        residual: add what a block gives to what its cell gives.

    Source: Babu et al. 2021, "Online meta-learning via learning with layer-distributed memory", NeurIPS 2021. Of the
    paper, the summary alone could be read; cells, encoding and sizes are ours.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = DistributedMemory(MLP(inputs=4, outputs=3), x_shape=(4,), outputs=3)
        >>> stream = Stream(Examples(torch.rand(2, 7, 4), torch.randint(3, (2, 7))))
        >>> prior.stream(stream).shape
        torch.Size([2, 7, 3])
    """

    def __init__(
        self,
        net: nn.Module,
        x_shape: Sequence[int],
        outputs: int,
        where: str = STAGES,
        feedback: Feedback = "all",
        late: Late = "hold",
        steps_at_once: int | None = None,
        save_memory: bool = False,
        cell: CellName = "lstm",
        means: bool = True,
        residual: bool = False,
    ):
        if late not in _LATES:
            raise UnknownNameError("choice for late", late, _LATES)
        mean: Means = "before" if means else "none"
        super().__init__(net, x_shape, outputs, where, feedback, steps_at_once, save_memory, cell, mean, residual)
        self.late = late
        self.early = late == "hold"
        self.means = means

    def observe(self, state: Remembered, examples: Examples) -> Remembered:
        """Take a step on each example in turn, each told the label of the one before.

        Args:
            state: of T streams.
            examples: `x` is `(T, N, *x)`; `y` is `(T, N)` or `(T, N, H, W)` class ids, `(T, N, D)` targets, or None if
                no label is known.

        Raises:
            ShapeError: if `examples` and `state` disagree about T, `state` is of another network, an input is not of
                `x_shape`, or a label does not fit the outputs. So do the other methods.
        """
        self._check(state, examples.x)
        if not examples.size:
            return state
        told = encode(examples, self.outputs, state.label)
        feedback, label = previous(told, state.label, examples.real)
        cells = self._run(examples.x, state.cells, feedback, examples.mask)[1]
        return Remembered(cells, label)

    def predict(self, state: Remembered, x: Tree) -> Tensor:
        """Return logits or values as `Prior.predict` does: of each query, as if it were the next of the stream."""
        self._check(state, x)
        tasks, queries = x.shape[:2]
        each = map_tensors(lambda leaf: leaf.repeat_interleave(queries, dim=0), state)
        logits, _ = self._run(x.flatten(0, 1)[:, None], each.cells, each.label[:, None], None)
        return logits.squeeze(1).unflatten(0, (tasks, queries))

    def enter(self, state: Remembered, x: Tensor) -> tuple[Tensor, Remembered]:
        """Predict the next input of each stream, and let it into the memory: one step. `tell` brings its label.

        Args:
            state: of T streams.
            x: `(T, *x)`.

        Returns:
            Logits `(T, C)` or values `(T, D)`, and the belief to which no label has come since.

        Example:
            >>> from metaprior.nets import MLP
            >>> prior = DistributedMemory(MLP(inputs=4, outputs=3), x_shape=(4,), outputs=3)
            >>> logits, state = prior.enter(prior.start(1), torch.rand(1, 4))
            >>> prior.tell(state, torch.tensor([2])).label
            tensor([[0., 0., 1., 0.]])
        """
        self._check(state, x[:, None])
        logits, cells = self._run(x[:, None], state.cells, state.label[:, None], None)
        none = nothing(len(x), self.outputs, state.label, tuple(state.label.shape[2:]))
        return logits[:, 0], Remembered(cells, none)

    def tell(self, state: Remembered, y: Tensor) -> Remembered:
        """Return the belief to which a label of each stream has come, of whichever of its inputs so far.

        Args:
            state: of T streams.
            y: `(T,)` or `(T, H, W)` class ids, or `(T, D)` targets.

        Raises:
            ShapeError: if a label does not fit the outputs.
        """
        label = Examples(y.new_zeros(len(y), 1), y[:, None])
        check_tasks(state.label, label)
        told = encode(label, self.outputs, state.label)[:, 0]
        # Labels that come between two steps are told together; see `feedback.arriving`.
        first = state.label[:, -1:] > 0
        return state._replace(label=torch.where(first, told, state.label + told))

    def follow(
        self, stream: Stream, state: Remembered | None = None, steps: slice = EVERY
    ) -> tuple[Tensor, Remembered]:
        """Predict steps of a stream; see `Prior.follow`. Takes one pass, unless labels are late and waited for."""
        state = self.start(stream.tasks) if state is None else state
        self._check(state, stream.examples.x)
        if self.late == "wait" and not stream.at_once:
            return super().follow(stream, state, steps)
        part, first = stream.part(steps)
        if stream.at_once:
            told = encode(part.examples, self.outputs, state.label)
            feedback, label = previous(told, state.label, part.examples.real)
        else:
            feedback, label = arriving(part, self.outputs, state.label, first)
        real = part.examples.mask
        logits, cells = self._run(
            part.examples.x[:, first:], state.cells, feedback, None if real is None else real[:, first:]
        )
        return logits, Remembered(cells, label)

    def _run(
        self, x: Tensor, carried: dict[str, Carried], feedback: Tensor, real: Tensor | None
    ) -> tuple[Tensor, dict[str, Carried]]:
        """Run the network over steps `(T, S, *x)`, a group of them at a time; return logits, and what is carried on."""
        size = self.steps_at_once or self._group(len(x), x.shape[1])
        logits = []
        for first in range(0, x.shape[1], size):
            group = slice(first, first + size)
            parts = x[:, group], carried, feedback[:, group], None if real is None else real[:, group]
            if self.save_memory and torch.is_grad_enabled():
                output, carried = checkpoint(self._steps, *parts, use_reentrant=False)
            else:
                output, carried = self._steps(*parts)
            logits.append(output)
        return torch.cat(logits, dim=1), carried

    def _steps(
        self, x: Tensor, carried: dict[str, Carried], feedback: Tensor, real: Tensor | None
    ) -> tuple[Tensor, dict[str, Carried]]:
        after: dict[str, Carried] = {}
        # Steps come first, as cells want them; maps are fastest with the channels last.
        first = x.transpose(0, 1)
        sizes = first.shape[:2]

        def through(name: str, cell: nn.Module, output: Tensor) -> Tensor:
            # The other cells take maps as vectors.
            told = resized(feedback, cell.shape[1:] if isinstance(cell, Cell) else ())
            outputs, after[name] = cell(output.unflatten(0, sizes).transpose(0, 1), carried[name], told, real)
            return outputs.transpose(0, 1).flatten(0, 1)

        flat = first.flatten(0, 1)
        if flat.ndim == 4:
            keep_some_memory()
            flat = channels_last(flat)
        with self._cells_in_place(through):
            logits = self.net(flat).unflatten(0, sizes)
        return logits.transpose(0, 1), after


# An LSTM on top of a network, as in Ren et al. 2021 (arXiv 2007.04546); memory-augmented networks, Santoro et al. 2016
# (arXiv 1605.06065); the differentiable neural computer, Graves et al. 2016. Differs: the network is acquired with it.
priors.preset("lstm", "distributed_memory", where="last")
priors.preset("mann", "distributed_memory", where="last", cell="external")
priors.preset("dnc", "distributed_memory", where="last", cell="dnc")
