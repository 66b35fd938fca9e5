"""One's own assays as tasks: one file with a row for each measurement, or with a column for each assay."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.dealing import QUERY, roles_of
from metaprior.molecules.featurise import Featurised
from metaprior.molecules.label_columns import assay_labels
from metaprior.molecules.own_rows import SHOWN, read_inputs, usable
from metaprior.molecules.replicates import merged
from metaprior.molecules.splits import Rule, Splits, moments, split_molecules
from metaprior.molecules.structure import Salts
from metaprior.registry import sources
from metaprior.tasks.columns import texts, without_words
from metaprior.tasks.rows import need_columns
from metaprior.tasks.source import Split
from metaprior.tasks.splits import split_names

__all__ = ["AssayTable"]


class _Measured(NamedTuple):
    """Structures by the rows that have them; of each label its assay, the first row of its structure, and its value;
    names of the assays; and the oldest moment of each structure by its first row, if there are times."""

    found: Featurised
    owner: np.ndarray
    molecule: np.ndarray
    values: np.ndarray
    names: list[str]
    oldest: dict[int, Any] | None


@sources.register("assays")
class AssayTable(AssaySource):
    """Tasks from one's own assays, to acquire a prior on them.

    Assays are divided into the three splits by their names, or else their molecules are, whatever assay they are of:
    then tasks of all splits are the same assays, supports are training molecules, and queries those of the split. What
    an assay has measured of a structure more than once is one label: the median, or the class of most.

    Args:
        file: a CSV or SDF of molecules, or, if the featuriser is of sequences, a CSV of those: with a column that names
            the assay of a row, and one of its label; or, without `task`, with a column for each assay, in which a blank
            is a missing label.
        task: the column that names the assay of a row; None if each assay has a column of its own.
        target: the column of the labels if `task` is given; else the columns of the assays, None for all that are
            numbers or have two classes.
        smiles: the column of SMILES, or of sequences; None to find it.
        shots: support molecules of a task in all; or the least and most of them.
        queries: query molecules of a task at most; None for all that are left.
        kind: of the labels: two classes, the same in all assays, or values.
        featuriser: by name, or by name and settings.
        splits: the fractions of the assays, or of the molecules, that are for training, validation and test.
        by: what is divided: the assays ("task"), or molecules as `split_molecules` divides them.
        time: with `by="time"`, the column of numbers or dates; a molecule is as old as its oldest row.
        seed: of the splits.
        skip_bad: leave out bad rows, with a warning, instead of stopping at the first.

    Example:
        >>> import tempfile, torch
        >>> from metaprior.molecules.nci import nci_smiles
        >>> file = Path(tempfile.mkdtemp()) / "old.csv"
        >>> rows = [f"{text},assay{at % 5},{at % 2}" for at, text in enumerate(nci_smiles(200))]
        >>> _ = file.write_text("\\n".join(["smiles,assay,active", *rows]))
        >>> source = AssayTable(file, task="assay", target="active", shots=8)
        >>> source.sample(3, torch.Generator().manual_seed(0)).support.x.shape
        torch.Size([3, 8, 2048])
    """

    def __init__(
        self,
        file: str | Path,
        task: str | None = None,
        target: str | Sequence[str] | None = None,
        smiles: str | None = None,
        shots: int | tuple[int, int] = 16,
        queries: int | None = 64,
        kind: Literal["classification", "regression"] = "classification",
        featuriser: str | Mapping[str, Any] = "morgan",
        salts: Salts = "largest",
        splits: tuple[float, float, float] = (0.6, 0.2, 0.2),
        by: Literal["task", "random", "scaffold", "cluster", "time"] = "task",
        time: str | None = None,
        seed: int = 0,
        skip_bad: bool = False,
    ):
        if by not in ("task", *get_args(Rule)):
            raise UnknownNameError("by", str(by), ("task", *get_args(Rule)))
        if (time is None) == (by == "time"):
            raise DataError(f"time: expected a column with by='time', and else none; got {time} with by='{by}'")
        self.file = str(file)
        self.task = task
        self.target = target
        self.smiles = smiles
        self.shots = shots
        self.queries = queries
        self.kind = kind
        self.featuriser = featuriser
        self.salts = salts
        self.splits = splits
        self.by = by
        self.time = time
        self.seed = seed
        self.skip_bad = skip_bad

    @property
    def inputs(self) -> dict[str, Any] | None:
        """As of all assays, with the column that names them, which is no label of one's own."""
        return (super().inputs or {}) | {"task": self.task}

    @property
    def divided(self) -> dict[str, Any]:
        """The names of the assays of each split, or its structures."""
        splits: dict[Split, list[str]]
        if self.by == "task":
            splits = split_names(self._read.names, self.splits, self.seed)
        else:
            smiles = self._read.found.smiles
            splits = {split: [smiles[at] for at in part] for split, part in self._molecules.items()}
        return {"by": self.by, "seed": self.seed, "splits": splits}

    def assays(self, split: Split) -> Assays:
        """Return the assays of a split."""
        found, owner, molecule, values, names, _ = self._read
        if self.by == "task":
            mine, roles = split_names(names, self.splits, self.seed)[split], None
            position = {name: at for at, name in enumerate(mine)}
            inside = np.array([names[at] in position for at in owner], dtype=bool)
        else:
            members, purposes = roles_of(self._molecules, split)
            purpose = np.full(len(found.smiles), -1)
            purpose[members] = purposes
            roles = purpose[molecule]
            inside = roles >= 0
            # An assay without a molecule of the split has nothing to be asked.
            asked = inside if split == "train" else roles == QUERY
            mine = [names[at] for at in np.unique(owner[asked])]
            position = {name: at for at, name in enumerate(mine)}
            inside &= np.isin(owner, owner[asked])
            roles = roles[inside]
        owners = np.array([position[names[at]] for at in owner[inside]], dtype=np.int64)
        chosen = values[inside]
        if self.kind == "classification":
            return gathered(found.rows, found.smiles, owners, molecule[inside], chosen, None, mine, roles)
        # Stratified by the side of the assay's own median.
        labels = np.zeros(len(chosen), dtype=np.int64)
        for at in range(len(mine)):
            labels[owners == at] = chosen[owners == at] > np.median(chosen[owners == at])
        return gathered(found.rows, found.smiles, owners, molecule[inside], labels, chosen, mine, roles)

    @cached_property
    def _molecules(self) -> Splits:
        """The first row of each structure that has a label, by split."""
        assert self.by != "task"
        if self._featuriser.reads == "sequences" and self.by in ("scaffold", "cluster"):
            raise DataError(f"by: expected 'random' or 'time' for sequences, which have no {self.by}s")
        found, _, molecule, _, _, oldest = self._read
        chosen = np.unique(molecule).tolist()
        splits = split_molecules(
            [found.smiles[at] for at in chosen],
            self.by,
            self.splits,
            self.seed,
            [oldest[at] for at in chosen] if oldest else None,
        )
        return {split: [chosen[at] for at in part] for split, part in splits.items()}

    @cached_property
    def _read(self) -> _Measured:
        """What the file has, without bad rows."""
        like = {"kind": self._featuriser.reads, "about": self.task and {"column": self.task}}
        structures = read_inputs(self.file, "file", like, self.smiles)
        frame, times = structures.frame, None
        if self.time is not None:
            need_columns(frame, [self.time], "time", self.file)
            times = without_words(frame[self.time])
            blank = dict.fromkeys(frame.index[times.isna()], f"column '{self.time}' is blank")
            structures = replace(structures, problems=blank | structures.problems)
        apart = [name for name in (structures.column, self.time, self.task) if name is not None]
        read = assay_labels(frame, apart, self.task, self.target, self.kind, self.file)
        given = like | {"featuriser": self._featuriser, "salts": self.salts}
        good, found = usable(structures, given, "file", self.file, self.skip_bad, read)
        inside = frame.index.isin(good.index)
        values = np.stack([labels.values[inside] for labels in read])
        owner, row = np.nonzero(np.isfinite(values))
        numbers, names = values[owner, row], [labels.name for labels in read]
        if self.task is not None:
            tasks = texts(good[self.task])
            if nameless := list(good.index[tasks.isna()]):
                rows = ", ".join(map(str, nameless[:SHOWN])) + (", ..." if len(nameless) > SHOWN else "")
                warnings.warn(f"file: {len(nameless)} rows name no {self.task}, and are left out: {rows}", stacklevel=3)
            names = sorted(set(tasks.dropna()))
            code = tasks.map({name: at for at, name in enumerate(names)}).to_numpy(dtype=float, na_value=np.nan)
            named = np.isfinite(code[row])
            owner, row, numbers = code[row][named].astype(np.int64), row[named], numbers[named]
        first: dict[str, int] = {}
        molecule = np.array([first.setdefault(text, at) for at, text in enumerate(found.smiles)])[row]
        oldest: dict[int, Any] | None = None
        if times is not None:
            oldest = {}
            known = times[good.index].iloc[row].tolist()
            for at, moment in zip(molecule.tolist(), moments(known), strict=True):
                oldest[at] = min(moment, oldest.get(at, moment))
        return _Measured(found, *merged(owner, molecule, numbers, self.kind), names, oldest)
