"""Splits of molecules: what is kept together, and that nothing else changes them."""

import numpy as np
import pytest

from metaprior.errors import DataError, UnknownNameError
from metaprior.molecules.nci import nci_smiles
from metaprior.molecules.splits import read_splits, scaffold, split_molecules, write_splits

pytest.importorskip("rdkit")
SMILES = nci_smiles(150)


@pytest.mark.parametrize("rule", ["random", "scaffold", "cluster", "time"])
def test_every_molecule_is_in_one_split(rule):
    times = list(reversed(range(150)))
    splits = split_molecules(SMILES, rule, (0.6, 0.2, 0.2), times=times)
    assert sorted(at for part in splits.values() for at in part) == list(range(150))
    assert abs(len(splits["train"]) - 90) <= 3
    assert splits == split_molecules(SMILES, rule, (0.6, 0.2, 0.2), times=times)
    if rule == "time":
        assert splits["train"] == list(range(60, 150))


@pytest.mark.parametrize("rule", ["scaffold", "cluster"])
def test_the_order_of_the_file_does_not_matter(rule):
    order = np.random.default_rng(0).permutation(60)
    first = split_molecules(SMILES[:60], rule)
    second = split_molecules([SMILES[at] for at in order], rule)
    assert {SMILES[at] for at in first["test"]} == {SMILES[order[at]] for at in second["test"]}


def test_scaffolds_are_kept_together():
    splits = split_molecules(SMILES, "scaffold")
    owners = {}
    for split, members in splits.items():
        for at in members:
            assert owners.setdefault(scaffold(SMILES[at]), split) == split


def test_atom_maps_make_no_scaffold():
    mapped = ["[CH3:1][c:2]1[cH:3][cH:4][cH:5][cH:6][cH:7]1", "Oc1ccccc1", "CCO"]
    assert split_molecules(mapped, shares=(0.67, 0.33, 0.0))["train"] == [0, 1]


def test_kept_on_disk(tmp_path):
    splits = split_molecules(SMILES, "random", seed=3)
    write_splits(tmp_path / "splits.json", splits, rule="random", seed=3)
    assert read_splits(tmp_path / "splits.json", 150) == splits
    with pytest.raises(DataError, match="name molecules beyond the 10"):
        read_splits(tmp_path / "splits.json", 10)
    (tmp_path / "splits.json").write_text("{}")
    with pytest.raises(DataError, match="holds no splits"):
        read_splits(tmp_path / "splits.json", 10)


def test_wrong_arguments():
    with pytest.raises(UnknownNameError, match="unknown rule 'scafold': did you mean 'scaffold'"):
        split_molecules(SMILES, "scafold")
    with pytest.raises(DataError, match="shares: expected three that add up to 1"):
        split_molecules(SMILES, shares=(0.5, 0.2, 0.2))
    with pytest.raises(DataError, match="times: expected one for each of 150"):
        split_molecules(SMILES, "time")
    with pytest.raises(DataError, match="molecules: 1: 'C1CC' is not a SMILES"):
        split_molecules(["CC", "C1CC"])


def test_times_are_ordered_as_times():
    dates = ["2010-09-01", "2009-12-24", "2011-01-01", "2008-02-29"]
    shares = (0.5, 0.25, 0.25)
    assert split_molecules(["C"] * 4, "time", shares, times=dates) == {"train": [1, 3], "valid": [0], "test": [2]}
    assert split_molecules(["C"] * 4, "time", shares, times=["10", "9", "11", "8"])["train"] == [1, 3]
    for wrong, message in (
        (["9/1/2010", *dates[1:]], "expected a number or a date as 2010-09-30 or 2010/9/30, got '9/1/2010', number 1"),
        ([*dates[:3], None], "got None for that at 3"),
        ([1.0, float("nan"), 2.0, 3.0], "got nan for that at 1"),
        ([1.0, *dates[1:]], "expected numbers alone or dates alone"),
    ):
        with pytest.raises(DataError, match=message):
            split_molecules(["C"] * 4, "time", shares, times=wrong)


def test_there_is_something_to_train_on():
    assert split_molecules(["CCO", "CCC", "CCN"], "scaffold") == {"train": [0, 1, 2], "valid": [], "test": []}
    with pytest.raises(DataError, match="molecules: 0: expected a SMILES or an RDKit Mol, got None"):
        split_molecules([None, "CC"], "scaffold")
