"""MoleculeNet: single properties from few labels, and the toxicity assays of Tox21 and SIDER as few-shot tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metaprior import data
from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.dealing import roles_of
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.splits import split_molecules
from metaprior.molecules.structure import Salts, needed, parse
from metaprior.registry import sources
from metaprior.tasks.columns import numbers_in, pandas
from metaprior.tasks.episode import Episode
from metaprior.tasks.source import Split

__all__ = ["MoleculeNet", "ToxicityTasks", "label_lookup"]

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class _Property:
    file: str
    column: str
    kind: Kind


_PROPERTIES = {
    "esol": _Property("delaney-processed.csv", "measured log solubility in mols per litre", "regression"),
    "freesolv": _Property("freesolv.csv", "freesolv", "regression"),
    "lipo": _Property("lipo.csv", "lipo", "regression"),
    "bace": _Property("bace.csv", "Class", "classification"),
    "bbbp": _Property("bbbp.csv", "p_np", "classification"),
}
_SHARES = (0.8, 0.1, 0.1)
_DISJOINT = (0.6, 0.1, 0.3)


@dataclass(frozen=True)
class _Few:
    tests: int
    valids: int
    sparse: bool = False
    """Whether a molecule has labels of few assays, so that splits of molecules can follow those of assays."""


_FEW = {"tox21": _Few(3, 2), "sider": _Few(6, 4), "muv": _Few(5, 3, sparse=True)}


@sources.register("moleculenet")
class MoleculeNet(AssaySource):
    """Draws of few labels for one property: the support from the training scaffolds, queries from those of the split.

    Args:
        dataset: "esol", "freesolv" and "lipo" are for regression, "bace" and "bbbp" for classification.
        shots: support molecules; or the least and most of them.
        queries: query molecules at most; None for all of the split.
        featuriser: by name, or by name and settings.

    Source: Wu et al. 2018, "MoleculeNet: a benchmark for molecular machine learning"; its scaffold splits, of 80 to 10
    to 10, are deterministic. What RDKit cannot read is left out.

    Example:
        >>> MoleculeNet("bace").kind
        'classification'
    """

    def __init__(
        self,
        dataset: Literal["esol", "freesolv", "lipo", "bace", "bbbp"] = "esol",
        shots: int | tuple[int, int] = 100,
        queries: int | None = None,
        featuriser: str | Mapping[str, Any] = "morgan",
    ):
        if dataset not in _PROPERTIES:
            raise UnknownNameError("dataset", str(dataset), _PROPERTIES)
        self.dataset = dataset
        self.shots = shots
        self.queries = queries
        self.featuriser = featuriser

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """Of the property."""
        return _PROPERTIES[self.dataset].kind

    @property
    def divided(self) -> dict[str, Any]:
        """The structures of each split."""
        _, found = _read(_PROPERTIES[self.dataset].file, self._featuriser.settings, self.salts)
        splits = split_molecules(found.smiles, "scaffold", _SHARES)
        return {"by": "scaffold", "splits": {name: [found.smiles[at] for at in part] for name, part in splits.items()}}

    def assays(self, split: Split) -> Assays:
        """Return one assay: training molecules for the support, and those of the split for queries."""
        known = _PROPERTIES[self.dataset]
        frame, found = _read(known.file, self._featuriser.settings, self.salts)
        values = numbers_in(frame[known.column])
        members, roles = roles_of(split_molecules(found.smiles, "scaffold", _SHARES), split)
        chosen = values[members]
        regression = known.kind == "regression"
        labels = chosen > np.median(values) if regression else chosen
        owner = np.zeros(len(members), dtype=np.int64)
        # Stratified by the side of the median, so that no support of a few has one end of the values alone.
        return gathered(
            found.rows,
            found.smiles,
            owner,
            members,
            labels,
            chosen if regression else None,
            [self.dataset],
            roles,
        )


@sources.register("toxicity")
class ToxicityTasks(AssaySource):
    """Few-shot tasks of Tox21 (the last 3 assays are for testing), SIDER (6) or MUV (5), as many of each class.

    With the mode "legacy" all assays have all molecules, as published scores have it: what is asked of a query in the
    test was often told of the same molecule in training, which `label_lookup` alone exploits. With "disjoint" no
    molecule is in two splits, and some of the training assays are kept for validation: molecules of Tox21 and SIDER are
    dealt at random; those of MUV, which have labels of few assays each, belong to the test if a test assay has them.

    Args:
        dataset: "tox21", "sider" or "muv".
        mode: "disjoint" or "legacy".
        shots: support molecules in all, half of them of each class: 20 is what is called 10-shot.
        queries: query molecules of a task at most; None for all that are left.
        featuriser: by name, or by name and settings.

    Source: the tasks are those of Guo et al. 2021 (Meta-MGNN) and Wang et al. 2021 (PAR), by the order of the columns.

    Example:
        >>> ToxicityTasks("sider", mode="legacy").balanced
        True
    """

    kind: Kind = "classification"
    balanced = True

    def __init__(
        self,
        dataset: Literal["tox21", "sider", "muv"] = "tox21",
        mode: Literal["disjoint", "legacy"] = "disjoint",
        shots: int | tuple[int, int] = 20,
        queries: int | None = 64,
        featuriser: str | Mapping[str, Any] = "morgan",
    ):
        for name, given, known in (("dataset", dataset, tuple(_FEW)), ("mode", mode, ("disjoint", "legacy"))):
            if given not in known:
                raise UnknownNameError(name, str(given), known)
        self.dataset = dataset
        self.mode = mode
        self.shots = shots
        self.queries = queries
        self.featuriser = featuriser

    def assays(self, split: Split) -> Assays:
        """Return the assays of a split, each with its molecules that have a label."""
        frame, found = _read(f"{self.dataset}.csv", self._featuriser.settings, self.salts)
        every = [str(name) for name in frame.columns if name not in ("smiles", "mol_id")]
        few = _FEW[self.dataset]
        if self.mode == "legacy":
            # Whoever published under it chose settings by the test assays, for want of others.
            names = every[: -few.tests] if split == "train" else every[-few.tests :]
            members = np.arange(len(frame))
        else:
            parts: dict[Split, list[str]] = {
                "test": every[-few.tests :],
                "valid": every[-few.tests - few.valids : -few.tests],
                "train": every[: -few.tests - few.valids],
            }
            names = parts[split]
            # Salts and stereoisomers of one structure have the same features: they are one molecule here.
            flat, owner = np.unique([_flat(text) for text in found.smiles], return_inverse=True)
            if few.sparse:
                mine = _first_labelled(frame, parts, owner) == split
            else:
                mine = np.isin(np.arange(len(flat)), split_molecules(flat.tolist(), "random", _DISJOINT)[split])
            members = np.flatnonzero(mine[owner])
        values = np.stack([numbers_in(frame[name])[members] for name in names])
        owner, at = np.nonzero(np.isfinite(values))
        return gathered(found.rows, found.smiles, owner, members[at], values[owner, at], None, names)


def label_lookup(source: AssaySource) -> Callable[[Episode], Tensor]:
    """Return the control that knows nothing but the training labels of the very molecules that it is asked for.

    A query is given its mean label in the training assays, a half if it has none there; the support is not looked at.
    Molecules are told apart by their features.

    Args:
        source: of the tasks.
    """
    part = source._split("train")
    sums: dict[bytes, tuple[float, int]] = {}
    for start in range(0, len(part.labels), 10_000):
        index = torch.arange(start, min(start + 10_000, len(part.labels)))
        for row, label in zip(source.encode(part, index), part.labels[index].tolist(), strict=True):
            total, count = sums.get(key := row.numpy().tobytes(), (0.0, 0))
            sums[key] = (total + label, count + 1)

    def predict(episode: Episode) -> Tensor:
        found = [sums.get(row.numpy().tobytes(), (0.5, 1)) for row in episode.query.x[0].cpu()]
        return torch.tensor([total / count for total, count in found])

    return predict


def _first_labelled(frame: Any, parts: dict[Split, list[str]], owner: np.ndarray) -> np.ndarray:
    """Return for each structure the first of the parts with a label of it; `owner` is the structure of each row."""
    first = np.full(owner.max() + 1, list(parts)[-1])
    for part in reversed(parts):
        labelled = np.isfinite(np.stack([numbers_in(frame[name]) for name in parts[part]])).any(0)
        first[owner[labelled]] = part
    return first


def _flat(smiles: str) -> str:
    """Return the SMILES of a structure without its stereochemistry."""
    return str(needed("rdkit.Chem").MolToSmiles(parse(smiles, lenient=True), isomericSmiles=False))


def _read(file: str, featuriser: Mapping[str, Any], salts: Salts) -> tuple[Any, Featurised]:
    """Return the rows of a file whose structures can be read, and their features."""
    path = data.need("moleculenet", f"{file}.gz", file)
    try:
        frame = pandas().read_csv(path)
        found = featurise(list(frame["smiles"].astype(str)), featuriser, salts)
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise DataError(f"moleculenet: {path} cannot be read ({error}): delete it and get it again") from error
    good = torch.tensor([at for at in range(len(frame)) if at not in found.problems])
    kept = Featurised(found.rows.take(good), [found.smiles[at] for at in good.tolist()], {}, {})
    return frame.iloc[good.numpy()].reset_index(drop=True), kept
