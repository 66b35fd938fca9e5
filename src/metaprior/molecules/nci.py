"""Molecules that come with RDKit, and tasks on them that need no download: descriptors that are known exactly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metaprior import data
from metaprior.errors import check_positive
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import Descriptors
from metaprior.molecules.structure import Salts, needed, rdkit_version
from metaprior.registry import sources
from metaprior.tasks.source import Split

__all__ = ["NCI", "nci_smiles"]

_SHARES = {"train": (0.0, 0.6), "valid": (0.6, 0.8), "test": (0.8, 1.0)}
_BALANCE = 0.2
"""A descriptor makes a task if at least this share of the molecules is on either side of its median."""
_FAMILIES: tuple[str, ...] = (
    "MolWt",
    "TPSA",
    "MolLogP",
    "MolMR",
    "Num",
    "RingCount",
    "FractionCSP3",
    "LabuteASA",
    "HallKierAlpha",
)
_FAMILIES += ("PEOE_VSA", "SMR_VSA", "SlogP_VSA", "EState_VSA", "VSA_EState", "Kappa1", "HeavyAtom", "fr_")


@sources.register("nci")
class NCI(AssaySource):
    """Tasks on molecules that come with RDKit: whether a descriptor is above its median, or what it is.

    Descriptors are dealt to the splits, and so are molecules, so that both of a new task are new.

    Args:
        shots: support molecules of a task in all; or the least and most of them.
        queries: query molecules of a task at most; None for all that are left.
        kind: predict the side of the median, or the descriptor, standardised by the support.
        featuriser: by name, or by name and settings.
        molecules: how many to use.

    Source: the first 5,000 structures of the National Cancer Institute's open database, in RDKit's wheel.

    Example:
        >>> source = NCI(shots=16, molecules=300)
        >>> source.sample(4, torch.Generator().manual_seed(0)).support.x.shape
        torch.Size([4, 16, 2048])
    """

    salts: Salts = "largest"

    def __init__(
        self,
        shots: int | tuple[int, int] = 16,
        queries: int | None = 64,
        kind: Literal["classification", "regression"] = "classification",
        featuriser: str | Mapping[str, Any] = "morgan",
        molecules: int = 5000,
    ):
        check_positive(molecules=molecules)
        self.shots = shots
        self.queries = queries
        self.kind = kind
        self.featuriser = featuriser
        self.molecules = molecules

    def assays(self, split: Split) -> Assays:
        """Return a task for each descriptor of a split."""
        smiles = nci_smiles(self.molecules)
        values, names = self._descriptors(smiles)
        generator = np.random.default_rng(0)
        mine = _share(generator.permutation(len(names)), split)
        molecules = _share(generator.permutation(len(smiles)), split)
        found = featurise([smiles[at] for at in molecules], self._featuriser, self.salts)
        chosen = values[np.ix_(molecules, mine)].T
        return gathered(
            found.rows,
            found.smiles,
            np.repeat(np.arange(len(mine)), len(molecules)),
            np.tile(np.arange(len(molecules)), len(mine)),
            (chosen > np.median(values[:, mine], axis=0)[:, None]).ravel().astype(np.int64),
            chosen.ravel(),
            [names[at] for at in mine],
        )

    def _descriptors(self, smiles: list[str]) -> tuple[np.ndarray, list[str]]:
        """Return the descriptors `(molecules, K)` that make tasks, and their names."""
        known = [name for name, _ in needed("rdkit.Chem.Descriptors").descList]
        wanted = [name for name in known if name.startswith(_FAMILIES)]

        def compute() -> dict[str, Tensor]:
            rows = featurise(smiles, Descriptors(wanted), self.salts, cache=False).rows
            return {"values": rows.dense(torch.arange(len(rows)))}

        values = data.cached(f"nci-{len(smiles)}-{rdkit_version()}-v1", compute)["values"].numpy()
        above = (values > np.median(values, axis=0)).mean(0)
        kept = np.flatnonzero((above >= _BALANCE) & (above <= 1 - _BALANCE))
        return values[:, kept], [wanted[at] for at in kept]


def nci_smiles(molecules: int = 5000) -> list[str]:
    """Return SMILES that come with RDKit, in their order there.

    Example:
        >>> nci_smiles(2)
        ['CC1=CC(=O)C=CC1=O', 'S(SC1=NC2=CC=CC=C2S1)C3=NC4=C(S3)C=CC=C4']
    """
    path = Path(needed("rdkit.RDConfig").RDDataDir) / "NCI" / "first_5K.smi"
    lines = path.read_text().splitlines()[:molecules]
    return [line.split()[0] for line in lines if line.strip()]


def _share(order: np.ndarray, split: Split) -> np.ndarray:
    first, last = (round(part * len(order)) for part in _SHARES[split])
    return np.sort(order[first:last])
