"""Molecular graphs: what each heavy atom is, and which atoms it is bonded to, as one padded row for each molecule.

Axis letters: N molecules, A atoms, padding among them, K fields of an atom, B bonds of an atom.
"""

import hashlib
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from metaprior.errors import DataError, ShapeError, check_positive
from metaprior.molecules.featurisers import Featuriser, Row, featurisers
from metaprior.molecules.structure import Molecule, needed
from metaprior.tree import map_tensors

__all__ = ["ATOM_SIZES", "BONDS", "BOND_SIZE", "WIDTH", "Graph", "Graphs", "graphs_of"]

_CHARGES, _HYDROGENS = 2, 4
_HYBRIDS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
_LONGEST = 100_000
"""Steps of the rules of Cahn, Ingold and Prelog, some thousandths of a second."""
_KINDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
_HANDED = {"R": 1, "S": 2, "r": 3, "s": 4}
_STEREO = {"STEREOZ": 1, "STEREOCIS": 1, "STEREOE": 2, "STEREOTRANS": 2}

ATOM_SIZES = (119, 2 * _CHARGES + 1, _HYDROGENS + 1, len(_HYBRIDS) + 1, 2, 2, len(_HANDED) + 1)
"""K, and how many ids each field has: element, charge, hydrogens, hybridisation, aromatic, in a ring, R or S.
Rings that are cis and trans differ in the small letters r and s."""
BOND_SIZE = (len(_KINDS) + 1) * 3 * 2 * 2
"""How many kinds of bonds are told apart: by order, E or Z, conjugation, and whether they are in a ring."""
BONDS = 6
"""B, the most bonds to heavy atoms that an atom may have."""
WIDTH = len(ATOM_SIZES) + 2 * BONDS
"""How many numbers stand for an atom: its fields, then the place of each neighbour, then the kinds of these bonds."""


class Graphs(NamedTuple):
    """Molecules as atoms and bonds.

    Args:
        atoms: `(N, A, K)` ids from 1 of each field, int64, zero for padding, which is at the end.
        neighbours: `(N, A, B)`, the places of the atoms that an atom is bonded to, int64.
        bonds: `(N, A, B)`, ids from 1 of these bonds, int64, zero where there is none.

    Example:
        >>> from metaprior.molecules.featurise import featurise
        >>> import torch
        >>> rows = featurise(["CO", "C1CC1"], Graph(atoms=4), cache=False).rows
        >>> graphs_of(rows.dense(torch.arange(2))).sizes
        tensor([2, 3])
    """

    atoms: Tensor
    neighbours: Tensor
    bonds: Tensor

    @property
    def mask(self) -> Tensor:
        """`(N, A)`, True where there is an atom."""
        return self.atoms[..., 0] > 0

    @property
    def sizes(self) -> Tensor:
        """`(N,)`, how many atoms each has."""
        return self.mask.sum(1)

    def take(self, index: Tensor | slice) -> "Graphs":
        """Return some of the molecules, by positions or by a mask."""
        return map_tensors(lambda leaf: leaf[index], self)

    def trimmed(self) -> "Graphs":
        """Return the same with no more padding than the largest of them asks for."""
        most = int(self.sizes.max()) if len(self.atoms) else 0
        return map_tensors(lambda leaf: leaf[:, :most], self)


def graphs_of(rows: Tensor) -> Graphs:
    """Return the molecules of rows `(N, WIDTH A)`, such as the featuriser `graph` gives.

    Raises:
        ShapeError: if they are no such rows.
    """
    if rows.ndim != 2 or rows.shape[1] % WIDTH:
        raise ShapeError(
            f"rows: expected graphs (N, {WIDTH} A), which the featuriser 'graph' gives; got {tuple(rows.shape)}"
        )
    lines = rows.unflatten(1, (-1, WIDTH)).long()
    return Graphs(*lines.split((len(ATOM_SIZES), BONDS, BONDS), dim=-1))


