"""What priors with a cell behind every block of a network share: where cells are, what they carry, and checks.

Axis letters: T streams, S steps, C classes, D target features, K numbers of feedback, H and W places.
"""

import copy
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError, ShapeError, UnknownNameError, check_pattern, check_positive
from metaprior.memory.cells import Carried, Cell, Means
from metaprior.memory.dnc import DNC
from metaprior.memory.external import ExternalMemory
from metaprior.memory.fast import FastWeights
from metaprior.memory.feedback import nothing, width
from metaprior.nets import Conv4, default_net
from metaprior.nets.norm import builtin_norms, sees_batch
from metaprior.prior import Prior
from metaprior.tasks.episode import Examples, TaskSpec, check_tasks
from metaprior.tasks.scores import KINDS
from metaprior.tree import Tree, tensors

__all__ = ["STAGES", "CellName", "Feedback", "LayerMemory", "Remembered", "Through"]

Feedback = Literal["all", "last", "none"]
CellName = Literal["lstm", "external", "dnc", "fast"]
Through = Callable[[str, Any, Tensor], Tensor]
_CELLS: dict[str, type[nn.Module]] = {
    "lstm": Cell,
    "external": ExternalMemory,
    "dnc": DNC,
    "fast": FastWeights,
}
_FEEDBACKS = ("all", "last", "none")
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


class LayerMemory(Prior):
    """A prior with cells behind the blocks of a network; a subclass says how examples enter them.

    Args:
        net: from `(N, *x)` to logits `(N, C)`, of pixels `(N, C, H, W)`, or values `(N, D)`, without batch norm, which
            would see the future.
        x_shape: of one input.
        outputs: C or D.
        where: a regular expression; behind modules with a matching name there is a cell. Or "last", behind the last
            block alone.
        feedback: which cells are told labels: "all", the "last" one, or "none".
        steps_at_once: how many steps a block computes before the next block does; None for as many as are fast, and,
            where no gradients are wanted, few enough that memory does not grow with the stream. Results do not depend
            on it.
        save_memory: keep only what is carried between such groups of steps, and compute the rest again in the backward
            pass.
        cell: "lstm"; or a cell with rows to write to, which it finds by content: "external", overwriting the row least
            used, or "dnc", which allocates, frees and links rows; or "fast", fast weights, with `residual`.
        means: what cells that are told masks are told besides; see `Cell`.
        residual: whether what a block gives is added to what its cell gives.
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
        where: str,
        feedback: Feedback,
        steps_at_once: int | None,
        save_memory: bool,
        cell: CellName,
        means: Means,
        residual: bool,
    ):
        super().__init__()
        check_positive(outputs=outputs, steps_at_once=steps_at_once)
        check_pattern(where=where)
        for name, value, known in (("feedback", feedback, _FEEDBACKS), ("cell", cell, tuple(_CELLS))):
            if value not in known:
                raise UnknownNameError(f"choice for {name}", value, known)
        if cell == "fast" and not residual:
            raise MetapriorError("residual: expected True where the cell is 'fast', which gives what it finds alone")
        if sees_batch(net) or builtin_norms(net):
            raise MetapriorError("net: expected one without batch norm, which would see later steps; got one with it")
        self.net = net
        self.x_shape = tuple(x_shape)
        self.outputs = outputs
        self.where = where
        self.feedback = feedback
        self.steps_at_once = steps_at_once
        self.save_memory = save_memory
        self.cell = cell
        self.residual = residual
        shapes = self._shapes()
        if not shapes:
            names = ", ".join(name for name, _ in net.named_modules() if name)
            raise MetapriorError(f"where: expected a pattern that matches one of {names}; got '{where}'")
        told = {name for name in shapes if feedback == "all" or (feedback == "last" and name == list(shapes)[-1])}
        random = torch.Generator().manual_seed(getattr(net, "seed", 0) + 1)
        self._places = list(shapes)
        self.cells = nn.ModuleList(
            self._cell(shape, width(outputs) if name in told else 0, random, means) for name, shape in shapes.items()
        )
        self._carried = {name: _sizes(carried) for name, carried in self.start(1).cells.items()}

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

    def check_state(self, state: Remembered) -> None:
        """Raise ShapeError if what is remembered is not of the blocks of this network, or not for its outputs."""
        got = {name: _sizes(carried) for name, carried in state.cells.items()}
        if got != self._carried:
            raise ShapeError(f"state: expected memories of {self._carried}, got {got}")
        wanted = (width(self.outputs), *self._mask)
        if tuple(state.label.shape[1:]) != wanted:
            raise ShapeError(f"state: expected labels of the shape {wanted}, got {tuple(state.label.shape[1:])}")

    def _check(self, state: Remembered, x: Tensor) -> None:
        self.check_state(state)
        if tuple(x.shape[2:]) != self.x_shape:
            raise ShapeError(f"x: expected inputs of the shape {self.x_shape}, got {tuple(x.shape[2:])}")
        check_tasks(state.label, Examples(x))

    def _group(self, streams: int, steps: int) -> int:
        values = streams * max(4 * math.prod(cell.shape) for cell in self._cells)
        most = _GROUP
        if torch.is_grad_enabled():
            # What is kept of all groups, and what is computed again of one, are about as much.
            most = math.isqrt(steps - 1) + 1 if self.save_memory else steps
        return max(1, min(most, _VALUES // max(values, 1)))

    def _cell(self, shape: tuple[int, ...], feedback: int, random: torch.Generator, means: Means) -> nn.Module:
        if self.cell == "lstm":
            return Cell(shape, feedback, random, means if self._mask else "none")
        return _CELLS[self.cell](shape, feedback, random)

    @contextmanager
    def _cells_in_place(self, through: Through) -> Iterator[None]:
        """Inside, what leaves a block goes through its cell."""

        def routed(name: str, cell: Cell) -> Callable[..., Tensor]:
            if self.residual:
                return lambda module, inputs, output: output + through(name, cell, output)
            return lambda module, inputs, output: through(name, cell, output)

        hooks = [
            self.net.get_submodule(name).register_forward_hook(routed(name, cell))
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
        except (RuntimeError, ShapeError) as error:
            raise ShapeError(f"x_shape: the network does not take inputs of {self.x_shape} ({error})") from error
        if output.shape[1] != self.outputs:
            raise ShapeError(f"outputs: expected {output.shape[1]}, as the network has, got {self.outputs}")
        self._mask = tuple(output.shape[2:])
        return dict(list(shapes.items())[-1:]) if self.where == "last" else shapes


def _sizes(carried: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape[1:]) for leaf in tensors(carried)]
