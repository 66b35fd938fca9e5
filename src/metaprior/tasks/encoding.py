"""Encoding a table as numbers, in a way that can be repeated.

Axis letters: N rows, F features.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.tasks.columns import Column, Frame, numbers_in, texts
from metaprior.tasks.rows import need_columns, problems

__all__ = ["encode_table", "fit_column"]

MOST_CATEGORIES = 32
"""How many values of a categorical column get a feature of their own, the most frequent first."""


def fit_column(values: Column, kind: str) -> dict[str, Any]:
    """Return how to encode a column, ready for JSON: a number's mean and scale, or the categories worth a feature.

    Example:
        >>> import pandas
        >>> fit_column(pandas.Series([1.0, 3.0, None], name="size"), "number")
        {'name': 'size', 'kind': 'number', 'mean': 2.0, 'scale': 1.0, 'missing': True}
    """
    name = str(values.name)
    if kind == "category":
        counts = texts(values).value_counts()
        # A value seen once, such as an identifier, says nothing about other rows.
        frequent = counts[counts > 1].sort_index().sort_values(ascending=False, kind="stable")
        return {"name": name, "kind": kind, "values": sorted(str(value) for value in frequent.index[:MOST_CATEGORIES])}
    numbers = numbers_in(values)
    present = numbers[np.isfinite(numbers)]
    mean, scale = (float(present.mean()), float(present.std())) if len(present) else (0.0, 0.0)
    return {"name": name, "kind": kind, "mean": mean, "scale": scale or 1.0, "missing": bool(np.isnan(numbers).any())}


def encode_table(frame: Frame, inputs: dict[str, Any]) -> Tensor:
    """Encode rows as a source of tables did for acquisition.

    A number is standardised by the training tasks; where it is missing it is their mean, and a second feature says so
    if that happened in training. A category has a feature for each of its frequent values and one for all others.

    Args:
        frame: N rows with the columns of the source, as text or as what it stands for.
        inputs: what the source's `inputs` says, from a checkpoint's card for example.

    Returns:
        `(N, F)`.

    Raises:
        DataError: if a column is missing, or a number is text or infinite; it names the column and the row.

    Example:
        >>> import pandas
        >>> columns = [{"name": "size", "kind": "number", "mean": 2.0, "scale": 1.0, "missing": True}]
        >>> encode_table(pandas.DataFrame({"size": [3, None]}), {"columns": columns})
        tensor([[1., 0.],
                [0., 1.]])
    """
    columns = inputs["columns"]
    need_columns(frame, [column["name"] for column in columns], "frame", "the table")
    for row, problem in problems(frame, {column["name"]: column["kind"] for column in columns}).items():
        raise DataError(f"frame: row {row}: {problem}")
    features = []
    for column in columns:
        values = frame[column["name"]]
        if column["kind"] == "number":
            numbers = numbers_in(values)
            absent = np.isnan(numbers)
            features.append(np.where(absent, 0.0, (numbers - column["mean"]) / column["scale"]))
            features.extend([absent] if column["missing"] else [])
        else:
            named = texts(values)
            members = [(named == value).to_numpy(dtype=bool) for value in column["values"]]
            features.extend([*members, ~np.logical_or.reduce([np.zeros(len(frame), dtype=bool), *members])])
    return torch.from_numpy(np.stack(features, axis=1).astype(np.float32))
