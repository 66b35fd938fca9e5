"""QM7: small organic molecules with geometries and energies, for few labels and for acquisition without labels."""

import zipfile
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metaprior import data
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.conformers import Conformer, Conformers, parse_xyz, stacked, unpacked
from metaprior.molecules.dealing import QUERY, roles_of
from metaprior.molecules.rows import SparseRows
from metaprior.molecules.splits import split_molecules
from metaprior.molecules.structure import Salts
from metaprior.molecules.validity import smiles_of
from metaprior.registry import sources
from metaprior.tasks.source import Split

__all__ = ["ATOMS", "QM7", "read_qm7"]

ATOMS = 23
"""Of the largest molecule."""
_SHARES = (0.7, 0.1, 0.2)
_ENERGIES = ("pbe0", "dftb", "difference")
_FILE = "qm7_xyz.zip"


@sources.register("qm7")
class QM7(AssaySource):
    """Draws of few labels for the energy of molecules: the support from those of training, queries from the split's.

    The inputs are the geometries that come with the data; those of a user's own molecules are made by the featuriser
    "conformer", with hydrogens, and are not the same: distance geometry is off by hundredths of an angstrom.

    Args:
        shots: support molecules; or the least and most of them.
        queries: query molecules at most; None for all of the split.
        energy: "pbe0", the energy of atomisation by density functional theory in kcal/mol, "dftb", that of a cheap
            approximation, or "difference", the first less the second.
        seed: of the splits, of 70 to 10 to 20.

    Source: Rupp et al. 2012, "Fast and accurate modeling of molecular atomization energies with machine learning"; the
    geometries and energies of 7,101 molecules with at most seven heavy atoms, H, C, N, O and S, are those that come
    with the package qml.

    Example:
        >>> QM7(shots=50).spec.x_shape
        (92,)
    """

    kind: Literal["classification", "regression"] = "regression"
    salts: Salts = "keep"

    def __init__(
        self,
        shots: int | tuple[int, int] = 100,
        queries: int | None = None,
        energy: Literal["pbe0", "dftb", "difference"] = "pbe0",
        seed: int = 0,
    ):
        if energy not in _ENERGIES:
            raise UnknownNameError("energy", str(energy), _ENERGIES)
        self.shots = shots
        self.queries = queries
        self.energy = energy
        self.seed = seed

    @property
    def featuriser(self) -> dict[str, Any]:
        """That of geometries for other molecules, relaxed, which brings them nearer to those of the data."""
        return Conformer(atoms=ATOMS, relax=True).settings

    def assays(self, split: Split) -> Assays:
        """Return one assay: training molecules for the support, and those of the split for queries."""
        conformers, smiles, energies = read_qm7()
        values = {"pbe0": energies[:, 0], "dftb": energies[:, 1], "difference": energies[:, 0] - energies[:, 1]}
        chosen = values[self.energy].double().numpy()
        members, roles = roles_of(split_molecules(smiles, "random", _SHARES, self.seed), split)
        return gathered(
            _rows(conformers),
            smiles,
            np.zeros(len(members), dtype=np.int64),
            members,
            # Stratified by the side of the median, so that no support of a few has one end of the values alone.
            chosen[members] > np.median(chosen),
            chosen[members],
            [self.energy],
            roles,
        )

    def conformers(self, split: Split) -> tuple[Conformers, Tensor]:
        """Return the molecules of a split and their energies `(N,)`; for acquisition, those of "train" alone."""
        part = self._split(split)
        own = slice(None) if part.roles is None or split == "train" else part.roles == QUERY
        at = part.molecule[own]
        assert part.values is not None
        return unpacked(part.rows.dense(at)).trimmed(), part.values[own]


def read_qm7() -> tuple[Conformers, list[str], Tensor]:
    """Return all geometries, their SMILES, and their energies `(N, 2)` in kcal/mol: by PBE0, and by DFTB.

    SMILES are from distances, so that they may be wrong; they are empty for the 2 % where there is no valid one.

    Raises:
        DataError: if the file is not on this machine, or cannot be read.
    """
    path = data.need("qm7_3d", _FILE)

    def compute() -> dict[str, Tensor]:
        try:
            with zipfile.ZipFile(path) as archive:
                lines = archive.read("data/hof_qm7.txt").decode().split("\n")
                table = [line.split() for line in lines if line.strip()]
                frames = [parse_xyz(archive.read(f"qm7/{name}").decode())[0] for name, *_ in table]
                energies = torch.tensor([[float(number) for number in row[1:3]] for row in table])
        except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"qm7_3d: {path} cannot be read ({error}): delete it and get it again") from error
        conformers = stacked([(numbers, positions) for numbers, positions, _ in frames])
        smiles = "\n".join(smiles_of(conformers)).encode()
        return {
            **conformers._asdict(),
            "energies": energies,
            "smiles": torch.frombuffer(bytearray(smiles), dtype=torch.uint8),
        }

    found = data.cached(f"qm7-{path.stat().st_size}-v1", compute)
    smiles = found.pop("smiles").numpy().tobytes().decode().split("\n")
    energies = found.pop("energies")
    return Conformers(**found), smiles, energies


def _rows(conformers: Conformers) -> SparseRows:
    packed = conformers.packed(ATOMS).numpy()
    return SparseRows.of(
        ((np.arange(4 * size), row[: 4 * size]) for row, size in zip(packed, conformers.sizes.tolist(), strict=True)),
        4 * ATOMS,
    )
