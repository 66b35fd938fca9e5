"""T-cell receptors and the epitopes that they bind: the data of TITAN, with the strict folds of its authors."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metaprior import data
from metaprior.errors import DataError
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.sequence_source import About, SequenceSource, encode_descriptions
from metaprior.registry import sources
from metaprior.tasks.columns import Frame, pandas
from metaprior.tasks.source import Split
from metaprior.tasks.splits import split_names

__all__ = ["Titan"]

_FOLDS = 10
_VALID = 0.1


@sources.register("titan")
class Titan(SequenceSource):
    """Tell the receptors that bind an epitope from others; a task is an epitope, described by its sequence.

    In a strict fold no epitope of the test is in training, and no receptor. The authors tell receptors apart by their
    numbers, of which several may have one CDR3; here those whose CDR3 is in the test are taken out of training as well,
    some 80 of 37,700 pairs, and the test is left as it is. A tenth of the training epitopes is kept for validation, and
    their receptors are taken out of training in the same way. Negatives are receptors that were not reported to bind
    the epitope: nobody measured that they do not.

    Args:
        fold: 0 to 9, which epitopes are for the test.
        shots: receptors of the support of a task, half of them binders; or the least and most of them.
        queries: at most, of a task; None for all that are left.
        featuriser: of receptors, by name, or by name and settings.
        about: where the sequence of the epitope goes; see `SequenceSource`.
        receptor: "cdr3" of the beta chain, or the "full" variable region of it, which tells V and J genes.
        covid: the epitopes of SARS-CoV-2 as well, which are the smaller half of 192.
        negatives: "given" are those of the authors, who paired receptors with other epitopes at random; "shuffled" are
            drawn anew from binders of other epitopes of the split.
        ratio: how many negatives are shuffled for each binder.
        seed: of the shuffling.

    Source: Weber et al. 2021, "TITAN: T-cell receptor specificity prediction with bimodal attention networks"; from
    VDJdb and ImmuneCODE.

    Example:
        >>> Titan(fold=3, shots=20).about
        'none'
    """

    kind: Literal["classification"] = "classification"
    salts = "keep"
    balanced = True
    column = "epitope"
    describer = {"name": "blosum", "size": 24}  # noqa: RUF012

    def __init__(
        self,
        fold: int = 0,
        shots: int | tuple[int, int] = (4, 40),
        queries: int | None = 64,
        featuriser: str | Mapping[str, Any] = "blosum+kmers",
        about: About = "none",
        receptor: Literal["cdr3", "full"] = "cdr3",
        covid: bool = True,
        negatives: Literal["given", "shuffled"] = "given",
        ratio: float = 1.0,
        seed: int = 0,
    ):
        for name, given, known in (
            ("receptor", receptor, ("cdr3", "full")),
            ("negatives", negatives, ("given", "shuffled")),
        ):
            if given not in known:
                raise DataError(f"{name}: expected '{known[0]}' or '{known[1]}', got '{given}'")
        if fold not in range(_FOLDS):
            raise DataError(f"fold: expected 0 to {_FOLDS - 1}, got {fold}")
        if not ratio > 0:
            raise DataError(f"ratio: expected a positive number, got {ratio}")
        self.fold = fold
        self.shots = shots
        self.queries = queries
        self.featuriser = featuriser
        self.about = about
        self.receptor = receptor
        self.covid = covid
        self.negatives = negatives
        self.ratio = ratio
        self.seed = seed

    def assays(self, split: Split) -> Assays:
        """Return the epitopes of a split in the order of their sequences, each with its receptors."""
        found, pairs = self._read
        chosen = pairs[pairs["split"] == split]
        names = sorted(set(chosen["epitope"]))
        if self.negatives == "shuffled":
            chosen = self._shuffled(chosen[chosen["label"] == 1], names)
        owner = chosen["epitope"].map({name: at for at, name in enumerate(names)}).to_numpy(np.int64)
        return gathered(
            found.rows,
            found.smiles,
            owner,
            chosen["receptor"].to_numpy(np.int64),
            chosen["label"].to_numpy(np.int64),
            None,
            names,
            about=encode_descriptions(names, self._describer),
        )

    def _shuffled(self, binders: Frame, names: list[str]) -> Frame:
        """Return binders, and for each epitope receptors that bind others."""
        every, parts = np.unique(binders["receptor"]), [binders]
        for name in names:
            own = binders.loc[binders["epitope"] == name, "receptor"].to_numpy()
            others = np.setdiff1d(every, own)
            seed = int.from_bytes(hashlib.sha256(f"{self.seed}:{name}".encode()).digest()[:8])
            count = min(len(others), round(self.ratio * len(own)))
            drawn = np.random.default_rng(seed).choice(others, count, replace=False)
            parts.append(pandas().DataFrame({"epitope": name, "receptor": drawn, "label": 0}))
        return pandas().concat(parts, ignore_index=True)

    @cached_property
    def _read(self) -> tuple[Featurised, Frame]:
        """Return all receptors, and the pairs of a receptor's position and an epitope with their label and split."""
        path = data.need("tcr_titan", "titan_datasets.zip")
        covid = "+covid" if self.covid else ""
        receptors = _table(path, "tcr_full.csv" if self.receptor == "full" else "tcr.csv")
        epitopes = dict(zip(*reversed(_table(path, "epitopes.csv")), strict=True))
        position = {number: at for at, number in enumerate(receptors[1])}
        found = featurise(receptors[0], self._featuriser, self.salts)
        cdr3 = dict(zip(*reversed(_table(path, "tcr.csv")), strict=True))
        parts = []
        for split in ("train", "test"):
            frame = _pairs(path, f"strict_split/fold{self.fold}/{split}{covid}.csv")
            parts.append(
                pandas().DataFrame(
                    {
                        "epitope": frame["ligand_name"].map(epitopes),
                        "receptor": frame["sequence_id"].map(position),
                        "cdr3": frame["sequence_id"].map(cdr3),
                        "label": frame["label"],
                        "split": split,
                    }
                )
            )
        pairs = pandas().concat(parts, ignore_index=True)
        # A pair that is given twice is one example.
        pairs = pairs.drop_duplicates(["epitope", "receptor", "label", "split"])
        known = sorted(set(pairs.loc[pairs["split"] == "train", "epitope"]))
        valid = set(split_names(known, (1 - _VALID, _VALID, 0.0), self.seed)["valid"])
        pairs.loc[pairs["epitope"].isin(valid) & (pairs["split"] == "train"), "split"] = "valid"
        for split, others in (("test", ("train", "valid")), ("valid", ("train",))):
            taken = set(pairs.loc[pairs["split"] == split, "cdr3"])
            pairs = pairs[~pairs["split"].isin(others) | ~pairs["cdr3"].isin(taken)]
        return found, pairs.reset_index(drop=True)


def _table(path: Path, name: str) -> tuple[list[str], list[int]]:
    """Return sequences and their numbers."""
    frame = _csv(path, name, sep="\t", header=None, names=["sequence", "number"])
    return frame["sequence"].tolist(), frame["number"].tolist()


def _pairs(path: Path, name: str) -> Frame:
    return _csv(path, name, index_col=0)


def _csv(path: Path, name: str, **how: Any) -> Frame:
    try:
        with zipfile.ZipFile(path) as archive:
            return pandas().read_csv(io.BytesIO(archive.read(name)), **how)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"tcr_titan: {name} of {path} cannot be read ({error}): put it there again") from error
