"""Fingerprints of atoms that are far apart, and of chains of four: what circular environments do not see.

Axis letters: F features.
"""

from functools import cached_property
from typing import Any

from metaprior.errors import DataError, check_positive
from metaprior.molecules.featurisers import Counted, Row, featurisers
from metaprior.molecules.structure import Molecule, needed

__all__ = ["AtomPairs", "Torsions"]

_ATOMS = 1000
"""Pairs grow with the square of the atoms; of so many, they take a second."""


@featurisers.register("atom_pairs")
class AtomPairs(Counted):
    """How often each pair of atoms occurs: what they are, and how many bonds lie between them.

    Args:
        size: F, to which pairs are hashed.
        counts: how often each occurs, as log(1 + count); else whether it occurs.
        distance: of the two atoms at most, in bonds.

    Source: Carhart et al. 1985, "Atom pairs as molecular features in structure-activity studies".

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> columns, counts = AtomPairs().raw(parse("CCC"))
        >>> sorted(counts.tolist())
        [1.0, 2.0]
    """

    def __init__(self, size: int = 2048, counts: bool = True, distance: int = 30):
        check_positive(size=size, distance=distance)
        self.size = size
        self.counts = counts
        self.distance = distance

    def raw(self, molecule: Molecule) -> Row:
        """Return the counts of the pairs that occur.

        Raises:
            DataError: if there are too many atoms.
        """
        if (atoms := molecule.GetNumAtoms()) > _ATOMS:
            raise DataError(f"it has {atoms} heavy atoms; pairs of at most {_ATOMS} are counted")
        return super().raw(molecule)

    @cached_property
    def _generator(self) -> Any:
        package = needed("rdkit.Chem.rdFingerprintGenerator")
        return package.GetAtomPairGenerator(maxDistance=self.distance, fpSize=self.size, countSimulation=False)


@featurisers.register("torsions")
class Torsions(Counted):
    """How often each chain of bonded atoms occurs, by what they are.

    Args:
        size: F, to which chains are hashed.
        counts: how often each occurs, as log(1 + count); else whether it occurs.
        atoms: of a chain.

    Source: Nilakantan et al. 1987, "Topological torsion: a new molecular descriptor for SAR applications".

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> Torsions().raw(parse("CCCCC"))[1].tolist()
        [2.0]
    """

    def __init__(self, size: int = 2048, counts: bool = True, atoms: int = 4):
        check_positive(size=size, atoms=atoms)
        self.size = size
        self.counts = counts
        self.atoms = atoms

    @cached_property
    def _generator(self) -> Any:
        package = needed("rdkit.Chem.rdFingerprintGenerator")
        return package.GetTopologicalTorsionGenerator(
            torsionAtomCount=self.atoms, fpSize=self.size, countSimulation=False
        )


featurisers.preset("atom_pairs+torsions", "joined", parts=("atom_pairs", "torsions"))
