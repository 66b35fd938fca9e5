"""A user's own table: a CSV with a row for each example, a column that names its task, and a target.

Axis letters: T tasks, N support, Q query, C classes, K tasks of a split, R rows of a split, F features.
"""

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.loaded_table import LoadedTable, Part, load_table
from metaprior.tasks.source import Split, TaskSource
from metaprior.tree import fingerprint

__all__ = ["Table"]


@sources.register("table")
class Table(TaskSource):
    """Tasks from one's own table: predict the target of a row from its other columns, given rows of the same task.

    The tasks are divided into the three splits by their names. Numbers are standardised and categories spelt out as
    features, both as the training tasks alone say; a regression target is standardised in the same way.

    Args:
        file: a CSV with a header.
        task: the column that names the task of a row.
        target: the column to predict.
        shots: support rows of a task, or of each of its classes; or the least and most of them.
        queries: query rows of a task, or of each of its classes; where there are too few rows, fewer.
        ways: make tasks of so many of a task's classes, chosen and numbered anew each time; None where a class means
            the same in every task.
        kind: of the target; "auto" takes text, or at most ten different integers, for classes.
        ignore: columns to leave out, such as identifiers.
        categorical: columns of numbers that are names.
        splits: the fractions of the tasks that are for training, validation and test.
        seed: of the splits.
        skip_bad: leave out bad rows, with a warning, instead of stopping at the first.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "assays.csv"
        >>> rows = [f"assay{task},{dose},{task * dose / 7}" for task in range(10) for dose in range(20)]
        >>> _ = file.write_text("\\n".join(["assay,dose,effect", *rows]))
        >>> source = Table(file, task="assay", target="effect", shots=5)
        >>> source.sample(4, torch.Generator().manual_seed(0)).query.y.shape
        torch.Size([4, 15, 1])
    """

    def __init__(
        self,
        file: str | Path,
        task: str = "task",
        target: str = "target",
        shots: int | tuple[int, int] = 10,
        queries: int = 15,
        ways: int | None = None,
        kind: Literal["auto", "classification", "regression"] = "auto",
        ignore: Sequence[str] = (),
        categorical: Sequence[str] = (),
        splits: tuple[float, float, float] = (0.6, 0.2, 0.2),
        seed: int = 0,
        skip_bad: bool = False,
    ):
        self.file = str(file)
        self.task = task
        self.target = target
        self.shots = shots
        self.queries = queries
        self.ways = ways
        self.kind = kind
        self.ignore = ignore
        self.categorical = categorical
        self.splits = splits
        self.seed = seed
        self.skip_bad = skip_bad

    @property
    def inputs(self) -> dict[str, Any] | None:
        """How a row becomes an input, which `encode_table` does, and a target."""
        return self._loaded.inputs

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """As many features as the encoded columns, and as many outputs as `ways` or all classes."""
        loaded = self._loaded
        _ = self._eligible  # a split without a task that is large enough should be known before acquisition
        shape = (loaded.parts["train"].x.shape[1],)
        if loaded.inputs["target"]["kind"] == "regression":
            return TaskSpec("regression", shape, 1)
        return TaskSpec("classification", shape, self.ways or loaded.known, loaded.known)

    @property
    def divided(self) -> dict[str, Any]:
        """The names of the tasks of each split."""
        return {"by": "task", "splits": {split: part.names for split, part in self._loaded.parts.items()}}

    @property
    def data_hash(self) -> str:
        """16 hexadecimal digits that change when the training rows do."""
        part = self._loaded.parts["train"]
        return fingerprint((part.x, part.y, part.starts, part.counts))

    def with_shots(self, shots: int) -> Self:
        """Return the same source with another number of support rows, without reading the file again."""
        other = super().with_shots(shots)
        other._loaded = self._loaded
        return other

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T tasks, then the rows of each, or of each of its classes, without replacement within a task."""
        part, eligible = self._loaded.parts[split], self._eligible[split]
        if len(eligible) == 0:
            raise DataError(f"split: the {split} split of {self.file} has no tasks (splits are {tuple(self.splits)})")
        least, most = self._bounds
        chosen = eligible[torch.randint(len(eligible), (tasks,), generator=generator)]
        classes = torch.arange(part.counts.shape[1]).expand(tasks, -1)
        usable = part.counts[chosen] > least
        if self.ways is not None and not part.y.is_floating_point():
            scores = torch.rand(classes.shape, generator=generator).masked_fill_(~usable, -1)
            classes = scores.topk(self.ways).indices
        usable = usable.gather(1, classes)
        counts = part.counts[chosen].gather(1, classes).where(usable, 0)
        order = torch.rand(*counts.shape, int(counts.max()), generator=generator)
        missing = torch.arange(order.shape[-1]) >= counts[..., None]
        drawn = min(most + self.queries, order.shape[-1])
        order = order.masked_fill_(missing, 2.0).topk(drawn, largest=False).indices
        order += part.starts[chosen].gather(1, classes)[..., None]

        shots = torch.randint(least, most + 1, (tasks, 1), generator=generator).minimum(counts - 1).clamp(min=0)
        position = torch.arange(most).expand(*shots.shape, -1)
        support = _examples(part, order, position, position < shots[..., None])
        position = torch.arange(self.queries) + shots[..., None]
        query = _examples(part, order, position, position < counts[..., None])
        if part.y.is_floating_point():
            return Episode(support, query)
        return Episode(support, query, torch.full((tasks,), classes.shape[1]), classes)

    @cached_property
    def _loaded(self) -> LoadedTable:
        return load_table(
            self.file,
            self.task,
            self.target,
            self.ways,
            self.kind,
            self.ignore,
            self.categorical,
            self.splits,
            self.seed,
            self.skip_bad,
        )

    @property
    def _bounds(self) -> tuple[int, int]:
        least, most = (self.shots, self.shots) if isinstance(self.shots, int) else self.shots
        if not 1 <= least <= most:
            raise DataError(f"shots: expected a positive number, or the least and most of it; got {self.shots}")
        return least, most

    @cached_property
    def _eligible(self) -> dict[Split, Tensor]:
        """The tasks of each split that have enough rows."""
        least = self._bounds[0]
        loaded = self._loaded
        regression = loaded.inputs["target"]["kind"] == "regression"
        ways = 1 if regression else self.ways or 2
        if not regression and ways > len(loaded.classes):
            raise DataError(f"ways: {self.file} has {len(loaded.classes)} classes in all, too few for tasks of {ways}")
        eligible: dict[Split, Tensor] = {}
        small: list[str] = []
        for (split, part), fraction in zip(loaded.parts.items(), self.splits, strict=True):
            enough = (part.counts > least).sum(1) >= ways
            eligible[split] = enough.nonzero().flatten()
            if fraction and not enough.any():
                need = f"{least + 1} rows" if regression else f"{ways} classes of at least {least + 1} rows"
                sizes = part.counts.flatten(1).amax(1) if part.names else torch.zeros(1)
                raise DataError(
                    f"shots: none of the {len(part.names)} tasks in the {split} split of {self.file} has {need}, "
                    f"which {least} shots and a query need; the most are {int(sizes.max())} rows"
                    f"{f' of task {part.names[int(sizes.argmax())]!r}' if part.names else ''}"
                )
            small += [name for name, is_enough in zip(part.names, enough.tolist(), strict=True) if not is_enough]
        if small:
            warnings.warn(f"{len(small)} tasks have too few rows and are left out: {', '.join(small)}", stacklevel=2)
        return eligible


def _examples(part: Part, order: Tensor, position: Tensor, real: Tensor) -> Examples:
    """Flatten the rows at some positions `(T, C, S)` of the order `(T, C, M)` to examples `(T, C * S, ...)`."""
    rows = order.gather(2, position.clamp(max=order.shape[2] - 1)).clamp(max=len(part.x) - 1)
    mask = None if bool(real.all()) else real.flatten(1)
    if part.y.is_floating_point():
        y = part.y[rows].flatten(1)[..., None]
    else:
        y = torch.arange(rows.shape[1])[:, None].expand_as(rows).flatten(1)
    return Examples(part.x[rows].flatten(1, 2), y, mask)
