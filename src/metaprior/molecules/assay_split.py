"""The assays of one split: labels of molecules, which are resident rows.

Axis letters: K assays of a split, R labelled molecules of a split.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError
from metaprior.molecules.dealing import QUERY, SUPPORT
from metaprior.molecules.rows import SparseRows

__all__ = ["Assays", "gathered"]


@dataclass(frozen=True, eq=False)
class Assays:
    """The assays of one split.

    Args:
        rows: the raw features of molecules.
        smiles: of the same molecules.
        molecule: `(R,)`, which molecule a label is for; those of one assay are next to each other.
        labels: `(R,)`, class ids; only for drawing supports that hold both classes where `values` are predicted.
        values: `(R,)`, what regression predicts, NaN where it is not known; None where there is nothing.
        starts: `(K,)`, where the labels of each assay begin.
        counts: `(K,)`, how many they are.
        names: of the assays, K of them.
        roles: `(R,)`, `SUPPORT` or `QUERY` for what may be nothing else, 0 for either; None where all may be either.
        about: `(K, A)`, what describes each assay; None where nothing does.
    """

    rows: SparseRows
    smiles: list[str]
    molecule: Tensor
    labels: Tensor
    values: Tensor | None
    starts: Tensor
    counts: Tensor
    names: list[str]
    roles: Tensor | None = None
    about: Tensor | None = None

    @property
    def supports(self) -> Tensor:
        """`(K,)`, how many molecules of each may be in a support, one being left to ask about; -1 if none is left."""
        if self.roles is None:
            return self.counts - 1
        owner, assays = torch.arange(len(self.names)).repeat_interleave(self.counts), len(self.names)
        able, asked = (owner[self.roles != role].bincount(minlength=assays) for role in (QUERY, SUPPORT))
        return able.minimum(self.counts - 1).where(asked > 0, -1)

    def measured(self) -> "Assays":
        """Return the assays without the molecules whose value is not known."""
        if self.values is None:
            raise DataError("kind: these tasks have classes alone; expected 'classification'")
        known = self.values.isfinite()
        owner = torch.arange(len(self.names)).repeat_interleave(self.counts)[known]
        counts = owner.bincount(minlength=len(self.names))
        return Assays(
            self.rows,
            self.smiles,
            self.molecule[known],
            self.labels[known],
            self.values[known],
            counts.cumsum(0) - counts,
            counts,
            self.names,
            None if self.roles is None else self.roles[known],
            self.about,
        )


def gathered(
    rows: SparseRows,
    smiles: list[str],
    owner: np.ndarray,
    molecule: np.ndarray,
    labels: np.ndarray,
    values: np.ndarray | None,
    names: list[str],
    roles: np.ndarray | None = None,
    about: Tensor | None = None,
) -> Assays:
    """Return assays from labels in any order, each with the position of its assay among the names.

    Molecules without a label are left out, so that nothing is learnt of those of other splits.
    """
    used = np.unique(molecule)
    if len(used) < len(rows):
        rows, smiles = rows.take(torch.from_numpy(used)), [smiles[at] for at in used.tolist()]
        molecule = np.searchsorted(used, molecule)
    order = np.argsort(owner, kind="stable")
    counts = torch.from_numpy(np.bincount(owner, minlength=len(names)).astype(np.int64))
    return Assays(
        rows,
        smiles,
        torch.from_numpy(molecule[order].astype(np.int64)),
        torch.from_numpy(labels[order].astype(np.int64)),
        None if values is None else torch.from_numpy(values[order].astype(np.float32)),
        counts.cumsum(0) - counts,
        counts,
        names,
        None if roles is None else torch.from_numpy(roles[order].astype(np.int64)),
        about,
    )
