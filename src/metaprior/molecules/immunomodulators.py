"""Small molecules that change innate immune signalling: nine read-outs of one screen as tasks."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from metaprior import data
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.splits import split_molecules
from metaprior.molecules.structure import Salts
from metaprior.registry import sources
from metaprior.tasks.columns import Frame, pandas
from metaprior.tasks.source import Split

__all__ = ["READOUTS", "Immunomodulators", "read_screen"]

READOUTS = {
    "LPS Abs": {"LPS"},
    "LPS Lum": {"LPS"},
    "MPLA Abs": {"MPLA"},
    "MPLA Lum": {"MPLA"},
    "CpG Abs": {"CpG"},
    "cGAMP Abs": {"cGAMP"},
    "cGAMP Lum": {"cGAMP"},
    "LMCpG Abs": {"LPS", "MPLA", "CpG"},
    "LMcGAMP Lum": {"LPS", "MPLA", "cGAMP"},
}
"""Each read-out, and the agonists that it was measured with; the last two are means of three of the others."""
_SHARES = (0.6, 0.1, 0.3)


@sources.register("immunomodulators")
class Immunomodulators(AssaySource):
    """Predict a read-out of immune signalling from a few compounds that were measured; a task is a read-out.

    All read-outs that an agonist has a part in are for the test, the others for training and validation, and no
    compound is in two splits. Labels for strata, and for classification, are whether a value is above the median.

    "LMCpG Abs" and "LMcGAMP Lum" are, to the digit, the means of three others; so there are seven measurements, not
    nine.

    Args:
        held_out: the agonist: "cGAMP", "CpG", "LPS" or "MPLA". LPS and MPLA act on the same receptor.
        shots: support compounds; or the least and most of them.
        queries: query compounds of a task at most; None for all that are left.
        kind: the value, or whether it is above the median.
        featuriser: by name, or by name and settings.
        salts: what is done to salts and mixtures.
        seed: of the compounds' splits.

    Source: Tang et al. 2023, "Data-driven discovery of innate immunomodulators via machine learning-guided high
    throughput screening". Values are relative to the agonist alone; those of a compound that occurs twice are averaged.

    Example:
        >>> Immunomodulators("CpG", shots=32).kind
        'regression'
    """

    def __init__(
        self,
        held_out: Literal["cGAMP", "CpG", "LPS", "MPLA"] = "cGAMP",
        shots: int | tuple[int, int] = (16, 64),
        queries: int | None = 64,
        kind: Literal["classification", "regression"] = "regression",
        featuriser: str | Mapping[str, Any] = "morgan",
        salts: Salts = "largest",
        seed: int = 0,
    ):
        agonists = set().union(*READOUTS.values())
        if held_out not in agonists:
            raise UnknownNameError("held_out", str(held_out), agonists)
        self.held_out = held_out
        self.shots = shots
        self.queries = queries
        self.kind = kind
        self.featuriser = featuriser
        self.salts = salts
        self.seed = seed

    def assays(self, split: Split) -> Assays:
        """Return the read-outs of a split, each for all its compounds."""
        frame, found = read_screen(self._featuriser.settings, self.salts)
        names = [name for name, agonists in READOUTS.items() if (self.held_out in agonists) == (split == "test")]
        members = np.array(split_molecules(found.smiles, "random", _SHARES, self.seed)[split])
        values = frame[names].to_numpy(dtype=float)[members].T
        labels = values > np.median(values, axis=1, keepdims=True)
        owner, at = np.nonzero(np.isfinite(values))
        return gathered(found.rows, found.smiles, owner, members[at], labels[owner, at], values[owner, at], names)


def read_screen(featuriser: str | Mapping[str, Any], salts: Salts = "largest") -> tuple[Frame, Featurised]:
    """Return the values of the nine read-outs of each compound, its SMILES among them, and its features.

    Args:
        featuriser: by name, or by name and settings.
        salts: what is done to salts and mixtures.
    """
    name = "screening_results.csv"
    path = data.need("innate_immunomodulators", f"{name}.gz", name)
    try:
        frame = pandas().read_csv(path)
        given = frame["SMILES"].astype(str).tolist()
        values = frame[list(READOUTS)]
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise DataError(f"innate_immunomodulators: {path} cannot be read ({error!r}): get it again") from error
    smiles = featurise(given, featuriser, salts).smiles
    values = values.assign(SMILES=smiles)[[bool(text) for text in smiles]]
    values = values.groupby("SMILES", as_index=False).mean()
    return values, featurise(values["SMILES"].tolist(), featuriser, "keep")
