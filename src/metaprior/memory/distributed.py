"""Layer-distributed memory: a recurrent cell behind every block of a network, told the labels as they arrive.

Axis letters: T streams, S steps, N support, Q query, C classes, D target features, K numbers of feedback, H and W
places.
"""

import copy
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from metaprior.allocator import keep_some_memory
from metaprior.errors import MetapriorError, ShapeError, UnknownNameError, check_pattern, check_positive
from metaprior.memory.cells import Carried, Cell
from metaprior.memory.dnc import DNC
from metaprior.memory.external import ExternalMemory
from metaprior.memory.feedback import arriving, encode, nothing, previous, resized, width
from metaprior.nets import Conv4, channels_last, default_net
from metaprior.nets.norm import builtin_norms, sees_batch
from metaprior.prior import Prior
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import KINDS
from metaprior.tasks.stream import Stream
from metaprior.tree import Tree, map_tensors, tensors

__all__ = ["DistributedMemory", "Remembered"]

Feedback = Literal["all", "last", "none"]
Late = Literal["hold", "wait"]
CellName = Literal["lstm", "external", "dnc"]
_CELLS: dict[str, type[Cell] | type[ExternalMemory] | type[DNC]] = {
    "lstm": Cell,
    "external": ExternalMemory,
    "dnc": DNC,
}
_FEEDBACKS = ("all", "last", "none")
_LATES = ("hold", "wait")
STAGES = r"^(blocks|rectifiers|encoder|decoder)\.\d+$"
"""The pattern of the blocks of the library's own networks."""
_GROUP = 16
"""Steps at a time, at most, where nothing is kept for a gradient: enough to be fast, few enough to be small."""
_VALUES = 2**22
"""Gates of all streams and steps at a time, at most: beyond 32 MB, the system takes memory back and clears it anew."""


class Remembered(NamedTuple):
    """The belief of a layer-distributed memory.

    Args:
        cells: what each cell carries, by the name of its block.
        label: `(T, K)`, or, for a mask, `(T, K, H, W)`: what arrived last and no cell has been told yet.
    """

    cells: dict[str, Carried]
    label: Tensor


