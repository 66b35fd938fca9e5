"""A chemist's or immunologist's own task: labelled molecules or sequences, and others to predict.

Axis letters: N support, Q query, F features, A numbers that describe a task.
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
from metaprior.molecules.agreement import agreement
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.featurisers import Featuriser, Morgan, featuriser_of
from metaprior.molecules.formats import Structures, read_structures
from metaprior.molecules.labels import Labels, read_labels
from metaprior.molecules.rows import SparseRows, tanimoto
from metaprior.molecules.sequence_featurisers import KMers
from metaprior.molecules.sequence_files import describe_task, describing, read_sequences
from metaprior.tasks.episode import Examples
from metaprior.tasks.own import OwnTask
from metaprior.tasks.rows import good_rows, need_columns

__all__ = ["EncodedRows", "agree", "encode_molecules", "read_inputs", "read_properties", "similarity"]

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
        beside: `(A,)`, what stands beside each input; None where nothing does.
    """

    rows: SparseRows
    featuriser: Featuriser
    fitted: Mapping[str, Any] | None
    device: torch.device | str = "cpu"
    beside: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, Q, F)."""
        more = 0 if self.beside is None else len(self.beside)
        return 1, len(self.rows), self.featuriser.encoded_width + more

    def split(self, size: int, dim: int = 1) -> Iterator[Tensor]:
        """Yield the inputs of so many molecules at a time, `(1, size, F)`."""
        for index in torch.arange(len(self.rows)).split(size):
            x = self.featuriser.encode(self.rows.dense(index), self.fitted)
            if self.beside is not None:
                x = torch.cat([x, self.beside.expand(len(x), -1)], dim=-1)
            yield x.to(self.device, torch.float32)[None]

    def take(self, index: Tensor) -> "EncodedRows":
        """Return the inputs at positions `(n,)`."""
        return replace(self, rows=self.rows.take(index))

    def to(self, device: torch.device | str) -> "EncodedRows":
        """Return the same with inputs on another device."""
        return replace(self, device=device)


def encode_molecules(molecules: Sequence[Any], inputs: Mapping[str, Any], argument: str = "X") -> Tensor:
    """Return inputs `(N, F)` of SMILES, RDKit Mols or sequences, as a checkpoint's card says.

    Raises:
        DataError: if a structure cannot be used; it says which one.
    """
    agree(inputs)
    if (inputs.get("about") or {}).get("place", "none") == "input":
        raise DataError(f"{argument}: the prior must be told the {inputs['about']['column']}; adapt it by files")
    found = featurise(molecules, inputs["featuriser"], inputs["salts"])
    for position, problem in found.problems.items():
        raise DataError(f"{argument}: {inputs['kind'][:-1]} {position}: {problem}")
    rows = EncodedRows(found.rows, featuriser_of(inputs["featuriser"]), inputs["fitted"])
    return torch.cat(list(rows.split(_EACH)), dim=1)[0] if len(molecules) else torch.zeros(0, rows.shape[2])


def read_properties(
    support: str | Path,
    query: str | Path,
    inputs: Mapping[str, Any],
    target: str | Sequence[str] | None = None,
    column: str | None = None,
    skip_bad: bool = False,
    about: str | None = None,
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
    kind = "auto" if fixed is None else "regression"
    apart = describing(labelled.frame, inputs["about"]["column"], labelled.column) if inputs.get("about") else []
    names = _targets(labelled, asked, target, support, query, [*apart, *_assay(labelled, inputs, support)])
    properties = [read_labels(labelled.frame[name], kind, units=fixed is None) for name in names]
    for labels in properties if fixed is not None and fixed["logarithm"] else ():
        labels.problems.update(_no_logarithm(labels, labelled.frame.index))
    kept, rows = _usable(labelled, inputs, "support", support, skip_bad, properties)
    wanted, queries = _usable(asked, inputs, "query", query, skip_bad)
    inside = labelled.frame.index.isin(kept.index)
    _remark_duplicates(kept, rows.smiles, properties, inside, inputs["kind"].replace("molecules", "structures"))

    featuriser = featuriser_of(inputs["featuriser"])
    beside = described[0] if described is not None and inputs["about"]["place"] == "input" else None
    x = EncodedRows(queries.rows, featuriser, inputs["fitted"], beside=beside)
    seen = torch.cat(list(EncodedRows(rows.rows, featuriser, inputs["fitted"], beside=beside).split(_EACH)), dim=1)
    told = described if beside is None else None
    if inputs["kind"] == "sequences":
        _remark_ends(queries.smiles, inputs["reference"])
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
        if fixed is not None:
            mean, scale = fixed["mean"], fixed["scale"]
            values = values.log10() if fixed["logarithm"] else values
            y = ((values - mean) / scale).to(torch.float32)[None, :, None]
        elif labels.classes is None:
            mean, scale = values.mean().item(), values.std(correction=0).item()
            scale = scale if scale > 1e-9 * max(1.0, abs(mean)) else 1.0
            y = ((values - mean) / scale).to(torch.float32)[None, :, None]
        else:
            y = values.long()[None]
        name = labels.name if len(properties) > 1 else ""
        task = Examples(seen[:, has], y)
        logarithm = fixed is not None and fixed["logarithm"]
        found = OwnTask(task, x, labels.classes, columns, known, mean, scale, name, _BESIDE, facts, told, logarithm)
        tasks.append(found)
    return tasks


def similarity(molecules: Featurised, others: Featurised, inputs: Mapping[str, Any]) -> list[float]:
    """Return the highest Tanimoto similarity of each molecule to any of the others, by which environments occur.

    The fingerprints are the featuriser's own if they are Morgan's, else those of radius 2; sequences are alike by their
    words of three letters.

    Args:
        molecules: Q of them.
        others: to compare with.
        inputs: what a source's `inputs` says.
    """
    if not others.smiles:
        return [float("nan")] * len(molecules.smiles)
    own = featuriser_of(inputs["featuriser"])
    if not isinstance(own, Morgan | KMers):
        # What is featurised already is what its canonical SMILES says; there is nothing more to take away.
        name = "morgan" if own.reads == "molecules" else "kmers"
        molecules, others = (featurise(found.smiles, name, "keep", lenient=True) for found in (molecules, others))
    everyone = torch.arange(len(others.rows))
    parts = torch.arange(len(molecules.rows)).split(_EACH)
    return [
        highest for part in parts for highest in tanimoto(molecules.rows, part, everyone, others.rows).amax(1).tolist()
    ]


def read_inputs(file: str | Path, argument: str, inputs: Mapping[str, Any], column: str | None = None) -> Structures:
    """Read a file of what a prior takes: molecules or sequences.

    Args:
        file: to read.
        argument: its name, for messages.
        inputs: what a source's `inputs` says.
        column: of SMILES or sequences; None to find it.
    """
    if inputs["kind"] == "molecules":
        return read_structures(file, argument, column)
    return read_sequences(file, argument, column, [(inputs.get("about") or {}).get("column", "")])


def _no_logarithm(labels: Labels, rows: Any) -> dict[Any, str]:
    return {
        row: f"column '{labels.name}' is {value:g}; expected a positive number, since its logarithm is predicted"
        for row, value in zip(rows, labels.values, strict=True)
        if value <= 0
    }


def _remark_ends(sequences: Sequence[str], reference: Sequence[str]) -> None:
    """Warn of CDR3 that lack the C before them, if the prior was acquired on those that have it, or the other way."""
    shares = [np.mean([float(text.startswith("C")) for text in texts] or [0.0]) for texts in (sequences, reference)]
    if abs(shares[0] - shares[1]) > 0.8:
        have, lack = ("have", "lack") if shares[0] > shares[1] else ("lack", "have")
        warnings.warn(
            f"query: its sequences {have} the C at their beginning that those of acquisition {lack}; CDR3 are written "
            "with C and F at their ends and without, and should be as those of acquisition",
            stacklevel=4,
        )


def _reference(inputs: Mapping[str, Any]) -> Featurised:
    return featurise(inputs["reference"], inputs["featuriser"], inputs["salts"])


def agree(inputs: Mapping[str, Any]) -> None:
    """Warn if a prior was acquired with another version of RDKit.

    Raises:
        DataError: if features are other numbers here than where the prior was acquired.
    """
    if told := agreement(dict(inputs)):
        warnings.warn(told, stacklevel=3)


def _targets(
    labelled: Structures,
    asked: Structures,
    target: str | Sequence[str] | None,
    support: Any,
    query: Any,
    apart: Sequence[str] = (),
) -> list[str]:
    """Return the columns to predict."""
    if target is not None:
        names = [target] if isinstance(target, str) else list(target)
        need_columns(labelled.frame, names, "support", support)
        return names
    others = [str(name) for name in labelled.frame.columns if name != labelled.column and name not in apart]
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


def _assay(labelled: Structures, inputs: Mapping[str, Any], support: Any) -> list[str]:
    """Return the column that names the assay of a row, if there is one; it must name a single assay."""
    name = inputs.get("task")
    if name is None or name not in labelled.frame.columns:
        return []
    if (count := labelled.frame[name].nunique()) > 1:
        raise DataError(f"support: column '{name}' of {support} names {count} assays; expected the rows of one")
    return [name]


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
        done = "salts, mixtures or charged structures of {} were reduced to their largest fragment, neutralised"
        if inputs["kind"] == "sequences":
            done = "sequences of {} are longer than the prior has places"
        warnings.warn(
            f"{argument}: {len(shown)} {done.format(file)}: {'; '.join(shown[:_SHOWN])}{more}",
            stacklevel=3,
        )
    return good, _chosen(found, torch.from_numpy(frame.index.isin(good.index)))


def _chosen(found: Featurised, mask: Tensor) -> Featurised:
    index = mask.nonzero().flatten()
    return Featurised(found.rows.take(index), [found.smiles[position] for position in index.tolist()], {}, {})


def _remark_duplicates(
    frame: Any, smiles: list[str], properties: Sequence[Labels], inside: np.ndarray, kind: str
) -> None:
    """Warn of structures or sequences that the support has more than once, and of those whose labels disagree."""
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
    warnings.warn(f"support: {len(twice)} {kind} occur more than once{told}: {shown}{more}", stacklevel=3)
