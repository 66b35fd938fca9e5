"""A chemist's own task: labelled structures, and structures to predict.

Axis letters: N support, Q query, F features.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.molecules.assays import agreement
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.featurisers import Featuriser, Morgan, featuriser_of
from metaprior.molecules.formats import Structures, read_structures
from metaprior.molecules.labels import Labels, read_labels
from metaprior.molecules.rows import SparseRows, tanimoto
from metaprior.tasks.episode import Examples
from metaprior.tasks.own import OwnTask
from metaprior.tasks.rows import good_rows, need_columns

__all__ = ["EncodedRows", "encode_molecules", "read_properties", "similarity"]

_BESIDE = ("similarity_to_support", "similarity_to_acquired")
_SHOWN = 5
"""How many rows a warning names."""
_EACH = 2000
"""Molecules whose similarities are computed at once."""


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """Inputs `(1, Q, F)` that are only made when they are asked for, since 100,000 molecules of them take 800 MB.

    Args:
        rows: `(Q, F)`, as the featuriser gave them.
        featuriser: that gave them.
        fitted: what it has learnt.
        device: where the inputs go.
    """

    rows: SparseRows
    featuriser: Featuriser
    fitted: Mapping[str, Any] | None
    device: torch.device | str = "cpu"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, Q, F)."""
        return 1, len(self.rows), self.rows.width

    def split(self, size: int, dim: int = 1) -> Iterator[Tensor]:
        """Yield the inputs of so many molecules at a time, `(1, size, F)`."""
        for index in torch.arange(len(self.rows)).split(size):
            yield self.featuriser.encode(self.rows.dense(index), self.fitted).to(self.device, torch.float32)[None]

    def to(self, device: torch.device | str) -> "EncodedRows":
        """Return the same with inputs on another device."""
        return replace(self, device=device)


def encode_molecules(molecules: Sequence[Any], inputs: Mapping[str, Any], argument: str = "X") -> Tensor:
    """Return inputs `(N, F)` of SMILES or RDKit Mols, as a checkpoint's card says.

    Raises:
        DataError: if a structure cannot be used; it says which one.
    """
    _agree(inputs)
    found = featurise(molecules, inputs["featuriser"], inputs["salts"])
    for position, problem in found.problems.items():
        raise DataError(f"{argument}: molecule {position}: {problem}")
    rows = EncodedRows(found.rows, featuriser_of(inputs["featuriser"]), inputs["fitted"])
    return torch.cat(list(rows.split(_EACH)), dim=1)[0] if len(molecules) else torch.zeros(0, rows.shape[2])


def read_properties(
    support: str | Path,
    query: str | Path,
    inputs: Mapping[str, Any],
    target: str | Sequence[str] | None = None,
    smiles: str | None = None,
    skip_bad: bool = False,
) -> list[OwnTask]:
    """Read a task for each property of a support file.

    Args:
        support: a file of structures with one or several columns of labels; a blank is a missing label.
        query: a file of structures; all its columns are kept.
        inputs: what the source of acquisition's `inputs` says.
        target: the columns to predict; None for those that the support has and the query lacks.
        smiles: the column of SMILES in both; None to find it.
        skip_bad: leave out bad rows, with a warning, instead of stopping at the first.

    Returns:
        A task for each property; each adds its name to its columns if there are several.

    Raises:
        DataError: if a file, a structure or a label cannot be used, or there is nothing to predict.
    """
    _agree(inputs)
    labelled, asked = read_structures(support, "support", smiles), read_structures(query, "query", smiles)
    properties = [read_labels(labelled.frame[name]) for name in _targets(labelled, asked, target, support, query)]
    kept, rows = _usable(labelled, inputs, "support", support, skip_bad, properties)
    wanted, queries = _usable(asked, inputs, "query", query, skip_bad)
    inside = labelled.frame.index.isin(kept.index)
    _remark_duplicates(kept, rows.smiles, properties, inside)

    featuriser = featuriser_of(inputs["featuriser"])
    x = EncodedRows(queries.rows, featuriser, inputs["fitted"])
    seen = torch.cat(list(EncodedRows(rows.rows, featuriser, inputs["fitted"]).split(_EACH)), dim=1)
    columns = [str(name) for name in wanted.columns]
    known = list(wanted.astype(object).where(wanted.notna(), None).itertuples(index=False, name=None))
    labels_of = np.logical_or.reduce([labels.known[inside] for labels in properties])
    facts = list(
        zip(
            similarity(queries, _chosen(rows, torch.from_numpy(labels_of)), inputs),
            similarity(queries, _reference(inputs), inputs),
            strict=True,
        )
    )
    tasks = []
    for labels in properties:
        for remark in labels.remarks:
            warnings.warn(f"support: {remark}", stacklevel=2)
        has = torch.from_numpy(labels.known[inside])
        if not bool(has.any()):
            raise DataError(f"support: column '{labels.name}' has no labels for a structure that can be used")
        values, mean, scale = torch.from_numpy(labels.values[inside])[has], 0.0, 1.0
        if labels.classes is None:
            mean, scale = values.mean().item(), values.std(correction=0).item()
            scale = scale if scale > 1e-9 * max(1.0, abs(mean)) else 1.0
            y = ((values - mean) / scale).to(torch.float32)[None, :, None]
        else:
            y = values.long()[None]
        name = labels.name if len(properties) > 1 else ""
        task = Examples(seen[:, has], y)
        tasks.append(OwnTask(task, x, labels.classes, columns, known, mean, scale, name, _BESIDE, facts))
    return tasks


