"""Featurisers: from a molecule to numbers, by name and with settings, so that prediction repeats training exactly.

A featuriser has two halves. `raw` is slow, sees one molecule, and is computed in parallel and kept on disk; `encode` is
fast, sees many raw rows, and makes of them what a network takes. Whatever must be learnt from molecules in between, the
mean of a descriptor say, is `fit` once and kept with the prior.

Axis letters: M molecules, F features.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.molecules.rows import SparseRows
from metaprior.molecules.structure import Molecule, Salts, needed, parse, standardise
from metaprior.registry import Registry, arguments

__all__ = ["Counted", "Descriptors", "Featuriser", "Joined", "Morgan", "featuriser_of", "featurisers"]

featurisers: Registry[Any] = Registry("featuriser")
"""Every featuriser by name; other packages add theirs through the entry-point group `metaprior.featurisers`."""

Row = tuple[np.ndarray, np.ndarray]
"""The columns of a raw row that are not zero, and their values."""


class Featuriser(ABC):
    """What turns molecules into inputs; its constructor stores each argument under its own name.

    Attributes:
        reads: what it is for: "molecules", or "sequences" of amino acids.
        tokens: what the ids from 1 stand for, if a row is one of token ids; else None.
        net: the network that its rows are for, by its registered name; None if any can take them.
    """

    reads: ClassVar[Literal["molecules", "sequences"]] = "molecules"
    tokens: tuple[str, ...] | None = None
    net: ClassVar[str | None] = None

    @property
    @abstractmethod
    def width(self) -> int:
        """F, how many numbers a raw row has."""

    @property
    def encoded_width(self) -> int:
        """F, how many numbers an input has; as many as a raw row unless `encode` says otherwise."""
        return self.width

    def read(self, given: Any, salts: Salts = "largest", lenient: bool = False) -> tuple[Any, str, str | None]:
        """Return what `raw` takes, how that is written, and a note on what was done to what was given.

        Raises:
            DataError: if it cannot be used; it says why.
        """
        molecule, note = standardise(parse(given, lenient), salts)
        return molecule, str(needed("rdkit.Chem").MolToSmiles(molecule)), note

    @abstractmethod
    def raw(self, molecule: Molecule) -> Row:
        """Return the raw row of one molecule."""

    def whole(self, written: str) -> str:
        """Return what was read, as `read` writes it, as one structure that others can be compared with."""
        return written

    def fit(self, rows: SparseRows) -> dict[str, Any] | None:
        """Return what `encode` must know of the molecules of acquisition, ready for JSON; None for nothing."""
        return None

    def encode(self, raw: Tensor, fitted: Mapping[str, Any] | None = None) -> Tensor:
        """Return inputs `(..., F)` from raw rows `(..., F)`; the two may be of different widths."""
        return raw

    @property
    def settings(self) -> dict[str, Any]:
        """The name and the arguments, ready for JSON: what a checkpoint records, and `featuriser_of` reads."""
        return {"name": featurisers.name_of(type(self)), **arguments(self)}

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that stand for what `raw` does."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:12]


class Counted(Featuriser):
    """A fingerprint: how often each of some parts of a molecule occurs, hashed to so many features.

    A subclass stores `size` and `counts`, and writes `_generator`, one of RDKit's.
    """

    size: int
    counts: bool

    @property
    def width(self) -> int:
        """F."""
        return self.size

    def raw(self, molecule: Molecule) -> Row:
        """Return the counts of the parts that occur."""
        found = self._generator.GetCountFingerprint(molecule).GetNonzeroElements()
        columns = np.fromiter(found.keys(), np.int32, len(found))
        return columns, np.fromiter(found.values(), np.float32, len(found))

    def encode(self, raw: Tensor, fitted: Mapping[str, Any] | None = None) -> Tensor:
        """Return log(1 + count), or 1 where it occurs."""
        return raw.log1p() if self.counts else (raw > 0).to(raw.dtype)

    @property
    @abstractmethod
    def _generator(self) -> Any:
        """What counts the parts."""

    def __getstate__(self) -> dict[str, Any]:
        return arguments(self)


@featurisers.register("morgan")
class Morgan(Counted):
    """Morgan fingerprints: how often each circular environment occurs, hashed to so many features.

    Args:
        radius: of the largest environments, in bonds.
        size: F.
        counts: how often each occurs, as log(1 + count); else whether it occurs.
        chirality: tell stereoisomers apart.

    Source: Rogers & Hahn 2010, "Extended-connectivity fingerprints".

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> columns, counts = Morgan(radius=1).raw(parse("CCC"))
        >>> sorted(counts.tolist())
        [1.0, 1.0, 2.0, 2.0]
    """

    def __init__(self, radius: int = 2, size: int = 2048, counts: bool = True, chirality: bool = False):
        check_positive(size=size)
        self.radius = radius
        self.size = size
        self.counts = counts
        self.chirality = chirality

    @cached_property
    def _generator(self) -> Any:
        package = needed("rdkit.Chem.rdFingerprintGenerator")
        return package.GetMorganGenerator(radius=self.radius, fpSize=self.size, includeChirality=self.chirality)


_SLOW = [
    "AvgIpc",
    "BCUT2D_CHGHI",
    "BCUT2D_CHGLO",
    "BCUT2D_LOGPHI",
    "BCUT2D_LOGPLOW",
    "BCUT2D_MRHI",
    "BCUT2D_MRLOW",
    "BCUT2D_MWHI",
    "BCUT2D_MWLOW",
    "BalabanJ",
    "BertzCT",
    "Chi0",
    "Chi1",
    "Chi2n",
    "Chi2v",
    "Chi3n",
    "Chi3v",
    "Chi4n",
    "Chi4v",
    "FpDensityMorgan1",
    "FpDensityMorgan2",
    "FpDensityMorgan3",
    "Ipc",
    "MaxAbsEStateIndex",
    "MaxEStateIndex",
    "MinAbsEStateIndex",
    "MinEStateIndex",
    "SPS",
    "qed",
]
"""The descriptors that are computed in Python, or take long otherwise: four fifths of the time of all of them."""


_ATOMS = 1000
"""Of these, all descriptors take two seconds."""


@featurisers.register("descriptors")
class Descriptors(Featuriser):
    """RDKit's two-dimensional descriptors, standardised by the molecules of acquisition.

    A descriptor that cannot be computed for a molecule is the mean of the others.

    Args:
        names: "fast" leaves out the 29 slowest, "all" takes every one of the installed RDKit; or a list of names.

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> Descriptors(["MolWt", "RingCount"]).raw(parse("c1ccccc1"))[1].round(1)
        array([78.1,  1. ], dtype=float32)
    """

    def __init__(self, names: Literal["fast", "all"] | Sequence[str] = "fast"):
        self.names = names if isinstance(names, str) else tuple(names)

    @property
    def settings(self) -> dict[str, Any]:
        """The names are spelt out, so that a later RDKit with more descriptors computes the same ones."""
        return {"name": "descriptors", "names": list(self._functions)}

    @property
    def width(self) -> int:
        """F."""
        return len(self._functions)

    def raw(self, molecule: Molecule) -> Row:
        """Return all descriptors, NaN where one cannot be computed.

        Raises:
            DataError: if there are too many atoms, since some take time that grows with their cube.
        """
        if (atoms := molecule.GetNumAtoms()) > _ATOMS:
            raise DataError(f"it has {atoms} heavy atoms; descriptors are computed for at most {_ATOMS}")
        values = np.array([_number(function, molecule) for function in self._functions.values()], dtype=np.float32)
        # Some grow exponentially with the size of a molecule.
        values = np.clip(values, -1e6, 1e6)
        columns = np.flatnonzero(values).astype(np.int32)
        return columns, values[columns]

    def fit(self, rows: SparseRows) -> dict[str, Any]:
        """Return mean and spread of each descriptor between its 1st and its 99th percentile."""
        most = min(len(rows), 20_000)  # more molecules change nothing, and take memory
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:most]
        raw = np.nan_to_num(rows.dense(chosen).double().numpy())
        low, high = np.percentile(raw, [1, 99], axis=0)
        inner = raw.clip(low, high)
        scale = inner.std(0)
        return {"mean": inner.mean(0).round(6).tolist(), "scale": np.where(scale > 1e-9, scale, 1).round(9).tolist()}

    def encode(self, raw: Tensor, fitted: Mapping[str, Any] | None = None) -> Tensor:
        """Return standardised descriptors, none of them beyond 5."""
        if fitted is None:
            raise DataError("fitted: descriptors are standardised by the molecules of acquisition, and none were given")
        mean, scale = (raw.new_tensor(fitted[key]) for key in ("mean", "scale"))
        return ((raw - mean) / scale).nan_to_num(0.0).clamp(-5, 5)

    @cached_property
    def _functions(self) -> dict[str, Any]:
        known = dict(needed("rdkit.Chem.Descriptors").descList)
        if self.names == "all":
            return known
        if self.names == "fast":
            return {name: function for name, function in known.items() if name not in _SLOW}
        if absent := [name for name in self.names if name not in known]:
            raise DataError(f"names: RDKit {needed('rdkit').__version__} has no descriptor '{absent[0]}'")
        return {name: known[name] for name in self.names}

    def __getstate__(self) -> dict[str, Any]:
        return arguments(self)


@featurisers.register("joined")
class Joined(Featuriser):
    """The features of several featurisers, one after another.

    Args:
        parts: their names, or their settings. If one is for a network of its own, as `graph` is, no single network can
            take the whole, but an ensemble whose members see their own parts.

    Example:
        >>> Joined(["morgan", {"name": "descriptors", "names": ["MolWt"]}]).width
        2049
    """

    def __init__(self, parts: Sequence[str | Mapping[str, Any]]):
        self.parts = tuple(parts)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the parts."""
        return {"name": "joined", "parts": [part.settings for part in self._parts]}

    @property
    def reads(self) -> Literal["molecules", "sequences"]:  # type: ignore[override]
        """What its parts are for."""
        return self._parts[0].reads

    @property
    def net(self) -> str | None:  # type: ignore[override]
        """None, or `ensemble` if a part is for a network of its own."""
        own = [part.net is not None or part.tokens is not None for part in self._parts]
        return "ensemble" if any(own) else None

    @property
    def width(self) -> int:
        """F, of all parts together."""
        return sum(part.width for part in self._parts)

    @property
    def encoded_width(self) -> int:
        """F, of the inputs of all parts together."""
        return sum(part.encoded_width for part in self._parts)

    def read(self, given: Any, salts: Salts = "largest", lenient: bool = False) -> tuple[Any, str, str | None]:
        """Return what each of its parts reads, and the notes of all of them."""
        found = [part.read(given, salts, lenient) for part in self._parts]
        notes = dict.fromkeys(note for *_, note in found if note)
        return found[0][0], found[0][1], "; ".join(notes) or None

    def raw(self, molecule: Molecule) -> Row:
        """Return the raw rows of the parts, side by side."""
        columns, values, offset = [], [], 0
        for part in self._parts:
            at, numbers = part.raw(molecule)
            columns.append(at + np.int32(offset))
            values.append(numbers)
            offset += part.width
        return np.concatenate(columns), np.concatenate(values)

    def fit(self, rows: SparseRows) -> dict[str, Any]:
        """Return what each part fits, by its position."""
        return {str(position): part.fit(own) for position, (part, own) in enumerate(self.apart(rows))}

    def apart(self, rows: SparseRows) -> Iterator[tuple[Featuriser, SparseRows]]:
        """Yield each part with the raw rows that are its own."""
        offset = 0
        for part in self._parts:
            inside = (rows.columns >= offset) & (rows.columns < offset + part.width)
            before = torch.cat([inside.new_zeros(1, dtype=torch.long), inside.cumsum(0)])
            yield part, SparseRows(before[rows.starts], rows.columns[inside] - offset, rows.values[inside], part.width)
            offset += part.width

    def encode(self, raw: Tensor, fitted: Mapping[str, Any] | None = None) -> Tensor:
        """Return what the parts encode, side by side."""
        pieces = raw.split([part.width for part in self._parts], dim=-1)
        known = fitted or {}
        encoded = [
            part.encode(piece, known.get(str(position)))
            for position, (part, piece) in enumerate(zip(self._parts, pieces, strict=True))
        ]
        return torch.cat(encoded, dim=-1)

    @cached_property
    def _parts(self) -> tuple[Featuriser, ...]:
        found = tuple(featuriser_of(part) for part in self.parts)
        if len(kinds := {part.reads for part in found}) != 1:
            raise DataError(f"parts: expected featurisers of molecules or of sequences, got those of {sorted(kinds)}")
        return found

    def __getstate__(self) -> dict[str, Any]:
        return arguments(self)


featurisers.preset("morgan_bits", "morgan", counts=False)
featurisers.preset("morgan+descriptors", "joined", parts=("morgan", "descriptors"))


def featuriser_of(given: str | Mapping[str, Any] | Featuriser) -> Featuriser:
    """Return the featuriser that a name, or a name with settings, stands for; of names with "+" between them, all.

    Raises:
        UnknownNameError: if the name is not registered.
        DataError: if a setting is not one of its own.

    Example:
        >>> featuriser_of({"name": "morgan", "radius": 3}).radius
        3
        >>> featuriser_of("morgan+torsions").width
        4096
    """
    if isinstance(given, Featuriser):
        return given
    named = {"name": given} if isinstance(given, str) else dict(given)
    name = str(named.pop("name", None))
    several = "+" in name and name not in featurisers
    cls, implied = (Joined, {"parts": name.split("+")}) if several else featurisers.resolve(name)
    try:
        return cls(**(implied | named))
    except TypeError as error:
        raise DataError(f"featuriser: '{name}' cannot be built from {named} ({error})") from error


def _number(function: Any, molecule: Molecule) -> float:
    try:
        return float(function(molecule))
    except (ValueError, ZeroDivisionError, OverflowError, RuntimeError):
        return float("nan")
