"""Fingerprints of pairs and chains of atoms: their counts are those that can be told by hand."""

from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import featuriser_of
from metaprior.molecules.fingerprints import AtomPairs, Torsions

Chem = pytest.importorskip("rdkit.Chem")


@given(carbons=st.integers(2, 40), distance=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_chain_has_a_pair_for_each_two_atoms_and_a_torsion_for_each_four(carbons, distance):
    chain = Chem.MolFromSmiles("C" * carbons)
    assert AtomPairs().raw(chain)[1].sum() == sum(carbons - apart for apart in range(1, min(carbons, 31)))
    near = AtomPairs(distance=distance).raw(chain)[1].sum()
    assert near == sum(max(0, carbons - apart) for apart in range(1, distance + 1))
    assert Torsions().raw(chain)[1].sum() == max(0, carbons - 3)
    assert comb(carbons, 2) >= near


def test_they_see_what_circular_environments_do_not():
    one, other = (f"FC{'C' * middle}CCl" for middle in (8, 9))
    for name, differ in (("morgan_bits", False), ("atom_pairs", True)):
        found = featurise([one, other], name, cache=False).rows.dense(torch.arange(2))
        assert ((found[0] > 0) != (found[1] > 0)).any() == differ


def test_counts_or_what_occurs_and_settings_rebuild_them():
    for given_settings in ({"name": "atom_pairs", "size": 512, "counts": False}, {"name": "torsions", "atoms": 5}):
        own = featuriser_of(given_settings)
        again = featuriser_of(own.settings)
        assert again.settings == own.settings
        raw = torch.tensor([[0.0, 1.0, 3.0]])
        assert own.encode(raw).tolist() == ([[0, 1, 1]] if not own.counts else raw.log1p().tolist())
    both = featuriser_of("atom_pairs+torsions")
    assert both.width == 4096
    assert featurise(["CCO", "C" * 2000], both, cache=False).problems == {
        1: "it has 2000 heavy atoms; pairs of at most 1000 are counted"
    }
