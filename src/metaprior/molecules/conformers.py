"""Conformers: the atoms of a molecule and where they are, made from SMILES or read from files.

Axis letters: N molecules, A atoms, padding among them, F features.
"""

import functools
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import DataError, ShapeError, check_positive
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.featurisers import Featuriser, Row, featurisers
from metaprior.molecules.structure import Molecule, Salts, needed, quiet
from metaprior.tree import map_tensors

__all__ = [
    "Conformer",
    "ConformerFile",
    "Conformers",
    "embed",
    "parse_xyz",
    "read_conformers",
    "stacked",
    "unpacked",
]


class Conformers(NamedTuple):
    """Molecules as points with elements; what cannot be used has no atoms.

    Args:
        positions: `(N, A, 3)`, in angstrom, zero for padding.
        elements: `(N, A)` atomic numbers, int64, zero for padding.
        mask: `(N, A)`, True where there is an atom.

    Example:
        >>> water = stacked([([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])])
        >>> water.sizes, water.packed(atoms=4).shape
        (tensor([3]), torch.Size([1, 16]))
    """

    positions: Tensor
    elements: Tensor
    mask: Tensor

    @property
    def sizes(self) -> Tensor:
        """`(N,)`, how many atoms each molecule has."""
        return self.mask.sum(1)

    def take(self, index: Any) -> "Conformers":
        """Return some of the molecules, by positions or by a mask."""
        return map_tensors(lambda leaf: leaf[index], self)

    def trimmed(self) -> "Conformers":
        """Return the same molecules with no more padding than the largest of them asks for; it must be at the end."""
        most = int(self.sizes.max()) if len(self.mask) else 0
        return map_tensors(lambda leaf: leaf[:, :most], self)

    def packed(self, atoms: int | None = None) -> Tensor:
        """Return rows `(N, 4 A)` of element, x, y and z of each atom in turn; `unpacked` is the inverse.

        Args:
            atoms: A of the rows; None for that of the conformers.

        Raises:
            ShapeError: if there is a larger molecule.
        """
        flat = torch.cat([self.elements[..., None].to(self.positions.dtype), self.positions], dim=-1)
        width = flat.shape[1] if atoms is None else atoms
        if self.mask[:, width:].any():
            raise ShapeError(f"atoms: expected room for {int(self.sizes.max())}, got {atoms}")
        flat = flat[:, :width]
        return functional.pad(flat, (0, 0, 0, width - flat.shape[1])).flatten(1)


def unpacked(rows: Tensor) -> Conformers:
    """Return conformers from rows `(N, 4 A)`, such as the featuriser "conformer" gives.

    Raises:
        ShapeError: if they are of another width.

    Example:
        >>> unpacked(torch.tensor([[6.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0]])).elements
        tensor([[6, 0]])
    """
    if rows.ndim != 2 or rows.shape[1] % 4:
        raise ShapeError(f"rows: expected conformers (N, 4 A), element, x, y, z of each atom; got {tuple(rows.shape)}")
    atoms = rows.unflatten(1, (-1, 4))
    elements = atoms[..., 0].round().long()
    return Conformers(atoms[..., 1:], elements, elements > 0)


def stacked(molecules: Sequence[tuple[Any, Any]], dtype: torch.dtype = torch.float32) -> Conformers:
    """Return molecules, each given as atomic numbers `(A,)` and positions `(A, 3)`, padded to the largest."""
    most = max((len(numbers) for numbers, _ in molecules), default=0)
    found = Conformers(
        torch.zeros(len(molecules), most, 3, dtype=dtype),
        torch.zeros(len(molecules), most, dtype=torch.int64),
        torch.zeros(len(molecules), most, dtype=torch.bool),
    )
    for at, (numbers, positions) in enumerate(molecules):
        size = len(numbers)
        found.positions[at, :size] = torch.as_tensor(np.asarray(positions), dtype=dtype).reshape(size, 3)
        found.elements[at, :size] = torch.as_tensor(np.asarray(numbers), dtype=torch.int64)
        found.mask[at, :size] = True
    return found


@featurisers.register("conformer")
class Conformer(Featuriser):
    """One conformer of a molecule, by distance geometry: element, x, y and z of each atom; padding is zero.

    Networks that know what to do with it take it, such as `egnn`; it is no vector of features for others.

    Args:
        atoms: A, the most that a molecule may have; one of more cannot be used, which is said by its row.
        hydrogens: add hydrogens; else heavy atoms alone are kept.
        seed: of the geometry.
        relax: let the MMFF94 force field relax it, where it has parameters for the molecule.

    Source: ETKDG version 3, Riniker & Landrum 2015, "Better informed distance geometry", as in RDKit.

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> columns, values = Conformer(atoms=8).raw(parse("C"))
        >>> values[columns % 4 == 0]
        array([6., 1., 1., 1., 1.], dtype=float32)
    """

    net = "egnn"

    def __init__(self, atoms: int = 100, hydrogens: bool = True, seed: int = 0, relax: bool = False):
        check_positive(atoms=atoms)
        self.atoms = atoms
        self.hydrogens = hydrogens
        self.seed = seed
        self.relax = relax

    @property
    def width(self) -> int:
        """F, which is 4 A."""
        return 4 * self.atoms

    def raw(self, molecule: Molecule) -> Row:
        """Return element, x, y and z of each atom.

        Raises:
            DataError: if there are too many atoms, or no geometry is found.
        """
        chem, distance = needed("rdkit.Chem"), needed("rdkit.Chem.rdDistGeom")
        whole = chem.AddHs(molecule)
        kept = whole.GetNumAtoms() if self.hydrogens else molecule.GetNumAtoms()
        if kept > self.atoms:
            raise DataError(f"it has {kept} atoms; conformers of at most {self.atoms} were asked for")
        options = distance.ETKDGv3()
        options.randomSeed = self.seed + 1  # RDKit takes 0 for 1
        with quiet():
            if distance.EmbedMolecule(whole, options) != 0:
                options.useRandomCoords = True
                if distance.EmbedMolecule(whole, options) != 0:
                    raise DataError("no conformer was found for it")
            if self.relax:
                needed("rdkit.Chem.rdForceFieldHelpers").MMFFOptimizeMolecule(whole)
        numbers = np.array([atom.GetAtomicNum() for atom in whole.GetAtoms()], dtype=np.float32)
        # Digits beyond these differ from one machine to another.
        places = whole.GetConformer().GetPositions().round(3)
        values = np.concatenate([numbers[:, None], places], axis=1)
        if not self.hydrogens:
            values = values[numbers > 1] if (numbers > 1).any() else values
        flat = values.astype(np.float32).ravel()
        return np.arange(len(flat), dtype=np.int32), flat


