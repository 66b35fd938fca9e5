"""What chemistry says of samples: bonds from distances, stable atoms, valid, different and new molecules.

Axis letters: N molecules, A atoms.
"""

import contextlib
import functools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.molecules.conformers import Conformers
from metaprior.molecules.structure import Molecule, needed, parse, quiet

__all__ = [
    "SampleReport",
    "StringReport",
    "bond_orders",
    "canonical",
    "molecule_of",
    "sample_report",
    "smiles_of",
    "stable",
    "string_report",
]

_SYMBOLS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9, "P": 15, "S": 16, "Cl": 17, "Br": 35, "I": 53}
_LENGTHS = {
    1: "H-H:74 H-C:109 H-N:101 H-O:96 H-F:92 H-P:144 H-S:134 H-Cl:127 H-Br:141 H-I:161 C-C:154 C-N:147 C-O:143 "
    "C-F:135 C-P:184 C-S:182 C-Cl:177 C-Br:194 C-I:214 N-N:145 N-O:140 N-F:136 N-P:177 N-S:168 N-Cl:175 "
    "N-Br:214 N-I:222 O-O:148 O-F:142 O-P:163 O-S:151 O-Cl:164 O-Br:172 O-I:194 F-F:142 F-P:156 F-S:158 "
    "F-Cl:166 F-Br:178 F-I:187 P-P:221 P-S:210 P-Cl:203 P-Br:222 S-S:204 S-Cl:207 S-Br:225 S-I:234 Cl-Cl:199 "
    "Cl-Br:218 Cl-I:232 Br-Br:228 I-I:266",
    2: "C-C:134 C-N:129 C-O:120 C-S:160 N-N:125 N-O:121 O-O:121 O-P:150 P-S:186",
    3: "C-C:120 C-N:116 C-O:113 N-N:110",
}
"""Typical lengths of single, double and triple bonds, in picometres."""
_MARGINS = {1: 10, 2: 5, 3: 3}
"""How much longer a bond of an order may be, in picometres."""
_VALENCES = {1: (1,), 6: (4,), 7: (3,), 8: (2,), 9: (1,), 15: (3, 5), 16: (2, 4, 6), 17: (1,), 35: (1,), 53: (1,)}
_HEAVIEST = 118


class SampleReport(NamedTuple):
    """How good generated molecules are; shares from 0 to 1.

    Args:
        stable_atoms: of all atoms, those whose bonds add up to a valence of their element.
        stable_molecules: of all molecules, those all of whose atoms are stable.
        valid: of all molecules, those that RDKit accepts with the bonds that distances tell, as one piece or several.
        unique: of the valid ones, how many there are without repetitions.
        novel: of the unique ones, those that are not among the molecules of acquisition; NaN where these are not known.
        smiles: of the valid ones, the largest piece of each.
    """

    stable_atoms: float
    stable_molecules: float
    valid: float
    unique: float
    novel: float
    smiles: tuple[str, ...]

    def __str__(self) -> str:
        return _shares(self)


class StringReport(NamedTuple):
    """How good generated SMILES are; shares from 0 to 1.

    Args:
        valid: of all strings, those that RDKit reads.
        unique: of the valid ones, how many molecules there are without repetitions.
        novel: of the unique ones, those that are not among the molecules of acquisition; NaN where these are not known.
        smiles: of the valid ones, the largest piece of each, without stereochemistry.
    """

    valid: float
    unique: float
    novel: float
    smiles: tuple[str, ...]

    def __str__(self) -> str:
        return _shares(self)


def bond_orders(conformers: Conformers) -> Tensor:
    """Return the order `(N, A, A)` of the bond between any two atoms, 0 for none, by how far they are apart.

    Source: the lengths and margins of Hoogeboom et al. 2022 (arXiv 2203.17003), appendix A, where aromatic bonds are
    single or double by their length, and those of sulphur to oxygen single. What the tables lack has no bonds.

    Example:
        >>> from metaprior.molecules.conformers import stacked
        >>> bond_orders(stacked([([6, 8], [[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]])]))[0, 0]
        tensor([0, 2])
    """
    apart = torch.cdist(conformers.positions.double(), conformers.positions.double()) * 100
    left, right = conformers.elements[:, :, None], conformers.elements[:, None]
    orders = torch.zeros_like(apart, dtype=torch.int64)
    for order in _LENGTHS:
        near = apart < _table(order)[left, right]
        # A bond is double only if it is short enough for a single one, and so on.
        orders = torch.where(near & (orders == order - 1), order, orders)
    pairs = conformers.mask[:, :, None] & conformers.mask[:, None] & ~torch.eye(apart.shape[1], dtype=torch.bool)
    return orders * pairs


def stable(conformers: Conformers) -> Tensor:
    """Return whether the bonds of each atom `(N, A)` add up to a valence of its element; padding is False.

    Example:
        >>> from metaprior.molecules.conformers import stacked
        >>> stable(stacked([([8, 1, 1], [[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]), ([1], [[0.0, 0, 0]])])).tolist()
        [[True, True, True], [False, False, False]]
    """
    total = bond_orders(conformers).sum(-1)
    fits = torch.zeros_like(conformers.mask)
    for element, valences in _VALENCES.items():
        fits |= (conformers.elements == element) & torch.isin(total, torch.tensor(valences))
    return fits & conformers.mask