@priors.register("distributed_memory")
class DistributedMemory(Prior):
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
            used, or "dnc", which allocates, frees and links rows.

    Source: Babu et al. 2021, "Online meta-learning via learning with layer-distributed memory", NeurIPS 2021. Of the
    paper, the summary alone could be read; cells, encoding and sizes are ours.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = DistributedMemory(MLP(inputs=4, outputs=3), x_shape=(4,), outputs=3)
        >>> stream = Stream(Examples(torch.rand(2, 7, 4), torch.randint(3, (2, 7))))
        >>> prior.stream(stream).shape
        torch.Size([2, 7, 3])
    """

    kinds: ClassVar[frozenset[str]] = frozenset(KINDS)
    order_free: ClassVar[bool] = False
    incremental: ClassVar[bool] = True
    batch_norm: ClassVar[bool] = False
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 2e-3, "tasks_per_step": 16}

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
    ):
        super().__init__()
        check_positive(outputs=outputs, steps_at_once=steps_at_once)
        check_pattern(where=where)
        choices = {"feedback": (feedback, _FEEDBACKS), "late": (late, _LATES), "cell": (cell, tuple(_CELLS))}
        for name, (value, known) in choices.items():
            if value not in known:
                raise UnknownNameError(f"choice for {name}", value, known)
        if sees_batch(net) or builtin_norms(net):
            raise MetapriorError("net: expected one without batch norm, which would see later steps; got one with it")
        self.net = net
        self.x_shape = tuple(x_shape)
        self.outputs = outputs
        self.where = where
        self.feedback = feedback
        self.late = late
        self.early = late == "hold"
        self.steps_at_once = steps_at_once
        self.save_memory = save_memory
        self.cell = cell
        self.means = means
        shapes = self._shapes()
        if not shapes:
            names = ", ".join(name for name, _ in net.named_modules() if name)
            raise MetapriorError(f"where: expected a pattern that matches one of {names}; got '{where}'")
        told = {name for name in shapes if feedback == "all" or (feedback == "last" and name == list(shapes)[-1])}
        random = torch.Generator().manual_seed(getattr(net, "seed", 0) + 1)
        self._places = list(shapes)
        self.cells = nn.ModuleList(
            self._cell(shape, width(outputs) if name in told else 0, random) for name, shape in shapes.items()
        )

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network for the inputs; Conv4 has 32 features and group norm here."""
        if net is None and spec.is_image and spec.kind != "segmentation" and spec.x_shape[1] >= 16:
            net = Conv4(spec.x_shape[0], spec.x_shape[1], spec.outputs, width=32, norm="group", seed=seed)
        given: dict[str, Any] = {"x_shape": spec.x_shape, "outputs": spec.outputs} | arguments
        return cls(default_net(spec, spec.outputs, seed) if net is None else net, **given)

    def start(self, tasks: int, about: Tree = None) -> Remembered:
        """Return memories of nothing, and no label."""
        cells = {name: cell.start(tasks) for name, cell in zip(self._places, self._cells, strict=True)}
        return Remembered(cells, nothing(tasks, self.outputs, next(self.cells.parameters()), self._mask))

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

    def stream(self, stream: Stream, state: Remembered | None = None) -> Tensor:
        """Predict every step of a stream; see `Prior.stream`. Takes one pass, unless labels are late and waited for."""
        if self.late == "wait" and not stream.at_once:
            return super().stream(stream, state)
        return self.follow(stream, state)[0]

    def follow(self, stream: Stream, state: Remembered | None = None) -> tuple[Tensor, Remembered]:
        """Predict every step of a stream, and return what is remembered of it.

        Labels that have not arrived by the end of the stream are no part of what is remembered.

        Returns:
            Logits or values as `stream` does, and the belief after the stream.
        """
        state = self.start(stream.tasks) if state is None else state
        self._check(state, stream.examples.x)
        told = encode(stream.examples, self.outputs, state.label)
        feedback, label = previous(told, state.label, stream.examples.real)
        if not stream.at_once:
            feedback, label = arriving(stream, self.outputs, state.label)
        logits, cells = self._run(stream.examples.x, state.cells, feedback, stream.examples.mask)
        return logits, Remembered(cells, label)

    def check_state(self, state: Remembered) -> None:
        """Raise ShapeError if what is remembered is not of the blocks of this network, or not for its outputs."""
        expected, got = ({name: _sizes(carried) for name, carried in of.cells.items()} for of in (self.start(1), state))
        if got != expected:
            raise ShapeError(f"state: expected memories of {expected}, got {got}")
        wanted = (width(self.outputs), *self._mask)
        if tuple(state.label.shape[1:]) != wanted:
            raise ShapeError(f"state: expected labels of the shape {wanted}, got {tuple(state.label.shape[1:])}")

    def _check(self, state: Remembered, x: Tensor) -> None:
        self.check_state(state)
        if tuple(x.shape[2:]) != self.x_shape:
            raise ShapeError(f"x: expected inputs of the shape {self.x_shape}, got {tuple(x.shape[2:])}")
        check_tasks(state.label, Examples(x))

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

    def _group(self, streams: int, steps: int) -> int:
        values = streams * max(4 * math.prod(cell.shape) for cell in self._cells)
        most = steps if torch.is_grad_enabled() else _GROUP
        return max(1, min(most, _VALUES // max(values, 1)))

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

    def _cell(self, shape: tuple[int, ...], feedback: int, random: torch.Generator) -> nn.Module:
        if self.cell == "lstm":
            return Cell(shape, feedback, random, self.means and bool(self._mask))
        return _CELLS[self.cell](shape, feedback, random)

    @contextmanager
    def _cells_in_place(self, through: Any) -> Iterator[None]:
        """Inside, what leaves a block goes through its cell."""
        hooks = [
            self.net.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, name=name, cell=cell: through(name, cell, output)
            )
            for name, cell in zip(self._places, self._cells, strict=True)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @property
    def _cells(self) -> list[Cell]:
        return list(self.cells)  # type: ignore[arg-type]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of what leaves each block that has a cell, in the order in which they run.

        A copy of the network is run once, on zeros; the size of its masks is noted.
        """
        shapes: dict[str, tuple[int, ...]] = {}

        def note(name: str, output: Tensor) -> None:
            if name in shapes:
                raise MetapriorError(f"where: expected blocks that run once, but '{name}' runs more often")
            if output.ndim not in (2, 4):
                raise MetapriorError(f"where: expected blocks that give vectors or maps, but '{name}' does not")
            shapes[name] = tuple(output.shape[1:])

        net = copy.deepcopy(self.net).eval()
        for name, module in net.named_modules():
            if name and re.search(STAGES if self.where == "last" else self.where, name):
                module.register_forward_hook(lambda m, i, output, name=name: note(name, output))
        like = next(net.parameters(), torch.zeros(()))
        try:
            with torch.no_grad():
                output = net(like.new_zeros(1, *self.x_shape))
        except RuntimeError as error:
            raise ShapeError(f"x_shape: the network does not take inputs of {self.x_shape} ({error})") from error
        if output.shape[1] != self.outputs:
            raise ShapeError(f"outputs: expected {output.shape[1]}, as the network has, got {self.outputs}")
        self._mask = tuple(output.shape[2:])
        return dict(list(shapes.items())[-1:]) if self.where == "last" else shapes


def _sizes(carried: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape[1:]) for leaf in tensors(carried)]


# An LSTM on top of a network, as in Ren et al. 2021 (arXiv 2007.04546); memory-augmented networks, Santoro et al. 2016
# (arXiv 1605.06065); the differentiable neural computer, Graves et al. 2016. Differs: the network is acquired with it.
priors.preset("lstm", "distributed_memory", where="last")
priors.preset("mann", "distributed_memory", where="last", cell="external")
priors.preset("dnc", "distributed_memory", where="last", cell="dnc")
