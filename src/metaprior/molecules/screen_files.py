"""What a screen reads: a library and measurements, as rows for a prior and values of which more is better."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.label_columns import check_qualifiers
from metaprior.molecules.labels import read_labels
from metaprior.molecules.own_rows import EncodedRows, read_inputs
from metaprior.molecules.replicates import merged
from metaprior.molecules.sequence_files import describe_task
from metaprior.tasks.columns import Frame, without_words
from metaprior.tasks.rows import good_rows

__all__ = ["Given", "Shelf"]

_SHOWN = 5
"""How many words of a column a message names."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """A file's good rows, their inputs, and their values, more of which is better; NaN where there is none."""

    frame: Frame
    rows: EncodedRows
    written: list[str]
    values: Tensor
    about: Tensor | None


@dataclass(frozen=True, eq=False)
class Given:
    """How files are read."""

    inputs: Mapping[str, Any]
    column: str | None
    target: str
    minimise: bool
    skip_bad: bool
    about: str | None

    @property
    def fixed(self) -> tuple[float, float] | None:
        """Mean and scale of values, more of which is better."""
        fixed, sign = self.inputs.get("target"), -1 if self.minimise else 1
        return None if fixed is None else (sign * fixed["mean"], sign * fixed["scale"])

    def read(self, file: str | Path, argument: str, labelled: bool) -> Shelf:
        """Return the good rows of a file; those without a label are left out if labels are asked for."""
        structures = read_inputs(file, argument, self.inputs, self.column)
        frame = structures.frame
        if labelled and self.target not in frame.columns:
            raise DataError(f"{argument}: {file} has no column '{self.target}'; it has: {', '.join(frame.columns)}")
        bad = dict(structures.problems)
        values = np.full(len(frame), np.nan)
        if self.target in frame.columns and without_words(frame[self.target]).notna().any():
            frame = check_qualifiers(frame, [self.target], argument, "regression")
            labels = read_labels(frame[self.target], "regression", logarithms=True, argument=argument)
            if labels.problems and not labels.known.any():
                words = ", ".join(frame[self.target].dropna().astype(str).unique()[:_SHOWN])
                raise DataError(
                    f"{argument}: column '{self.target}' has no number, but {words}; a screen is by values, so name a "
                    "measured column, or rank by the probabilities that `adapt` writes"
                )
            values, bad = self._utility(labels.values, labels.problems, frame.index, bad)
            for remark in labels.remarks:
                warnings.warn(f"{argument}: {remark}", stacklevel=4)
        if labelled:
            kept = np.isfinite(values) | frame.index.isin(list(bad))
            frame, values = frame[kept], values[kept]
        found = featurise(list(frame[structures.column]), self.inputs["featuriser"], self.inputs["salts"])
        bad |= {frame.index[at]: problem for at, problem in found.problems.items()}
        good = good_rows(frame, bad, argument, file, self.skip_bad)
        index = torch.from_numpy(np.flatnonzero(frame.index.isin(good.index)))
        described = None
        if self.inputs.get("about"):
            described = describe_task(self.inputs["about"], {argument: good}, structures.column, self.about)[1]
        beside = described[0] if described is not None and self.inputs["about"]["place"] == "input" else None
        featuriser = featuriser_of(self.inputs["featuriser"])
        written, values = [found.smiles[at] for at in index.tolist()], values[index.numpy()]
        if labelled:  # what was measured twice is one measurement
            first: dict[str, int] = {}
            structure = np.array([first.setdefault(text, at) for at, text in enumerate(written)], dtype=np.int64)
            _, kept_once, values = merged(
                np.zeros_like(structure), structure, values, "regression", argument, list(good.index)
            )
            good, written = good.iloc[kept_once], [written[at] for at in kept_once.tolist()]
            index = index[torch.from_numpy(kept_once)]
        rows = EncodedRows(found.rows.take(index), featuriser, self.inputs["fitted"], beside=beside)
        return Shelf(good, rows, written, torch.from_numpy(values), described if beside is None else None)

    def _utility(
        self, values: np.ndarray, problems: Mapping[Any, str], rows: Any, bad: Mapping[Any, str]
    ) -> tuple[np.ndarray, dict[Any, str]]:
        """Return values more of which is better, logarithms where the prior predicts those, and all bad rows."""
        found = dict(problems) | dict(bad)
        if (self.inputs.get("target") or {}).get("logarithm"):
            found |= {
                row: f"column '{self.target}' is {value:g}, expected a positive number"
                for row, value in zip(rows, values, strict=True)
                if value <= 0
            }
            values = np.log10(np.where(values > 0, values, np.nan))
        return (-values if self.minimise else values), found

    def back(self, values: np.ndarray) -> np.ndarray:
        """Return values as the user measures them."""
        values = -values if self.minimise else values
        return 10**values if (self.inputs.get("target") or {}).get("logarithm") else values
