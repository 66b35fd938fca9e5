"""How strongly peptides bind to MHC molecules of class I: the measurements that MHCflurry was trained on."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np

from metaprior import data
from metaprior.errors import DataError
from metaprior.molecules.alleles import known_alleles
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.sequence_source import About, SequenceSource, encode_descriptions
from metaprior.registry import sources
from metaprior.tasks.columns import Frame, pandas
from metaprior.tasks.source import Split
from metaprior.tasks.splits import split_names

__all__ = ["BINDER", "PeptideMHC", "log_affinity"]

BINDER = 500.0
"""Nanomoles a litre below which a peptide is called a binder."""
_WEAKEST = 50_000.0
_SHARES = (0.7, 0.1, 0.2)
_FILE = "curated_training_data.no_mass_spec.csv"


def log_affinity(nanomolar: np.ndarray) -> np.ndarray:
    """Return log10 of affinities in nM, none stronger than 1 nM or weaker than 50,000 nM.

    Example:
        >>> log_affinity(np.array([0.2, 100.0])).tolist()
        [0.0, 2.0]
    """
    return np.log10(np.clip(nanomolar, 1.0, _WEAKEST))


@sources.register("mhc")
class PeptideMHC(SequenceSource):
    """Predict the affinity of peptides for an MHC molecule; a task is an allele, described by its pseudosequence.

    Alleles of one pseudosequence are one task, under the name that comes first. They are divided into the splits at
    random. Values are log10 of nanomoles a litre, less 3.4 and divided by -1.3 for all alleles alike, so that more is
    stronger, and an allele without any measurement can be predicted for ("zero-shot").

    Args:
        shots: peptides of the support of a task; or the least and most of them. 0 is zero-shot.
        queries: at most, of a task; None for all that are left.
        kind: the affinity, or whether it is below 500 nM.
        featuriser: of peptides, by name, or by name and settings.
        about: where the pseudosequence of the allele goes; see `SequenceSource`.
        peptides: "disjoint" lets no peptide be in two splits, "shared" lets a test allele ask for peptides that were
            measured for training alleles, as published scores have it.
        least: alleles with fewer measurements in their split are left out.
        longest: peptides of more letters are left out.
        seed: of the splits.

    Source: the measurements are those of O'Donnell et al. 2020, "MHCflurry 2.0", of IEDB; only exact ones are used.
    Differs: 28 of 218 alleles, most of them serotypes, have no pseudosequence and are left out.

    Example:
        >>> PeptideMHC(shots=0).peptides
        'disjoint'
    """

    salts = "keep"
    column = "allele"
    describer = {"name": "blosum", "size": 34}  # noqa: RUF012
    fixed = (3.4, -1.3)
    logarithm = True

    def __init__(
        self,
        shots: int | tuple[int, int] = (0, 64),
        queries: int | None = 64,
        kind: Literal["classification", "regression"] = "regression",
        featuriser: str | Mapping[str, Any] = {"name": "blosum", "size": 15},
        about: About = "input",
        peptides: Literal["disjoint", "shared"] = "disjoint",
        least: int = 40,
        longest: int = 15,
        seed: int = 0,
    ):
        if peptides not in ("disjoint", "shared"):
            raise DataError(f"peptides: expected 'disjoint' or 'shared', got '{peptides}'")
        self.shots = shots
        self.queries = queries
        self.kind = kind
        self.featuriser = featuriser
        self.about = about
        self.peptides = peptides
        self.least = least
        self.longest = longest
        self.seed = seed

    @property
    def inputs(self) -> dict[str, Any] | None:
        """As of all sequences, with the pseudosequences of the training alleles, which need no data set then."""
        given = super().inputs or {}
        return given | {"about": given["about"] | {"alleles": known_alleles().subset(self.names("train"))}}

    def assays(self, split: Split) -> Assays:
        """Return the alleles of a split in the order of their names, each with its peptides."""
        found, rows = self._read
        chosen = rows[(rows["allele_split"] == split)]
        if self.peptides == "disjoint":
            chosen = chosen[chosen["peptide_split"] == split]
        counts = chosen["allele"].value_counts()
        names = sorted(counts.index[counts >= self.least])
        chosen = chosen[chosen["allele"].isin(names)]
        values = log_affinity(chosen["nanomolar"].to_numpy(dtype=float))
        return gathered(
            found.rows,
            found.smiles,
            chosen["allele"].map({name: at for at, name in enumerate(names)}).to_numpy(np.int64),
            chosen["molecule"].to_numpy(np.int64),
            (chosen["nanomolar"].to_numpy(dtype=float) < BINDER).astype(np.int64),
            values,
            names,
            about=encode_descriptions([known_alleles().find(name)[1] for name in names], self._describer),
        )

    def pseudosequences(self, split: Split) -> list[str]:
        """Return those of the alleles of a split, in the order of their names."""
        return [known_alleles().find(name)[1] for name in self.names(split)]

    @cached_property
    def _read(self) -> tuple[Featurised, Frame]:
        """Return all peptides; and of each measurement its allele, the position of its peptide, nM, and the splits."""
        path = data.need("pmhc", f"{_FILE}.bz2", _FILE)
        try:
            frame = pandas().read_csv(path)
            frame = frame[frame["measurement_inequality"] == "="]
            frame = frame[frame["peptide"].str.len() <= self.longest]
            spelt = frame[["allele", "original_allele"]].drop_duplicates()
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise DataError(f"pmhc: {path} cannot be read ({error}): delete it and get it again") from error
        known = known_alleles()
        names: dict[str, str] = {}
        first: dict[str, str] = {}
        for allele, original in sorted(spelt.itertuples(index=False, name=None)):
            if found := next((known.find(name) for name in (allele, original) if name in known), None):
                # Alleles that touch a peptide with the same residues are one task.
                names[allele] = first.setdefault(found[1], found[0])
        frame = frame.assign(allele=frame["allele"].map(names)).dropna(subset=["allele"])
        peptides, molecule = np.unique(frame["peptide"].to_numpy(str), return_inverse=True)
        # A peptide that was measured several times for an allele is one example, with the geometric mean.
        rows = frame.assign(molecule=molecule, logarithm=np.log(frame["measurement_value"].clip(lower=1e-3)))
        rows = rows.groupby(["allele", "molecule"], as_index=False)["logarithm"].mean()
        rows["nanomolar"] = np.exp(rows["logarithm"])
        alleles, of_peptide = self._dealt(rows["allele"].unique()), self._dealt(peptides)
        rows["allele_split"] = rows["allele"].map(alleles)
        rows["peptide_split"] = np.array([of_peptide[peptide] for peptide in peptides])[rows["molecule"]]
        return featurise(peptides.tolist(), self._featuriser, self.salts), rows

    def _dealt(self, names: Iterable[str]) -> dict[str, str]:
        """Return the split of each name."""
        dealt = split_names(map(str, names), _SHARES, self.seed)
        return {name: split for split, members in dealt.items() for name in members}
