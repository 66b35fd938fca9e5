"""Graphs of molecules: what atoms and bonds are told apart by, and what cannot be a graph."""

import pytest
import torch
from rdkit import Chem

from metaprior.errors import ShapeError
from metaprior.molecules.featurise import featurise
from metaprior.molecules.graphs import ATOM_SIZES, BOND_SIZE, BONDS, WIDTH, Graph, graphs_of

DRUGS = [
    "CC(=O)Nc1ccc(O)cc1",
    "C[N+](C)(C)CC([O-])=O",
    "FS(F)(F)(F)(F)c1ccccc1",
    "N#C/C=C/[Si](C)(C)C",
    "C[C@H](N)F",
]


def graphs(*smiles, atoms=16):
    rows = featurise(smiles, Graph(atoms), "keep", cache=False)
    assert not rows.problems
    return graphs_of(rows.rows.dense(torch.arange(len(smiles))))


def lines(found, at):
    """Return what each atom is, and by which bonds it is bonded to what, in no order."""
    size = int(found.sizes[at])
    what = [tuple(line) for line in found.atoms[at, :size].tolist()]
    bonded = [
        sorted((bond, what[place]) for place, bond in zip(places, bonds, strict=True) if bond)
        for places, bonds in zip(found.neighbours[at].tolist(), found.bonds[at].tolist(), strict=True)
    ]
    return sorted(zip(what, bonded, strict=False))


def test_atoms_and_bonds_are_those_of_rdkit():
    found = graphs(*DRUGS)
    for at, text in enumerate(DRUGS):
        molecule = Chem.MolFromSmiles(text)
        assert found.sizes[at] == molecule.GetNumAtoms()
        for atom in molecule.GetAtoms():
            place = atom.GetIdx()
            element, charge, hydrogens, *_ = (found.atoms[at, place] - 1).tolist()
            assert element + 1 == atom.GetAtomicNum()
            assert charge - 2 == atom.GetFormalCharge()
            assert hydrogens == atom.GetTotalNumHs()
            real = found.bonds[at, place] > 0
            wanted = {neighbour.GetIdx() for neighbour in atom.GetNeighbors()}
            assert set(found.neighbours[at, place][real].tolist()) == wanted
    assert (found.atoms <= torch.tensor(ATOM_SIZES)).all()
    assert found.bonds.max() <= BOND_SIZE


def test_a_bond_is_the_same_from_both_of_its_ends():
    found = graphs(*DRUGS)
    kinds = torch.zeros(len(DRUGS), 16, 16, dtype=torch.int64)
    kinds.scatter_add_(2, found.neighbours, found.bonds)
    assert torch.equal(kinds, kinds.transpose(1, 2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C[C@H](N)O", "C[C@@H](N)O"),
        ("C/C=C/C", "C/C=C\\C"),
        ("CC=CC", "C/C=C\\C"),
        ("CC#N", "C=C=N"),
        ("c1ccccc1", "C1CCCCC1"),
        ("C[NH3+]", "CN"),
        ("CO", "CS"),
        ("C[C@H]1CC[C@@H](C)CC1", "C[C@H]1CC[C@H](C)CC1"),
        ("*C", "[Og]C"),
    ],
)
def test_molecules_that_differ_are_told_apart(one, other):
    found = graphs(one, other)
    assert lines(found, 0) != lines(found, 1)


def test_the_order_of_atoms_is_the_only_difference():
    found = graphs("OCC(=O)N/C=C/F", "F/C=C/NC(CO)=O")
    assert lines(found, 0) == lines(found, 1)
    assert not torch.equal(found.atoms[0], found.atoms[1])


def test_what_is_no_graph_is_known_by_its_row():
    found = featurise(["C" * 20, "CO", "not", "[Fe]" + "(C)" * 7], Graph(atoms=16), cache=False)
    assert found.problems[0] == "it has 20 heavy atoms; graphs of at most 16 were asked for"
    assert found.problems[3] == "it has an atom, Fe, of 7 bonds; graphs have at most 6 of one"
    assert sorted(found.problems) == [0, 2, 3]
    assert BONDS == 6
    with pytest.raises(
        ShapeError, match=rf"rows: expected graphs \(N, {WIDTH} A\), which the featuriser 'graph' gives"
    ):
        graphs_of(torch.zeros(2, WIDTH + 1))


def test_padding_can_go():
    found = graphs("CO", "CCO").trimmed()
    assert found.atoms.shape == (2, 3, len(ATOM_SIZES))
    assert found.take(slice(1)).trimmed().neighbours.shape == (1, 2, BONDS)