def molecule_of(elements: Sequence[int], bonds: Iterable[tuple[int, int, int]]) -> Molecule:
    """Return the molecule of A atoms and of bonds, each between two atoms and of an order.

    Raises:
        DataError: if RDKit finds it impossible.

    Example:
        >>> canonical(molecule_of([6, 8], [(0, 1, 2)]))
        'C=O'
    """
    chem = needed("rdkit.Chem")
    kinds = {1: chem.BondType.SINGLE, 2: chem.BondType.DOUBLE, 3: chem.BondType.TRIPLE}
    built = chem.RWMol()
    for element in elements:
        built.AddAtom(chem.Atom(element))
    for first, second, order in bonds:
        built.AddBond(first, second, kinds[order])
    with quiet():
        try:
            chem.SanitizeMol(built)
        except ValueError as error:
            raise DataError(f"the geometry is no molecule: {' '.join(str(error).split())}") from error
    return built.GetMol()


def canonical(molecule: Molecule) -> str:
    """Return the SMILES of the largest piece of a molecule, without stereochemistry and explicit hydrogens.

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> canonical(parse("[H][C@](F)(Cl)O.O"))
        'OC(F)Cl'
    """
    chem = needed("rdkit.Chem")
    with quiet():
        pieces = chem.GetMolFrags(molecule, asMols=True)
        largest = max(pieces, key=lambda piece: piece.GetNumAtoms())
        return str(chem.MolToSmiles(chem.RemoveHs(largest), isomericSmiles=False))


def smiles_of(conformers: Conformers) -> list[str]:
    """Return the SMILES of the largest piece of each molecule, its bonds told by distances; empty where it is invalid.

    Example:
        >>> from metaprior.molecules.conformers import embed
        >>> smiles_of(embed(["CCO", "N#CC"], cache=False)[0])
        ['CCO', 'CC#N']
    """
    orders = bond_orders(conformers).triu()
    places = orders.nonzero()
    bonds: list[list[tuple[int, int, int]]] = [[] for _ in range(len(orders))]
    for (molecule, first, second), order in zip(places.tolist(), orders[tuple(places.T)].tolist(), strict=True):
        bonds[molecule].append((first, second, order))
    found = []
    for elements, size, own in zip(conformers.elements.tolist(), conformers.sizes.tolist(), bonds, strict=True):
        try:
            found.append(canonical(molecule_of(elements[:size], own)) if size else "")
        except DataError:
            found.append("")
    return found


def sample_report(samples: Conformers, known: Iterable[str] | None = None) -> SampleReport:
    """Return stability, validity, uniqueness and novelty of generated molecules.

    Args:
        samples: with all hydrogens.
        known: SMILES that `smiles_of` gives of the molecules of acquisition; None where these are not known.

    Source: Hoogeboom et al. 2022 (arXiv 2203.17003), section 5. Differs: sulphur may have a valence of 2 or 6 too.

    Example:
        >>> from metaprior.molecules.conformers import embed
        >>> print(sample_report(embed(["CO", "CO", "CCN"], cache=False)[0], known=["CO"]))
        stable atoms 100.0%, stable molecules 100.0%, valid 100.0%, unique 66.7%, novel 50.0%
    """
    if not len(samples.mask):
        raise DataError("samples: expected molecules, got none")
    fits, smiles = stable(samples), [text for text in smiles_of(samples) if text]
    return SampleReport(
        float(fits.sum() / samples.mask.sum().clamp(min=1)),
        float((fits | ~samples.mask).all(1).double().mean()),
        len(smiles) / len(samples.mask),
        *_different(smiles, known),
        tuple(smiles),
    )


def string_report(samples: Sequence[str], known: Iterable[str] | None = None) -> StringReport:
    """Return validity, uniqueness and novelty of generated SMILES.

    Args:
        samples: the strings as they were drawn.
        known: SMILES of the molecules of acquisition, in any spelling; None where these are not known.

    Example:
        >>> print(string_report(["CO", "OC", "CCN", "C1C("], known=["OC"]))
        valid 75.0%, unique 66.7%, novel 50.0%
    """
    if not samples:
        raise DataError("samples: expected SMILES, got none")
    smiles = _readable(samples)
    return StringReport(
        len(smiles) / len(samples), *_different(smiles, None if known is None else _readable(known)), tuple(smiles)
    )


def _readable(texts: Iterable[str]) -> list[str]:
    """Return the SMILES that `canonical` gives of texts, without those that are no molecules."""
    found = []
    for text in texts:
        with contextlib.suppress(DataError):
            found.append(canonical(parse(text)))
    return found


def _different(smiles: Sequence[str], known: Iterable[str] | None) -> tuple[float, float]:
    """Return how many of some molecules there are without repetitions, and the share of these that is not known."""
    different = set(smiles)
    novel = float("nan") if known is None or not different else len(different.difference(known)) / len(different)
    return len(different) / max(len(smiles), 1), novel


def _shares(report: SampleReport | StringReport) -> str:
    named = zip(report._fields[:-1], report[:-1], strict=True)
    return ", ".join(
        f"{name.replace('_', ' ')} {'not known' if math.isnan(share) else f'{share:.1%}'}" for name, share in named
    )


@functools.cache
def _table(order: int) -> Tensor:
    """Return the longest bond of an order between any two elements, in picometres; minus one where there is none."""
    table = torch.full((_HEAVIEST + 1, _HEAVIEST + 1), -1.0, dtype=torch.float64)
    for entry in _LENGTHS[order].split():
        pair, length = entry.split(":")
        first, second = (_SYMBOLS[symbol] for symbol in pair.split("-"))
        table[first, second] = table[second, first] = int(length) + _MARGINS[order]
    return table
