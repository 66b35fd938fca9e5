"""Rows of a user's file of molecules or sequences, as an acquired prior takes them, and how far it applies to them.

Axis letters: Q query, F features, A numbers that describe a task.
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
from metaprior.molecules.featurisers import Featuriser, Joined, Morgan, featuriser_of
from metaprior.molecules.formats import Structures, read_structures
from metaprior.molecules.labels import Labels
from metaprior.molecules.rows import SparseRows, tanimoto
from metaprior.molecules.sequence_featurisers import KMers
from metaprior.molecules.sequence_files import read_sequences
from metaprior.tasks.rows import good_rows

__all__ = [
    "BESIDE",
    "EncodedRows",
    "agree",
    "chosen",
    "encode_molecules",
    "read_inputs",
    "reference",
    "remark_ends",
    "similarity",
    "usable",
]

BESIDE = ("similarity_to_support", "similarity_to_acquired")
"""The columns that say how far a prior applies."""
SHOWN = 5
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

    def split(self, size: int = _EACH, dim: int = 1) -> Iterator[Tensor]:
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
    _remark(found, inputs, argument, range(len(molecules)))
    rows = EncodedRows(found.rows, featuriser_of(inputs["featuriser"]), inputs["fitted"])
    return torch.cat(list(rows.split()), dim=1)[0] if len(molecules) else torch.zeros(0, rows.shape[2])


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


def agree(inputs: Mapping[str, Any]) -> None:
    """Warn if a prior was acquired with another version of RDKit.

    Raises:
        DataError: if features are other numbers here than where the prior was acquired.
    """
    if told := agreement(dict(inputs)):
        warnings.warn(told, stacklevel=3)


def usable(
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
    _remark(found, inputs, argument, frame.index, f" of {file}")
    return good, chosen(found, torch.from_numpy(frame.index.isin(good.index)))


def _remark(found: Featurised, inputs: Mapping[str, Any], argument: str, rows: Sequence[Any], source: str = "") -> None:
    """Warn of what was not taken as it stands."""
    if not found.notes:
        return
    shown = [f"row {rows[position]}: {note}" for position, note in found.notes.items()]
    more = f"; and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    several = len(shown) > 1
    if inputs["kind"] == "sequences":
        what, done = "examples" if several else "example", "not taken as they stand"
    else:
        what = "salts, mixtures or charged structures" if several else "salt, mixture or charged structure"
        done = "reduced to the largest fragment, neutralised"
    told = f"{len(shown)} {what}{source} were {done}" if several else f"one {what}{source} was {done}"
    warnings.warn(f"{argument}: {told}: {'; '.join(shown[:SHOWN])}{more}", stacklevel=4)


def chosen(found: Featurised, mask: Tensor) -> Featurised:
    """Return the features of those for which the mask `(Q,)` is True."""
    index = mask.nonzero().flatten()
    return Featurised(found.rows.take(index), [found.smiles[position] for position in index.tolist()], {}, {})


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
    rows, known = (_compared(found, own) for found in (molecules, others))
    everyone = torch.arange(len(known))
    parts = torch.arange(len(rows)).split(_EACH)
    return [highest for part in parts for highest in tanimoto(rows, part, everyone, known).amax(1).tolist()]


def _compared(found: Featurised, own: Featuriser) -> SparseRows:
    """Return the features that are compared: those that are there already, if they are of the right kind."""
    if isinstance(own, Morgan | KMers):
        return found.rows
    if isinstance(own, Joined):
        for part, rows in own.apart(found.rows):
            if isinstance(part, Morgan | KMers):
                return rows
    # What is featurised already is what its canonical SMILES says; there is nothing more to take away.
    name = "morgan" if own.reads == "molecules" else "kmers"
    return featurise([own.whole(text) for text in found.smiles], name, "keep", lenient=True).rows


def reference(inputs: Mapping[str, Any]) -> Featurised:
    """Return the features of the sample of acquisition that a source's `inputs` holds."""
    # What a prior was acquired on is not refused now, even if its valences are those of an older RDKit.
    return featurise(inputs["reference"], inputs["featuriser"], inputs["salts"], lenient=True)


def remark_ends(sequences: Sequence[str], reference: Sequence[str]) -> None:
    """Warn of CDR3 that lack the C before them, if the prior was acquired on those that have it, or the other way."""
    shares = [np.mean([float(text.startswith("C")) for text in texts] or [0.0]) for texts in (sequences, reference)]
    if abs(shares[0] - shares[1]) > 0.8:
        have, lack = ("have", "lack") if shares[0] > shares[1] else ("lack", "have")
        warnings.warn(
            f"query: its sequences {have} the C at their beginning that those of acquisition {lack}; CDR3 are written "
            "with C and F at their ends and without, and should be as those of acquisition",
            stacklevel=4,
        )
