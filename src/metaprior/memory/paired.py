"""Layer-distributed memory that an example enters together with its label, and that predicting leaves as it was.

Axis letters: T streams, S steps, N support, Q query, R reads, W writes, C classes, D target features, K numbers of
feedback.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from metaprior.allocator import keep_some_memory
from metaprior.memory.cells import Carried, Cell, Means
from metaprior.memory.feedback import arrivals, encode, nothing, resized
from metaprior.memory.layers import STAGES, CellName, Feedback, LayerMemory, Remembered
from metaprior.nets import channels_last
from metaprior.registry import priors
from metaprior.tasks.episode import Examples
from metaprior.tasks.stream import EVERY, Stream
from metaprior.tree import Tree, map_tensors

__all__ = ["PairedMemory"]


@priors.register("paired_memory")
class PairedMemory(LayerMemory):
    """Learn within a stream, by no gradient step: every cell sees an example and its label in one step.

    `DistributedMemory` is told the label of an example at the step of a later one, and has to discover that the two
    belong together: hence its long plateau. Here a label comes with its image, in a step of its own; to predict, the
    cells take a step that is told nothing, and forget it. So all predictions of a stream, but for the order of blocks,
    are computed at once. What a cell gives is added to what its block gives, so that a network that knows its way
    already is a good start.

    Args:
        net: from `(N, *x)` to logits `(N, C)`, of pixels `(N, C, H, W)`, or values `(N, D)`, without batch norm.
        x_shape: of one input.
        outputs: C or D.
        where: see `DistributedMemory`, as for the arguments after it.
        feedback: which cells are told labels.
        steps_at_once: how many steps a block computes before the next block does.
        save_memory: compute again in the backward pass what lies between.
        cell: "lstm", "external", "dnc", or "fast", fast weights, with which streams are learned from without a plateau.
        means: where the network labels pixels, also tell every place of a cell what the cell is given, in the mean over
            each class of the mask.
        residual: add what a block gives to what its cell gives.

    Source: Babu et al. 2021, "Online meta-learning via learning with layer-distributed memory", NeurIPS 2021, of which
    the summary alone could be read. Differs: labels are shown with their images, and predicting leaves no trace, as in
    conditional neural processes.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = PairedMemory(MLP(inputs=4, outputs=3), x_shape=(4,), outputs=3)
        >>> stream = Stream(Examples(torch.rand(2, 7, 4), torch.randint(3, (2, 7))), delay=2)
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
        steps_at_once: int | None = None,
        save_memory: bool = False,
        cell: CellName = "lstm",
        means: bool = True,
        residual: bool = True,
    ):
        mean: Means = "now" if means else "none"
        super().__init__(net, x_shape, outputs, where, feedback, steps_at_once, save_memory, cell, mean, residual)
        self.means = means

    def observe(self, state: Remembered, examples: Examples) -> Remembered:
        """Take a step on each example in turn, each told its label.

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
        return state._replace(
            cells=self._step(examples.x[:, :0], examples.x, told, examples.mask, None, state.cells)[1]
        )

    def predict(self, state: Remembered, x: Tree) -> Tensor:
        """Return logits or values as `Prior.predict` does."""
        self._check(state, x)
        none = x.new_zeros(x.shape[:2], dtype=torch.int64)
        return self._step(x, x[:, :0], state.label[:, None][:, :0], None, none, state.cells)[0]

    def follow(
        self, stream: Stream, state: Remembered | None = None, steps: slice = EVERY
    ) -> tuple[Tensor, Remembered]:
        """Predict steps of a stream; see `Prior.follow`. An example is remembered when its label arrives."""
        state = self.start(stream.tasks) if state is None else state
        self._check(state, stream.examples.x)
        part, earlier = stream.part(steps)
        x, cells = part.examples.x, state.cells
        told = encode(part.examples, self.outputs, state.label)
        order, come = arrivals(part)
        rows = torch.arange(part.tasks, device=order.device)[:, None]
        size = self.steps_at_once or self._group(part.tasks, part.steps - earlier)
        logits = []
        for first in range(earlier, part.steps, size):
            last = min(first + size, part.steps)
            before, after = come[:, first : first + 1], come[:, last : last + 1]
            written = before + torch.arange(int((after - before).max()), device=order.device)
            chosen, real = order[rows, written.clamp(max=part.steps - 1)], written < after
            parts = x[:, first:last], x[rows, chosen], told[rows, chosen], real, come[:, first:last] - before, cells
            if self.save_memory and torch.is_grad_enabled():
                output, cells = checkpoint(self._step, *parts, use_reentrant=False)
            else:
                output, cells = self._step(*parts)
            logits.append(output)
        return torch.cat(logits, dim=1), state._replace(cells=cells)

    def _step(
        self,
        asked: Tensor,
        x: Tensor,
        told: Tensor,
        real: Tensor | None,
        after: Tensor | None,
        carried: dict[str, Carried],
    ) -> tuple[Tensor, dict[str, Carried]]:
        """Write examples `(T, W, *x)`, and predict inputs `(T, R, *x)`, each after a number of writes `(T, R)`."""
        tasks, reads = asked.shape[:2]
        left: dict[str, Carried] = {}
        none = nothing(tasks * reads, self.outputs, told, tuple(told.shape[3:]))[:, None]

        def through(name: str, cell: Cell, output: Tensor) -> Tensor:
            places = cell.shape[1:] if isinstance(cell, Cell) else ()
            maps = output.unflatten(0, (-1, tasks)).transpose(0, 1)
            questions, examples = maps[:, :reads], maps[:, reads:]
            states, answers = carried[name], questions
            if examples.shape[1]:
                outputs, states = cell.trace(examples, carried[name], resized(told, places), real)
                left[name] = map_tensors(lambda leaf: leaf[:, -1], states)
                states = map_tensors(lambda old, new: torch.cat([old[:, None], new], dim=1), carried[name], states)
            else:
                left[name], states = carried[name], map_tensors(lambda leaf: leaf[:, None], carried[name])
            if reads:
                found = map_tensors(lambda leaf: _at(leaf, after).flatten(0, 1), states)
                answers = cell(questions.flatten(0, 1)[:, None], found, resized(none, places))[0].view(questions.shape)
            both = torch.cat([answers, outputs], dim=1) if examples.shape[1] else answers
            return both.transpose(0, 1).flatten(0, 1)

        flat = torch.cat([asked, x], dim=1).transpose(0, 1).flatten(0, 1)
        if flat.ndim == 4:
            keep_some_memory()
            flat = channels_last(flat)
        with self._cells_in_place(through):
            logits = self.net(flat).unflatten(0, (-1, tasks))[:reads]
        return logits.transpose(0, 1), left


def _at(states: Tensor, after: Tensor | None) -> Tensor:
    """Return, of states after 0, 1, ... writes `(T, W + 1, ...)`, those after the numbers given, `(T, R, ...)`."""
    assert after is not None
    return states[torch.arange(len(after), device=after.device)[:, None], after]


priors.preset("fast_weights", "paired_memory", cell="fast")
