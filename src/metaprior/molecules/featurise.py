"""Featurising many molecules: in parallel processes, and never twice.

Axis letters: M molecules, F features.
"""

import json
import sqlite3
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaprior.data import cache_folder
from metaprior.errors import DataError, missing
from metaprior.molecules.featurisers import Featuriser, featuriser_of
from metaprior.molecules.rows import SparseRows
from metaprior.molecules.structure import POLICY, Molecule, Salts, needed, quiet, rdkit_version

__all__ = ["Featurised", "featurise"]

_EACH = 500
"""Molecules that a process is given at a time."""
_FEW = 2 * _EACH
"""So many are featurised before processes would have started."""


@dataclass(frozen=True, eq=False)
class Featurised:
    """Molecules, or sequences of amino acids, as raw rows of features.

    Args:
        rows: `(M, F)`; the row of a structure that cannot be used is zero.
        smiles: the canonical SMILES, or the sequences, of what was featurised, M of them; empty for what cannot be
            used.
        notes: what was done to a structure before, by its position.
        problems: why a structure cannot be used, by its position.
    """

    rows: SparseRows
    smiles: list[str]
    notes: dict[int, str]
    problems: dict[int, str]


@dataclass(frozen=True, eq=False)
class _One:
    """One molecule's raw row, its canonical SMILES, and a note; or a problem alone."""

    columns: np.ndarray
    values: np.ndarray
    smiles: str = ""
    note: str | None = None
    problem: str | None = None

    def to_bytes(self) -> bytes:
        head = json.dumps([self.smiles, self.note, self.problem]).encode()
        return struct.pack("<II", len(head), len(self.columns)) + head + self.columns.tobytes() + self.values.tobytes()

    @staticmethod
    def from_bytes(content: bytes) -> "_One":
        head, size = struct.unpack_from("<II", content)
        smiles, note, problem = json.loads(content[8 : 8 + head])
        columns = np.frombuffer(content, np.int32, size, 8 + head)
        return _One(columns, np.frombuffer(content, np.float32, size, 8 + head + 4 * size), smiles, note, problem)


def featurise(
    molecules: Sequence[str | Molecule],
    featuriser: str | Mapping[str, Any] | Featuriser = "morgan",
    salts: Salts = "largest",
    *,
    lenient: bool = False,
    processes: int | None = None,
    cache: bool = True,
) -> Featurised:
    """Return the raw rows of molecules.

    Args:
        molecules: SMILES or RDKit Mols; or sequences of amino acids, which are quick and are not kept.
        featuriser: its name, its settings, or itself.
        salts: what is done to salts and mixtures.
        lenient: accept impossible valences.
        processes: how many work at once; None for one on each core that this process may use.
        cache: keep what is computed in `metaprior.data.cache_folder()`, by SMILES, settings and version of RDKit, and
            use what is kept there.

    Example:
        >>> found = featurise(["CO", "C1CC"], cache=False)
        >>> found.smiles, found.problems
        (['CO', ''], {1: "'C1CC' is not a SMILES"})
    """
    featuriser = featuriser_of(featuriser)
    if featuriser.reads == "sequences":
        texts, space, cache, processes = list(map(_spelt, molecules)), "", False, 1
    else:
        texts = [given.strip() if isinstance(given, str) else _written(given) for given in molecules]
        space = f"{featuriser.digest}-{salts}-{POLICY}-{int(lenient)}-{rdkit_version()}"
    distinct = list(dict.fromkeys(texts))
    known: dict[str, _One] = {}
    with _store(cache) as store:
        known |= store.read(space, distinct)
        new = [text for text in distinct if text not in known]
        for part in _computed(new, featuriser, salts, lenient, processes):
            known |= part
            store.write(space, part)
    found = [known[text] for text in texts]
    return Featurised(
        SparseRows.of(((one.columns, one.values) for one in found), featuriser.width),
        [one.smiles for one in found],
        {position: one.note for position, one in enumerate(found) if one.note},
        {position: one.problem for position, one in enumerate(found) if one.problem},
    )