def similarity(molecules: Featurised, others: Featurised, inputs: Mapping[str, Any]) -> list[float]:
    """Return the highest Tanimoto similarity of each molecule to any of the others, by which environments occur.

    The fingerprints are the featuriser's own if they are Morgan's, else those of radius 2.

    Args:
        molecules: Q of them.
        others: to compare with.
        inputs: what a source's `inputs` says.
    """
    if not others.smiles:
        return [float("nan")] * len(molecules.smiles)
    if not isinstance(featuriser_of(inputs["featuriser"]), Morgan):
        # What is featurised already is what its canonical SMILES says; there is nothing more to take away.
        molecules, others = (featurise(found.smiles, "morgan", "keep", lenient=True) for found in (molecules, others))
    everyone = torch.arange(len(others.rows))
    parts = torch.arange(len(molecules.rows)).split(_EACH)
    return [
        highest for part in parts for highest in tanimoto(molecules.rows, part, everyone, others.rows).amax(1).tolist()
    ]


def _reference(inputs: Mapping[str, Any]) -> Featurised:
    return featurise(inputs["reference"], inputs["featuriser"], inputs["salts"])


def _agree(inputs: Mapping[str, Any]) -> None:
    if told := agreement(dict(inputs)):
        warnings.warn(told, stacklevel=3)


def _targets(
    labelled: Structures, asked: Structures, target: str | Sequence[str] | None, support: Any, query: Any
) -> list[str]:
    """Return the columns to predict."""
    if target is not None:
        names = [target] if isinstance(target, str) else list(target)
        need_columns(labelled.frame, names, "support", support)
        return names
    others = [str(name) for name in labelled.frame.columns if name != labelled.column]
    names = [name for name in others if name not in asked.frame.columns]
    if not names:
        raise DataError(
            f"target: {support} has no column that {query} lacks, so that none is known to be a label; name it by "
            f"`target`: {', '.join(others) or 'it has structures alone'}"
        )
    # Beside labels, what differs by nature in every row is an identifier.
    labels = [name for name in names if not _identifies(labelled.frame[name])]
    if not labels:
        raise DataError(f"target: no column of {support} looks like a label; name it by `target`: {', '.join(names)}")
    return labels


def _identifies(values: Any) -> bool:
    present = values.dropna()
    texts = present.astype(str)
    numeric = texts.str.fullmatch(r"\s*[<>=~≤≥]*\s*[-+\u2212]?[\d.,]+([eE][-+]?\d+)?\s*").mean() >= 0.5
    return len(present) == 0 or (not numeric and texts.nunique() > max(10, len(texts) / 2))


def _usable(
    structures: Structures,
    inputs: Mapping[str, Any],
    argument: str,
    file: Any,
    skip_bad: bool,
    properties: Sequence[Labels] = (),
) -> tuple[Any, Featurised]:
    """Return the good rows of a file, and the features of their structures."""
    frame = structures.frame
    found = featurise(list(frame[structures.column]), inputs["featuriser"], inputs["salts"])
    bad = {frame.index[position]: problem for position, problem in found.problems.items()} | structures.problems
    for labels in properties:
        bad = labels.problems | bad
    good = good_rows(frame, bad, argument, file, skip_bad)
    if found.notes:
        shown = [f"row {frame.index[position]}: {note}" for position, note in found.notes.items()]
        more = f"; and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
        warnings.warn(
            f"{argument}: {len(shown)} salts, mixtures or charged structures of {file} were reduced to their largest "
            f"fragment, neutralised: {'; '.join(shown[:_SHOWN])}{more}",
            stacklevel=3,
        )
    return good, _chosen(found, torch.from_numpy(frame.index.isin(good.index)))


def _chosen(found: Featurised, mask: Tensor) -> Featurised:
    index = mask.nonzero().flatten()
    return Featurised(found.rows.take(index), [found.smiles[position] for position in index.tolist()], {}, {})


def _remark_duplicates(frame: Any, smiles: list[str], properties: Sequence[Labels], inside: np.ndarray) -> None:
    """Warn of structures that the support has more than once, and of those whose labels disagree."""
    places: dict[str, list[int]] = {}
    for position, text in enumerate(smiles):
        places.setdefault(text, []).append(position)
    twice = [found for found in places.values() if len(found) > 1]
    if not twice:
        return
    index = list(frame.index)
    shown = "; ".join(f"rows {', '.join(str(index[at]) for at in found)}" for found in twice[:_SHOWN])
    more = f"; and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
    odd = 0
    for found in twice:
        for labels in properties:
            values = labels.values[inside][found]
            odd += labels.classes is not None and len(np.unique(values[~np.isnan(values)])) > 1
    told = f", {odd} of them with labels that contradict each other" if odd else ""
    warnings.warn(f"support: {len(twice)} structures occur more than once{told}: {shown}{more}", stacklevel=3)
