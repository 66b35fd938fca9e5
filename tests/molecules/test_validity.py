"""Bonds, stability and validity, against molecules whose bonds are known."""

import pytest
import torch

from metaprior.errors import DataError
from metaprior.molecules.conformers import Conformer, Conformers, embed, stacked
from metaprior.molecules.validity import bond_orders, molecule_of, sample_report, smiles_of, stable, string_report

Chem = pytest.importorskip("rdkit.Chem")

KNOWN = ["C#CCO", "C=CC(=O)N", "CC#N", "FC(Cl)Br", "CCS", "CC=O", "C1CC1", "CNC=O", "CC=NC"]


@pytest.mark.parametrize("smiles", KNOWN)
def test_bonds_are_those_of_the_structure_that_was_embedded(smiles):
    conformers, _ = embed([smiles], Conformer(relax=True), cache=False)
    written = smiles_of(conformers)[0]
    assert written == Chem.CanonSmiles(smiles)
    assert stable(conformers).all()


def test_an_atom_too_many_is_neither_stable_nor_valid():
    methane, _ = embed(["C"], cache=False)
    more = Conformers(
        torch.cat([methane.positions, -methane.positions[:, 1:2]], dim=1),
        torch.cat([methane.elements, torch.ones(1, 1, dtype=torch.long)], dim=1),
        torch.ones(1, 6, dtype=torch.bool),
    )
    assert stable(more)[0].tolist() == [False, True, True, True, True, True]
    report = sample_report(more)
    assert (report.stable_molecules, report.valid, report.unique) == (0, 0, 0)
    assert report.stable_atoms == pytest.approx(5 / 6)
    with pytest.raises(DataError, match="the geometry is no molecule: Explicit valence"):
        molecule_of([6, *[1] * 5], [(0, at, 1) for at in range(1, 6)])


def test_shares_are_of_what_they_say():
    conformers, _ = embed(["CO", "CO", "CCN", "not"], cache=False)
    report = sample_report(conformers, known=["CCN", "CC"])
    assert report.smiles == ("CO", "CO", "CCN")
    assert (report.valid, report.unique, report.novel) == (3 / 4, 2 / 3, 1 / 2)
    assert str(report).endswith("valid 75.0%, unique 66.7%, novel 50.0%")


def test_padding_and_strange_elements_have_no_bonds():
    found = stacked([([92, 92], [[0, 0, 0], [0.5, 0, 0]]), ([6], [[0, 0, 0]])])
    assert not bond_orders(found).any()
    assert not stable(found).any()
    with pytest.raises(DataError, match="samples: expected molecules"):
        sample_report(stacked([]))


def test_only_the_largest_piece_counts():
    far, _ = embed(["CCO"], cache=False)
    both = stacked(
        [([*far.elements[0].tolist(), 8, 1, 1], [*far.positions[0].tolist(), [9, 9, 9], [9.96, 9, 9], [8.8, 9.9, 9]])]
    )
    assert sample_report(both).smiles == ("CCO",)


def test_strings_are_counted_as_the_molecules_that_they_stand_for():
    report = string_report(["CCO", "OCC", "CC[C@H](F)O", "C1CC", "CN(C)(C)(C)C"], known=["C(C)O"])
    assert report.smiles == ("CCO", "CCO", "CCC(O)F")
    assert (report.valid, report.unique, report.novel) == (3 / 5, 2 / 3, 1 / 2)
    nothing = string_report(["C1CC"])
    assert (nothing.valid, nothing.unique) == (0, 0)
    assert nothing.novel != nothing.novel, "nobody knows"
    assert str(nothing).endswith("novel not known")
    with pytest.raises(DataError, match="samples: expected SMILES, got none"):
        string_report([])