def _written(molecule: Molecule) -> str:
    chem = needed("rdkit.Chem")
    if not isinstance(molecule, chem.Mol):
        # A missing value of a table is a structure that is empty, which is reported by its row.
        if molecule is None or molecule != molecule:
            return ""
        raise DataError(f"molecules: expected SMILES or RDKit Mols, got a {type(molecule).__name__}")
    return str(chem.MolToSmiles(molecule))


def _spelt(sequence: Any) -> str:
    if isinstance(sequence, str):
        return sequence.strip()
    if sequence is None or sequence != sequence:
        return ""
    raise DataError(f"molecules: expected sequences of amino acids, got a {type(sequence).__name__}")


def _one(text: str, featuriser: Featuriser, salts: Salts, lenient: bool) -> _One:
    try:
        molecule, written, note = featuriser.read(text, salts, lenient)
        columns, values = featuriser.raw(molecule)
        return _One(columns, values, written, note)
    except DataError as error:
        nothing = np.empty(0, np.int32)
        return _One(nothing, nothing.astype(np.float32), problem=str(error))


def _several(texts: Sequence[str], settings: Mapping[str, Any], salts: Salts, lenient: bool) -> dict[str, _One]:
    featuriser = featuriser_of(settings)
    with quiet() if featuriser.reads == "molecules" else nullcontext():
        return {text: _one(text, featuriser, salts, lenient) for text in texts}


def _computed(
    texts: list[str], featuriser: Featuriser, salts: Salts, lenient: bool, processes: int | None
) -> Iterator[dict[str, _One]]:
    parts = [texts[start : start + _EACH] for start in range(0, len(texts), _EACH)]
    if len(texts) <= _FEW or processes == 1:
        yield from (_several(part, featuriser.settings, salts, lenient) for part in parts)
        return
    try:
        import joblib
    except ImportError as error:
        raise missing("scikit-learn", "molecules", "featurising in parallel") from error
    pool = joblib.Parallel(n_jobs=processes or joblib.cpu_count(), return_as="generator")
    yield from pool(joblib.delayed(_several)(part, featuriser.settings, salts, lenient) for part in parts)


class _Store:
    """Rows on disk, in one file that any number of processes may use; without a connection it holds nothing."""

    def __init__(self, connection: sqlite3.Connection | None):
        self.connection = connection

    def read(self, space: str, keys: Sequence[str]) -> dict[str, _One]:
        found: dict[str, _One] = {}
        if self.connection is not None:
            for start in range(0, len(keys), _EACH):
                part = keys[start : start + _EACH]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, value FROM rows WHERE space = ? AND key IN ({marks})"
                try:
                    rows = self.connection.execute(query, (space, *part)).fetchall()
                    found |= {key: _One.from_bytes(value) for key, value in rows}
                except (sqlite3.Error, struct.error, ValueError) as error:
                    self._give_up(error)
                    return {}
        return found

    def write(self, space: str, ones: Mapping[str, _One]) -> None:
        if self.connection is not None:
            try:
                with self.connection:
                    self.connection.executemany(
                        "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)",
                        [(space, text, one.to_bytes()) for text, one in ones.items()],
                    )
            except sqlite3.Error as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        print(f"metaprior: {_file()} cannot be used ({error}); going on without the cache", file=sys.stderr)
        self.connection = None


def _file() -> Path:
    return cache_folder() / "molecules.sqlite"


@contextmanager
def _store(wanted: bool) -> Iterator[_Store]:
    if not wanted:
        yield _Store(None)
        return
    store = _Store(None)
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(_file(), timeout=30)
    except (OSError, sqlite3.Error) as error:
        store._give_up(error)
        yield store
        return
    with closing(connection):
        try:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS rows (space TEXT, key TEXT, value BLOB, PRIMARY KEY (space, key))"
                " WITHOUT ROWID"
            )
            store.connection = connection
        except sqlite3.Error as error:
            store._give_up(error)
        yield store


def encoded(rows: SparseRows, featuriser: Featuriser, fitted: Mapping[str, Any] | None, index: Tensor) -> Tensor:
    """Return the inputs `(..., F)` of the rows at some positions `(...)`."""
    return featuriser.encode(rows.dense(index), fitted).to(torch.float32)