def embed(
    molecules: Sequence[str | Molecule],
    settings: Conformer | None = None,
    salts: Salts = "largest",
    *,
    processes: int | None = None,
    cache: bool = True,
) -> tuple[Conformers, Featurised]:
    """Return a conformer of each molecule, and what `featurise` says of them, their problems among it.

    Args:
        molecules: SMILES or RDKit Mols.
        settings: of the conformers; None for the defaults.
        salts: what is done to salts and mixtures.
        processes: how many work at once; None for one on each core.
        cache: keep conformers in the cache folder, and use what is kept there.

    Example:
        >>> conformers, found = embed(["CO", "C1CC"], cache=False)
        >>> conformers.sizes, found.problems
        (tensor([6, 0]), {1: "'C1CC' is not a SMILES"})
    """
    found = featurise(molecules, settings or Conformer(), salts, processes=processes, cache=cache)
    return unpacked(found.rows.dense(torch.arange(len(found.rows)))).trimmed(), found


class ConformerFile(NamedTuple):
    """The molecules of a file of geometries.

    Args:
        conformers: N of them.
        names: the comment or the name of each, as the file has it.
        problems: why a record cannot be used, by its position; its molecule has no atoms.
    """

    conformers: Conformers
    names: list[str]
    problems: dict[int, str]


def read_conformers(file: str | Path) -> ConformerFile:
    """Read geometries from an `.xyz` file of one or more frames, or from `.sdf`, `.sdf.gz` or `.mol`.

    Raises:
        DataError: if the file cannot be read, or is of another kind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.xyz"
        >>> _ = path.write_text("2\\nhydrogen\\nH 0 0 0\\nH 0 0 0.74\\n")
        >>> read_conformers(path).names
        ['hydrogen']
    """
    path = Path(file)
    try:
        if path.name.endswith((".sdf", ".sdf.gz", ".mol")):
            found = list(_sdf(path))
        elif path.suffix == ".xyz":
            found = [(name, numbers, positions, None) for numbers, positions, name in parse_xyz(path.read_text())]
        else:
            raise DataError(f"file: expected .xyz, .sdf, .sdf.gz or .mol, got {path}")
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"file: {path} cannot be read ({error})") from error
    problems = {at: problem for at, (*_, problem) in enumerate(found) if problem is not None}
    conformers = stacked([(numbers, positions) for _, numbers, positions, _ in found])
    return ConformerFile(conformers, [name for name, *_ in found], problems)


def parse_xyz(text: str) -> list[tuple[list[int], np.ndarray, str]]:
    """Return the atomic numbers, the positions `(A, 3)` and the comment of each frame of an XYZ file.

    Raises:
        DataError: if a frame is broken off, or a line is no atom; it names the line.
    """
    lines, frames, at = text.splitlines(), [], 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        try:
            size = int(lines[at])
            atoms = [line.split()[:4] for line in lines[at + 2 : at + 2 + size]]
            numbers = [_number(symbol) for symbol, *_ in atoms]
            positions = np.array([[float(value) for value in place] for _, *place in atoms]).reshape(size, 3)
        except (ValueError, IndexError) as error:
            raise DataError(f"the frame at line {at + 1} is not XYZ ({error})") from error
        frames.append((numbers, positions, lines[at + 1].strip()))
        at += 2 + size
    return frames


def _sdf(path: Path) -> Iterator[tuple[str, list[int], Any, str | None]]:
    chem = needed("rdkit.Chem")
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file, quiet():
        for molecule in chem.ForwardSDMolSupplier(file, removeHs=False):
            if molecule is None:
                yield "", [], np.zeros((0, 3)), "the record is no molecule"
                continue
            name = molecule.GetProp("_Name") if molecule.HasProp("_Name") else ""
            if molecule.GetNumConformers() == 0 or not molecule.GetConformer().Is3D():
                yield name, [], np.zeros((0, 3)), "the record has no coordinates in three dimensions"
                continue
            numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
            yield name, numbers, molecule.GetConformer().GetPositions(), None


@functools.cache
def _number(symbol: str) -> int:
    """Return the atomic number that a symbol, or itself, stands for."""
    if symbol.isdecimal():
        return int(symbol)
    with quiet():
        try:
            return int(needed("rdkit.Chem").GetPeriodicTable().GetAtomicNumber(symbol.capitalize()))
        except RuntimeError as error:
            raise ValueError(f"'{symbol}' is no element") from error
