"""A user's own table, read and encoded: its rows dealt to splits, tasks and classes.

Axis letters: R rows of a split, F features, K tasks of a split, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.tasks.columns import Column, column_kinds, numbers_in, target_of, texts, without_words
from metaprior.tasks.encoding import encode_table, fit_column
from metaprior.tasks.rows import good_rows, need_columns, problems, read_table
from metaprior.tasks.source import Split
from metaprior.tasks.splits import split_names

__all__ = ["LoadedTable", "Part", "load_table"]


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one split, those of one class of one task next to each other.

    Args:
        x: `(R, F)`.
        y: `(R,)`, standardised targets; class ids where there are classes.
        starts: `(K, C)`, where the rows of each class of each task begin; C is 1 for regression.
        counts: `(K, C)`, how many they are.
        names: of the tasks, K of them.
    """

    x: Tensor
    y: Tensor
    starts: Tensor
    counts: Tensor
    names: list[str]


@dataclass(frozen=True, eq=False)
class LoadedTable:
    """A table as numbers.

    Args:
        inputs: how a row becomes an input, and a target; ready for JSON.
        classes: names of all classes, in the order of their ids; none for regression.
        known: how many of them, the first, occur in training tasks.
        parts: the rows of each split.
    """

    inputs: dict[str, Any]
    classes: list[str]
    known: int
    parts: Mapping[Split, Part]


def load_table(
    file: str,
    task: str,
    target: str,
    ways: int | None,
    kind: str,
    ignore: Sequence[str],
    categorical: Sequence[str],
    splits: Sequence[float],
    seed: int,
    skip_bad: bool,
) -> LoadedTable:
    """Read a table and encode it as its training tasks say; the arguments are those of `metaprior.tasks.Table`.

    Raises:
        DataError: if it cannot be read, lacks a column, has no features, or has a bad row and `skip_bad` is false.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "doses.csv"
        >>> rows = [f"assay{task},{dose},{task * dose}" for task in range(10) for dose in range(4)]
        >>> _ = file.write_text("\\n".join(["assay,dose,effect", *rows]))
        >>> table = load_table(str(file), "assay", "effect", None, "auto", (), (), (0.6, 0.2, 0.2), 0, False)
        >>> table.parts["train"].x.shape
        torch.Size([24, 1])
    """
    frame = read_table(file, "file")
    wanted = {"task": [task], "target": [target], "ignore": ignore, "categorical": categorical}
    for argument, columns in wanted.items():
        need_columns(frame, columns, argument, file)
    frame = frame.apply(without_words)
    names = [name for name in frame.columns if name not in {task, target, *ignore}]
    for name in [target, *(name for name in names if name not in categorical)]:
        written = frame[name].dropna().astype(str).str.strip()
        if len(with_comma := written[written.str.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?")]) > len(written) / 2:
            raise DataError(f"file: column '{name}' of {file} has '{with_comma.iloc[0]}'; write numbers with points")
    kind, numeric = target_of(frame[target], kind)

    own = {task: "category", target: "number" if numeric else "category"}
    bad = problems(frame, own, needed=own)
    tasks = texts(frame[task])
    dealt = split_names(tasks[~frame.index.isin(list(bad))], splits, seed)
    training = tasks.isin(dealt["train"])
    kinds = column_kinds(frame[training], names, categorical)
    if not kinds:
        raise DataError(f"file: {file} has no values besides the task, the target and the ignored columns")
    bad = problems(frame, own | kinds, needed=own)
    known: list[str] = []
    if kind == "classification":
        good = texts(frame.loc[~frame.index.isin(list(bad)), target])
        known = sorted(good[training[good.index]].unique(), key=_natural)
        if ways is None:
            bad |= {
                row: f"class '{label}' occurs in no training task (with ways, classes may differ from task to task)"
                for row, label in good[~good.isin(known)].items()
            }
    frame = good_rows(frame, bad, "file", file, skip_bad)
    frame = frame.assign(**{name: numbers_in(frame[name]) for name in kinds if kinds[name] == "number"})
    training, tasks = training[frame.index], tasks[frame.index]

    facts: dict[str, Any] = {"name": target, "kind": kind}
    classes: list[str] = []
    if kind == "regression":
        standard = fit_column(frame.loc[training, target], "number")
        facts |= {"mean": standard["mean"], "scale": standard["scale"]}
        y = (numbers_in(frame[target]) - facts["mean"]) / facts["scale"]
    else:
        facts["classes"] = known if ways is None else None
        labels = texts(frame[target])
        classes = known + sorted(set(labels) - set(known), key=_natural)
        y = labels.map({name: index for index, name in enumerate(classes)}).to_numpy()
    fitted = [fit_column(frame.loc[training, name], kind) for name, kind in kinds.items()]
    inputs = {"kind": "table", "task": task, "columns": fitted, "target": facts}
    x = encode_table(frame, inputs)
    parts: dict[Split, Part] = {split: _part(x, y, tasks, chosen, len(classes)) for split, chosen in dealt.items()}
    return LoadedTable(inputs, classes, len(known), parts)


def _natural(name: str) -> tuple[float, str]:
    """Order numbers by value, before text."""
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name


def _part(x: Tensor, y: np.ndarray, tasks: Column, names: list[str], classes: int) -> Part:
    code = tasks.map({name: index for index, name in enumerate(names)})
    inside = code.notna().to_numpy(copy=True)
    values = torch.from_numpy(y[inside].astype(np.int64 if classes else np.float32))
    owners = torch.from_numpy(np.array(code[inside], dtype=np.int64))
    width = max(classes, 1)
    cells = owners * width + (values if classes else 0)
    order = cells.argsort(stable=True)
    counts = cells.bincount(minlength=len(names) * width)
    starts = counts.cumsum(0) - counts
    shape = (len(names), width)
    return Part(x[torch.from_numpy(inside)][order], values[order], starts.view(shape), counts.view(shape), names)
