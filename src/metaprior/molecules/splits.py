"""Splits of molecules into training, validation and test: at random, by scaffold, by cluster, by time.

Axis letters: M molecules.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from metaprior.errors import DataError, UnknownNameError
from metaprior.files import write_text
from metaprior.molecules.structure import Molecule, needed, parse, quiet
from metaprior.tasks.source import Split

__all__ = ["Rule", "Splits", "moments", "read_splits", "scaffold", "split_molecules", "write_splits"]

Splits = dict[Split, list[int]]
"""The positions of the molecules of each split, in ascending order."""
Rule = Literal["random", "scaffold", "cluster", "time"]


def split_molecules(
    molecules: Sequence[str | Molecule],
    rule: Rule = "scaffold",
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    times: Sequence[Any] | None = None,
    cutoff: float = 0.4,
) -> Splits:
    """Deal molecules to three splits; equal arguments give equal splits, whatever the order of molecules in a group.

    "scaffold" keeps molecules of one Bemis-Murcko scaffold together, and "cluster" those that Butina's algorithm puts
    together; groups go to the training split, the largest first, until it is full, then to validation, then to test.
    "time" puts the oldest into training and the newest into test. "random" draws from the seed.

    Args:
        molecules: SMILES or RDKit Mols, M of them, all of which can be read.
        rule: what is kept together.
        shares: of training, validation and test.
        seed: of "random".
        times: of "time": M numbers or dates; texts are dates as 2010-09-30, or numbers.
        cutoff: of "cluster": the largest Tanimoto distance of a member to its centre. It needs M² / 2 distances.

    Raises:
        DataError: if shares do not add up to 1, a structure cannot be read, or times are missing or no times.

    Source: Bemis & Murcko 1996, "The properties of known drugs"; Butina 1999, "Unsupervised data base clustering".
    Atom maps are dropped before a scaffold is taken, and groups of equal size go by their first member's SMILES.

    Example:
        >>> split_molecules(["c1ccccc1C", "c1ccccc1O", "CCO", "C1CCCCC1"], shares=(0.5, 0.25, 0.25))
        {'train': [0, 1], 'valid': [2], 'test': [3]}
    """
    if rule not in get_args(Rule):
        raise UnknownNameError("rule", str(rule), get_args(Rule))
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise DataError(f"shares: expected three that add up to 1, got {tuple(shares)}")
    total = len(molecules)
    if rule == "time":
        if times is None or len(times) != total:
            raise DataError(f"times: expected one for each of {total} molecules, got {times and len(times)}")
        ages = moments(times)
        return _cut(sorted(range(total), key=lambda at: (ages[at], at)), shares)
    if rule == "random":
        return _cut(np.random.default_rng(seed).permutation(total).tolist(), shares)
    keys = [_key(molecule, at) for at, molecule in enumerate(molecules)]
    if rule == "scaffold":
        groups: dict[str, list[int]] = {}
        for at, key in enumerate(keys):
            groups.setdefault(scaffold(key), []).append(at)
        members = list(groups.items())
    else:
        members = [(min(keys[at] for at in found), found) for found in _clusters(keys, cutoff)]
    # By content, so that the split does not hang on the order of the file.
    ordered = sorted(members, key=lambda group: (-len(group[1]), group[0]))
    return _fill([found for _, found in ordered], shares, total)


def scaffold(smiles: str) -> str:
    """Return the SMILES of the Bemis-Murcko scaffold: rings and what links them; empty for a molecule without rings.

    Example:
        >>> scaffold("CCc1ccc(CC2CC2)cc1")
        'c1ccc(CC2CC2)cc1'
    """
    with quiet():
        return str(needed("rdkit.Chem.Scaffolds.MurckoScaffold").MurckoScaffoldSmiles(mol=parse(smiles, lenient=True)))


def write_splits(path: str | Path, splits: Splits, **facts: Any) -> None:
    """Write splits to a JSON file, with what else it should say."""
    write_text(Path(path), json.dumps({**facts, "splits": splits}) + "\n")


def read_splits(path: str | Path, molecules: int) -> Splits:
    """Read splits of so many molecules from a JSON file.

    Raises:
        DataError: if it holds none, or of other molecules, or two splits share one.
    """
    try:
        found = json.loads(Path(path).read_text())["splits"]
        splits: Splits = {split: [int(at) for at in found[split]] for split in get_args(Split)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"path: {path} holds no splits ({error!r})") from error
    every = [at for part in splits.values() for at in part]
    if len(every) != len(set(every)) or any(not 0 <= at < molecules for at in every):
        raise DataError(f"path: the splits in {path} overlap, or name molecules beyond the {molecules} that there are")
    return splits


def moments(times: Sequence[Any]) -> list[Any]:
    """Return times that can be ordered, of numbers or dates, or of texts of them.

    Raises:
        DataError: if one is missing or is no time, or numbers are among dates.

    Example:
        >>> sorted(moments(["10", "9"]))
        [9.0, 10.0]
    """
    found = [_moment(time, at) if isinstance(time, str) else time for at, time in enumerate(times)]
    for at, time in enumerate(found):
        if time is None or time != time:
            raise DataError(f"times: expected one for each molecule, got {times[at]} for that at {at}")
    try:
        sorted(found)
    except TypeError as error:
        raise DataError(f"times: expected numbers alone or dates alone ({error})") from error
    return found


def _moment(time: str, at: int) -> Any:
    written = time.strip()
    for read in (float, datetime.fromisoformat, lambda text: datetime.strptime(text, "%Y/%m/%d")):
        with suppress(ValueError):
            return read(written)
    raise DataError(f"times: expected a number or a date as 2010-09-30 or 2010/9/30, got '{time}', number {at + 1}")


def _key(molecule: str | Molecule, at: int) -> str:
    """Return the canonical SMILES without atom maps, which would make a scaffold of every mapped molecule."""
    chem = needed("rdkit.Chem")
    if not isinstance(molecule, str | chem.Mol):
        raise DataError(f"molecules: {at}: expected a SMILES or an RDKit Mol, got {molecule!r}")
    try:
        copy = parse(molecule, lenient=True) if isinstance(molecule, str) else chem.Mol(molecule)
    except DataError as error:
        raise DataError(f"molecules: {at}: {error}") from error
    for atom in copy.GetAtoms():
        atom.SetAtomMapNum(0)
    return str(chem.MolToSmiles(copy))


def _clusters(smiles: list[str], cutoff: float) -> list[list[int]]:
    generator = needed("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(parse(text, lenient=True)) for text in smiles]
    alike = needed("rdkit.DataStructs").BulkTanimotoSimilarity
    distances = [1 - value for at in range(1, len(prints)) for value in alike(prints[at], prints[:at])]
    butina = needed("rdkit.ML.Cluster.Butina")
    return [
        list(found) for found in butina.ClusterData(distances, len(prints), cutoff, isDistData=True, reordering=True)
    ]


def _cut(order: list[int], shares: Sequence[float]) -> Splits:
    ends = [round(sum(shares[: position + 1]) * len(order)) for position in range(3)]
    starts = [0, *ends[:2]]
    parts = [sorted(order[start:end]) for start, end in zip(starts, ends, strict=True)]
    return dict(zip(get_args(Split), parts, strict=True))


def _fill(groups: list[list[int]], shares: Sequence[float], total: int) -> Splits:
    splits: Splits = {split: [] for split in get_args(Split)}
    room = [share * total + 1e-9 for share in shares]
    for group in groups:
        fitting = [split for split, most in zip(splits, room, strict=True) if len(splits[split]) + len(group) <= most]
        # What fits nowhere is tested on, unless there would be nothing to train on.
        splits[fitting[0] if fitting else "test" if splits["train"] else "train"] += group
    return {split: sorted(found) for split, found in splits.items()}
