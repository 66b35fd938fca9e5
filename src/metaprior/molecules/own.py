"""A chemist's or immunologist's own task: labelled molecules or sequences, and others to predict.

Axis letters: N support, Q query, F features, A numbers that describe a task.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.molecules.featurise import Featurised
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.formats import Structures
from metaprior.molecules.label_columns import check_qualifiers, label_columns
from metaprior.molecules.labels import Labels, check_few, read_labels
from metaprior.molecules.own_rows import (
    BESIDE,
    EncodedRows,
    agree,
    chosen,
    read_inputs,
    reference,
    remark_ends,
    similarity,
    usable,
)
from metaprior.molecules.replicates import merged
from metaprior.molecules.sequence_files import describe_task, describing
from metaprior.tasks.episode import Examples
from metaprior.tasks.own import OwnTask

__all__ = ["read_properties", "read_unlabelled"]

_ORDERS, _FAR = 2.5, 5.0
"""By how many powers of ten, or spreads of acquisition, the middle of a user's values may be off."""


def read_properties(
    support: str | Path,
    query: str | Path,
    inputs: Mapping[str, Any],
    target: str | Sequence[str] | None = None,
    column: str | None = None,
    skip_bad: bool = False,
    about: str | None = None,
    labels: str = "auto",
) -> list[OwnTask]:
    """Read a task for each property of a support file.

    Args:
        support: a file of structures or sequences with one or several columns of labels; a blank is a missing label.
        query: a file of structures or sequences; all its columns are kept.
        inputs: what the source of acquisition's `inputs` says.
        target: the columns to predict; None for those that the support has and the query lacks.
        column: of SMILES or sequences in both; None to find it.
        skip_bad: leave out bad rows, with a warning, instead of stopping at the first.
        about: what describes the task, for sequences; None to read it from a column.
        labels: "classification", "regression", or "auto" to find out which they are.

    Returns:
        A task for each property; each adds its name to its columns if there are several.

    Raises:
        DataError: if a file, a structure or a label cannot be used, or there is nothing to predict.
    """
    agree(inputs)
    labelled, asked = (
        read_inputs(file, name, inputs, column) for file, name in ((support, "support"), (query, "query"))
    )
    described = None
    if inputs.get("about"):
        frames = {"support": labelled.frame, "query": asked.frame}
        described = describe_task(inputs["about"], frames, labelled.column, about)[1]
    fixed = inputs.get("target")
    if fixed is not None and labels == "classification":
        raise DataError("kind: the prior was acquired on values of a fixed unit; expected 'regression', or 'auto'")
    kind = labels if fixed is None else "regression"
    apart = describing(labelled.frame, inputs["about"]["column"], labelled.column) if inputs.get("about") else []
    names = label_columns(labelled, asked, target, support, query, [*apart, *_assay(labelled, inputs, support)])
    bounded = check_qualifiers(labelled.frame, names, "support", kind)
    properties = [read_labels(bounded[name], kind, logarithms=fixed is not None) for name in names]
    for one in properties if labels == "classification" else ():
        assert one.classes is not None
        check_few(one.name, [one.classes[int(value)] for value in one.values[one.known]])
    for one in properties if fixed is not None and fixed["logarithm"] else ():
        one.problems.update(_no_logarithm(one, labelled.frame.index))
    kept, rows = usable(labelled, inputs, "support", support, skip_bad, properties)
    inside = labelled.frame.index.isin(kept.index)
    first: dict[str, int] = {}
    structure = np.array([first.setdefault(text, at) for at, text in enumerate(rows.smiles)], dtype=np.int64)

    wanted = _wanted(asked, inputs, query, skip_bad, described)
    seen = torch.cat(list(replace(wanted.x, rows=rows.rows).split()), dim=1)
    labels_of = np.logical_or.reduce([one.known[inside] for one in properties])
    near = similarity(wanted.queries, chosen(rows, torch.from_numpy(labels_of)), inputs)
    facts = list(zip(near, wanted.near, strict=True))
    tasks = []
    for one in properties:
        for remark in one.remarks:
            warnings.warn(f"support: {remark}", stacklevel=2)
        has = one.known[inside]
        given, labels_kind = one.values[inside][has], "regression" if one.classes is None else "classification"
        mine = structure[has]
        _, where, single = merged(np.zeros_like(mine), mine, given, labels_kind, "support", list(kept.index[has]))
        if not len(single):
            raise DataError(f"support: column '{one.name}' has no labels for a structure that can be used")
        values, mean, scale = torch.from_numpy(single), 0.0, 1.0
        if fixed is not None:
            mean, scale = fixed["mean"], fixed["scale"]
            values = values.log10() if fixed["logarithm"] else values
            if abs(values.median().item() - mean) > (_ORDERS if fixed["logarithm"] else _FAR * scale):
                middle, usual = (f"{10**at if fixed['logarithm'] else at:.3g}" for at in (values.median().item(), mean))
                warnings.warn(
                    f"support: column '{one.name}' has values about {middle}; those of acquisition were about "
                    f"{usual}: are they in the same unit?",
                    stacklevel=3,
                )
            y = ((values - mean) / scale).to(torch.float32)[None, :, None]
        elif one.classes is None:
            mean, scale = values.mean().item(), values.std(correction=0).item()
            if scale <= 1e-9 * max(1.0, abs(mean)):
                scale = 0.0
                warnings.warn(
                    f"support: column '{one.name}': all values are {mean:.6g}, so nothing shows what is higher or "
                    "lower, nor how uncertain it is",
                    stacklevel=2,
                )
            y = ((values - mean) / (scale or 1.0)).to(torch.float32)[None, :, None]
        else:
            y = values.long()[None]
        name = one.name if len(properties) > 1 else ""
        task = Examples(seen[:, torch.from_numpy(where)], y)
        logarithm = fixed is not None and fixed["logarithm"]
        tasks.append(
            OwnTask(
                task, wanted.x, one.classes, wanted.columns, wanted.known, mean, scale, name, BESIDE, facts,
                wanted.told, logarithm, _understood(one, inside, labelled.column, asked.column),
            )
        )  # fmt: skip
    return tasks


