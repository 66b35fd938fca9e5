"""One's own assays as tasks: one file with a row for each measurement, or with a column for each assay."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metaprior.errors import DataError
from metaprior.molecules.assays import Assays, AssaySource, gathered
from metaprior.molecules.featurise import Featurised, featurise
from metaprior.molecules.labels import read_labels
from metaprior.molecules.own_rows import read_inputs
from metaprior.molecules.structure import Salts
from metaprior.registry import sources
from metaprior.tasks.columns import texts
from metaprior.tasks.rows import good_rows, need_columns
from metaprior.tasks.source import Split
from metaprior.tasks.splits import split_names

__all__ = ["AssayTable"]


@sources.register("assays")
class AssayTable(AssaySource):
    """Tasks from one's own assays, to acquire a prior on them.

    Assays are divided into the three splits by their names.

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
        splits: the fractions of the assays that are for training, validation and test.
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
        seed: int = 0,
        skip_bad: bool = False,
    ):
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
        self.seed = seed
        self.skip_bad = skip_bad

    @property
    def inputs(self) -> dict[str, Any] | None:
        """As of all assays, with the column that names them, which is no label of one's own."""
        return (super().inputs or {}) | {"task": self.task}

    def assays(self, split: Split) -> Assays:
        """Return the assays of a split."""
        found, owner, molecule, values, names = self._read
        mine = split_names(names, self.splits, self.seed)[split]
        position = {name: at for at, name in enumerate(mine)}
        inside = np.array([names[at] in position for at in owner], dtype=bool)
        owners = np.array([position[names[at]] for at in owner[inside]], dtype=np.int64)
        chosen = values[inside]
        if self.kind == "classification":
            return gathered(found.rows, found.smiles, owners, molecule[inside], chosen, None, mine)
        # Stratified by the side of the assay's own median.
        labels = np.zeros(len(chosen), dtype=np.int64)
        for at in range(len(mine)):
            labels[owners == at] = chosen[owners == at] > np.median(chosen[owners == at])
        return gathered(found.rows, found.smiles, owners, molecule[inside], labels, chosen, mine)

    @cached_property
    def _read(self) -> tuple[Featurised, np.ndarray, np.ndarray, np.ndarray, list[str]]:
        """Return molecules; of each label its assay, molecule and value; and the names of the assays."""
        like = {"kind": self._featuriser.reads, "about": self.task and {"column": self.task}}
        structures = read_inputs(self.file, "file", like, self.smiles)
        frame = structures.frame
        found = featurise(list(frame[structures.column]), self._featuriser, self.salts)
        bad = {frame.index[at]: problem for at, problem in found.problems.items()} | structures.problems
        others = [str(name) for name in frame.columns if name != structures.column]
        if self.task is not None:
            target = self.target if isinstance(self.target, str) else "target"
            need_columns(frame, [self.task, target], "file", self.file)
            wanted = [target]
        else:
            given = [self.target] if isinstance(self.target, str) else self.target
            wanted = others if given is None else list(given)
            need_columns(frame, wanted, "file", self.file)
        read = [read_labels(frame[name], self.kind) for name in wanted if frame[name].notna().any()]
        if self.target is None and self.task is None:
            # Beside assays, a file has names and numbers of other kinds.
            two = self.kind == "classification"
            read = [one for one in read if (len(one.classes or ()) == 2 if two else not one.problems)]
        if not read:
            raise DataError(f"file: {self.file} has no column of labels for {self.kind}: {', '.join(others)}")
        for labels in read:
            if self.kind == "classification" and len(labels.classes or ()) != 2:
                found_classes = ", ".join(labels.classes or ())
                raise DataError(
                    f"target: column '{labels.name}' of {self.file} has {found_classes}; expected two classes"
                )
            bad = labels.problems | bad
        good = frame.index.isin(good_rows(frame, bad, "file", self.file, self.skip_bad).index)
        values = np.stack([labels.values for labels in read])
        owner, molecule = np.nonzero(np.isfinite(values) & good)
        numbers = values[owner, molecule]
        if self.task is None:
            return found, owner, molecule, numbers, [labels.name for labels in read]
        tasks = texts(frame[self.task])
        names = sorted(set(tasks.dropna()))
        code = tasks.map({name: at for at, name in enumerate(names)}).to_numpy(dtype=float, na_value=np.nan)
        named = np.isfinite(code[molecule])
        return found, code[molecule][named].astype(np.int64), molecule[named], numbers[named], names
