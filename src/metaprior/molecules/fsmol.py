"""FS-Mol: 5,135 assays of ChEMBL as few-shot tasks, with their official splits."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metaprior import data
from metaprior.errors import DataError
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.rows import SparseRows
from metaprior.molecules.structure import Salts, rdkit_version
from metaprior.registry import sources
from metaprior.tasks.source import Split

__all__ = ["FSMol", "read_fsmol"]


@sources.register("fsmol")
class FSMol(AssaySource):
    """Tasks of telling active from inactive molecules in assays of ChEMBL, or of predicting their activities.

    Molecules are taken as FS-Mol gives them, which has cleaned them; the few whose valences RDKit has come to refuse
    are kept, so that the tasks are those of the published benchmark.

    Args:
        shots: support molecules of a task in all, by the shares of the classes in the assay as the protocol wants them;
            or the least and most of them, of which a task gets as many as leave it half of its molecules.
        queries: query molecules of a task at most; None for all that are left.
        kind: predict whether a molecule is active; or its activity (-log10 of moles a litre where it is a
            concentration), standardised by the support.
        featuriser: by name, or by name and settings.
        by_size: draw an assay as often as it has molecules, instead of as often as any other: the largest have a
            hundred times as many as the smallest, which else are seen again and again.

    Source: Stanley et al. 2021, "FS-Mol: a few-shot learning dataset of molecules" (NeurIPS Datasets and Benchmarks).

    Example:
        >>> FSMol(shots=64, featuriser={"name": "morgan", "radius": 3}).shots
        64
    """

    salts: Salts = "largest"

    def __init__(
        self,
        shots: int | tuple[int, int] = (16, 64),
        queries: int | None = 64,
        kind: Literal["classification", "regression"] = "classification",
        featuriser: str | Mapping[str, Any] = "morgan",
        by_size: bool = False,
    ):
        self.shots = shots
        self.queries = queries
        self.kind = kind
        self.featuriser = featuriser
        self.by_size = by_size

    def assays(self, split: Split) -> Assays:
        """Return the assays of a split in the order of their names."""
        path = _path(split)
        chosen = featuriser_of(self.featuriser)
        # A folder of single files has them all, the packed file all but four.
        size = len(list(path.iterdir())) if path.is_dir() else path.stat().st_size
        kept = data.cached(
            f"fsmol-{split}-{size}-{chosen.digest}-{rdkit_version()}-v1",
            lambda: _computed(path, self.featuriser),
        )
        rows = SparseRows(kept["starts"], kept["columns"], kept["values"], chosen.width)
        return gathered(
            rows,
            _texts(kept["smiles"]),
            kept["owner"].numpy(),
            kept["molecule"].numpy(),
            kept["label"].numpy(),
            kept["activity"].numpy(),
            _texts(kept["names"]),
        )

    def names(self, split: Split) -> list[str]:
        """Return the names of the assays of a split, without features of their molecules, which take minutes."""
        known = self._splits.get(f"{split}-{self.kind}")
        return sorted(set(read_fsmol(_path(split))["assay"])) if known is None else known.names


def _path(split: Split) -> Path:
    """Return the folder of the files of a split, or the file that has them all."""
    places = (folder / split for folder in data.folders("fsmol"))
    return next((place for place in places if place.is_dir()), None) or data.need("fsmol", f"fsmol_{split}.csv.gz")


def read_fsmol(path: str | Path) -> dict[str, list[Any]]:
    """Read FS-Mol's labels from its JSON lines (`CHEMBL....jsonl.gz`, or a folder of them), or from one packed CSV.

    Args:
        path: a `.jsonl` or `.csv` file, gzipped or not, or a folder of `.jsonl.gz` files.

    Returns:
        `smiles`, `label`, `assay` and `value` (log10 of the activity, NaN where there is none), R of each.

    Raises:
        DataError: if it cannot be read as such; it names the file and the line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "CHEMBL1.jsonl"
        >>> _ = file.write_text('{"SMILES": "CO", "Property": "1.0", "Assay_ID": "CHEMBL1"}')
        >>> read_fsmol(file)["label"]
        [1]
    """
    path = Path(path)
    if path.is_dir():
        files = sorted([*path.glob("*.jsonl.gz"), *path.glob("*.jsonl")])
        if not files:
            raise DataError(f"path: {path} holds no .jsonl.gz files")
        parts = [read_fsmol(file) for file in files]
        return {key: [value for part in parts for value in part[key]] for key in parts[0]}
    found: dict[str, list[Any]] = {"smiles": [], "label": [], "assay": [], "value": []}
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            jsonl = ".jsonl" in path.suffixes
            records: Iterable[Any] = map(json.loads, filter(str.strip, file)) if jsonl else csv.DictReader(file)
            for line, record in enumerate(records, start=1 if jsonl else 2):
                try:
                    found["smiles"].append(record["SMILES"])
                    found["label"].append(int(float(record["Property"])))
                    found["assay"].append(record["Assay_ID"])
                    found["value"].append(_value(record.get("LogRegressionProperty")))
                except (KeyError, TypeError, ValueError) as error:
                    raise DataError(f"path: line {line} of {path} is no molecule of FS-Mol ({error!r})") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise DataError(f"path: {path} cannot be read ({error})") from error
    return found


def _value(given: Any) -> float:
    return float("nan") if given in (None, "", "None") else float(given)


def _computed(path: Path, featuriser: Any) -> dict[str, Tensor]:
    records = read_fsmol(path)
    names, owner = np.unique(records["assay"], return_inverse=True)
    smiles, molecule = np.unique(records["smiles"], return_inverse=True)
    # The rows of all molecules are kept whole, so that one by one in the other cache they would only take place.
    found = featurise(smiles.tolist(), featuriser, "keep", lenient=True, cache=False)
    if found.problems:
        position, problem = next(iter(found.problems.items()))
        raise DataError(f"fsmol: {path}: '{smiles[position]}' cannot be used ({problem})")
    return {
        **found.rows.tensors,
        "owner": torch.from_numpy(owner.astype(np.int32)),
        "molecule": torch.from_numpy(molecule.astype(np.int32)),
        "label": torch.tensor(records["label"], dtype=torch.int8),
        "activity": torch.tensor(records["value"], dtype=torch.float32),
        "names": _tensor(names.tolist()),
        "smiles": _tensor(smiles.tolist()),
    }


def _tensor(texts: list[str]) -> Tensor:
    """Return texts as bytes, one on a line, since a cache holds tensors alone."""
    return torch.frombuffer(bytearray("\n".join(texts).encode()), dtype=torch.uint8)


def _texts(content: Tensor) -> list[str]:
    return io.BytesIO(content.numpy().tobytes()).read().decode().split("\n")