def read_unlabelled(
    query: str | Path,
    inputs: Mapping[str, Any],
    column: str | None = None,
    skip_bad: bool = False,
    about: str | None = None,
) -> OwnTask:
    """Read a task of which no label is known, for a prior that is told what a task is about.

    Args:
        query: a file of sequences; all its columns are kept.
        inputs: what the source of acquisition's `inputs` says.
        column: of sequences; None to find it.
        skip_bad: leave out bad rows, with a warning, instead of stopping at the first.
        about: what describes the task; None to read it from a column.

    Raises:
        DataError: if the file or a sequence cannot be used, or the prior cannot do without labels.
    """
    agree(inputs)
    described, target = inputs.get("about"), inputs.get("target")
    if not described or described["place"] == "none" or target is None:
        raise DataError(
            "support: expected labelled examples; only a prior of values of a fixed unit that is told what a task is "
            "about, as those acquired on affinities with --tasks.about are, can do without"
        )
    asked = read_inputs(query, "query", inputs, column)
    told = describe_task(described, {"query": asked.frame}, asked.column, about)[1]
    if told is None:
        raise DataError(
            f"about: expected the {described['column']}, since no label is known; give it by `about`, or in a column "
            f"'{described['column']}'"
        )
    wanted = _wanted(asked, inputs, query, skip_bad, told)
    return OwnTask(
        Examples(torch.zeros(1, 0, wanted.x.shape[2]), torch.zeros(1, 0, 1)), wanted.x, None, wanted.columns,
        wanted.known, target["mean"], target["scale"], "", BESIDE[1:], [(near,) for near in wanted.near], wanted.told,
        target["logarithm"],
    )  # fmt: skip


class _Wanted(NamedTuple):
    """What is asked for: features, inputs, what is known of each row, what the prior is told of the task, and how near
    each row is to those of acquisition."""

    queries: Featurised
    x: EncodedRows
    columns: list[str]
    known: list[tuple[Any, ...]]
    told: Tensor | None
    near: list[float]


def _wanted(
    asked: Structures, inputs: Mapping[str, Any], query: Any, skip_bad: bool, described: Tensor | None
) -> _Wanted:
    """Return the good rows of a file of queries; `described` is what the task is about, `(1, A)`."""
    frame, queries = usable(asked, inputs, "query", query, skip_bad)
    if inputs["kind"] == "sequences":
        remark_ends(queries.smiles, inputs["reference"])
    beside = described is not None and inputs["about"]["place"] == "input"
    x = EncodedRows(
        queries.rows,
        featuriser_of(inputs["featuriser"]),
        inputs["fitted"],
        beside=described[0] if beside and described is not None else None,
    )
    known = list(frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None))
    near = similarity(queries, reference(inputs), inputs)
    return _Wanted(queries, x, [str(name) for name in frame.columns], known, None if beside else described, near)


def _understood(labels: Labels, inside: np.ndarray, column: str, asked: str) -> str:
    """Return how a column of labels was read, in the rows that are used, and which columns hold structures."""
    values = labels.values[labels.known & inside]
    if labels.classes is None:
        several = len(values) > 1
        read = f"{len(values)} values from {values.min():.3g} to {values.max():.3g}" if several else "one value"
    else:
        counts = np.bincount(values.astype(int), minlength=len(labels.classes))
        read = "classes, " + ", ".join(
            f"{count} of '{name}'" for name, count in zip(labels.classes, counts, strict=True)
        )
    missing = int(inside.sum()) - len(values)
    told = f", {missing} without a label" if missing else ""
    other = f", and '{asked}' that of the query" if asked != column else ""
    return f"'{labels.name}' as {read}{told}; '{column}' is what they are of{other}"


def _no_logarithm(labels: Labels, rows: Any) -> dict[Any, str]:
    return {
        row: f"column '{labels.name}' is {value:g}; expected a positive number, since its logarithm is predicted"
        for row, value in zip(rows, labels.values, strict=True)
        if value <= 0
    }


def _assay(labelled: Structures, inputs: Mapping[str, Any], support: Any) -> list[str]:
    """Return the column that names the assay of a row, if there is one; it must name a single assay."""
    name = inputs.get("task")
    if name is None or name not in labelled.frame.columns:
        return []
    if (count := labelled.frame[name].nunique()) > 1:
        raise DataError(f"support: column '{name}' of {support} names {count} assays; expected the rows of one")
    return [name]
