"""Read-outs as tasks: compounds and agonists apart, and two read-outs that are means of others."""

import gzip

import numpy as np
import pandas
import pytest
import torch

from metaprior import data
from metaprior.errors import UnknownNameError
from metaprior.molecules import Immunomodulators
from metaprior.molecules.immunomodulators import READOUTS, read_screen
from metaprior.molecules.nci import nci_smiles

pytest.importorskip("rdkit")

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a screen of 80 compounds, one of them twice."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "innate_immunomodulators").mkdir()
    plain = [text for text in nci_smiles(400) if not set(text) & set(".+-")][:80]
    values = np.random.default_rng(0).lognormal(size=(81, 9))
    frame = pandas.DataFrame(values, columns=list(READOUTS)).assign(SMILES=[*plain, plain[0]])
    with gzip.open(folder / "innate_immunomodulators" / "screening_results.csv.gz", "wt") as file:
        frame.to_csv(file, index=False)
    return folder


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    monkeypatch.setenv("METAPRIOR_DATA", str(folder))


def test_a_compound_that_occurs_twice_is_averaged(folder):
    frame, found = read_screen("morgan")
    given = pandas.read_csv(folder / "innate_immunomodulators" / "screening_results.csv.gz")
    assert len(frame) == len(found.smiles) == 80
    twice = given.loc[[0, 80], "LPS Abs"].mean()
    assert np.isclose(frame["LPS Abs"], twice).sum() == 1


@pytest.mark.parametrize(("held_out", "count"), [("cGAMP", 3), ("CpG", 2), ("LPS", 4), ("MPLA", 4)])
def test_an_agonist_is_held_out_with_every_mean_that_it_has_a_part_in(held_out, count):
    source = Immunomodulators(held_out, shots=4)
    assert len(source.names("test")) == count
    assert all(held_out in READOUTS[name] for name in source.names("test"))
    assert not any(held_out in READOUTS[name] for name in source.names("train"))
    members = [set(source._split(split).smiles) for split in SPLITS]
    assert sum(map(len, members)) == len(set().union(*members)) == 80
    assert source.sample(2, torch.Generator().manual_seed(0), "test").support.y.shape == (2, 4, 1)


def test_an_agonist_that_is_none():
    with pytest.raises(UnknownNameError, match="unknown held_out 'cpg': Known: CpG, LPS, MPLA, cGAMP"):
        Immunomodulators("cpg")


REAL = data.find("innate_immunomodulators", "screening_results.csv.gz", "screening_results.csv")


@pytest.mark.skipif(REAL is None, reason="no immunomodulators")
def test_two_of_the_real_read_outs_are_means():
    frame = pandas.read_csv(REAL)
    for name, agonists in READOUTS.items():
        if len(agonists) > 1:
            kind = name[-3:]
            parts = [f"{agonist} {kind}" for agonist in agonists]
            assert np.allclose(frame[name], frame[parts].mean(axis=1), atol=1e-6)