@featurisers.register("graph")
class Graph(Featuriser):
    """The graph of the heavy atoms of a molecule: what each is, and by which bonds it hangs together with others.

    Networks of graphs take it, such as `gin`; it is no vector of features for others. The order of the atoms is that of
    the structure as it was given, and nothing may depend on it.

    Args:
        atoms: A, the most that a molecule may have; one of more cannot be used, which is said by its row.

    Source: the features of atoms and bonds are those of the Open Graph Benchmark (Hu et al. 2020, arXiv 2005.00687),
    save that atoms are R or S and bonds E or Z, since the order of neighbours that other marks of chirality refer to is
    not kept; the number of neighbours is left out, which a network can count. Isotopes are not told apart.

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> columns, ids = Graph(atoms=3).raw(parse("C=O"))
        >>> ids[columns % WIDTH == 0]
        array([6., 8.], dtype=float32)
    """

    net = "gin"

    def __init__(self, atoms: int = 80):
        check_positive(atoms=atoms)
        self.atoms = atoms

    @property
    def digest(self) -> str:
        """As of every featuriser, and of which fields an atom has."""
        return hashlib.sha256(f"{super().digest}{ATOM_SIZES}".encode()).hexdigest()[:12]

    @property
    def width(self) -> int:
        """F, which is WIDTH A."""
        return WIDTH * self.atoms

    def raw(self, molecule: Molecule) -> Row:
        """Return fields, neighbours and bonds of each atom.

        Raises:
            DataError: if there are too many atoms, or too many bonds of one.
        """
        size = molecule.GetNumAtoms()
        if size > self.atoms:
            raise DataError(f"it has {size} heavy atoms; graphs of at most {self.atoms} were asked for")
        needed("rdkit.Chem").AssignStereochemistry(molecule, force=True)
        with suppress(RuntimeError):  # a symmetry that takes too long; its atoms have the marks of the simpler rules
            needed("rdkit.Chem.rdCIPLabeler").AssignCIPLabels(molecule, maxRecursiveIterations=_LONGEST)
        lines = np.zeros((size, WIDTH), np.float32)
        for at, atom in enumerate(molecule.GetAtoms()):
            bonds = atom.GetBonds()
            if len(bonds) > BONDS:
                raise DataError(
                    f"it has an atom, {atom.GetSymbol()}, of {len(bonds)} bonds; graphs have at most {BONDS} of one"
                )
            fields, places = lines[at, : len(ATOM_SIZES)], lines[at, len(ATOM_SIZES) :]
            fields[:] = np.add(_fields(atom), 1)
            places[: len(bonds)] = [bond.GetOtherAtomIdx(at) for bond in bonds]
            places[BONDS : BONDS + len(bonds)] = [1 + _kind(bond) for bond in bonds]
        flat = lines.ravel()
        columns = np.flatnonzero(flat).astype(np.int32)
        return columns, flat[columns]


def _fields(atom: Any) -> tuple[int, ...]:
    """Return the id from 0 of each field of an atom."""
    charge = int(np.clip(atom.GetFormalCharge(), -_CHARGES, _CHARGES)) + _CHARGES
    handed = _HANDED.get(atom.GetProp("_CIPCode") if atom.HasProp("_CIPCode") else "", 0)
    return (
        atom.GetAtomicNum() - 1 if atom.GetAtomicNum() else ATOM_SIZES[0] - 1,
        charge,
        min(atom.GetTotalNumHs(), _HYDROGENS),
        _place(str(atom.GetHybridization()), _HYBRIDS),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
        handed,
    )


def _kind(bond: Any) -> int:
    """Return the id from 0 of a bond."""
    kind = _place(str(bond.GetBondType()), _KINDS)
    stereo = _STEREO.get(str(bond.GetStereo()), 0)
    return ((kind * 3 + stereo) * 2 + int(bond.GetIsConjugated())) * 2 + int(bond.IsInRing())


def _place(name: str, known: tuple[str, ...]) -> int:
    """Return the place of a name among those that are told apart, all others sharing the last."""
    return known.index(name) if name in known else len(known)
