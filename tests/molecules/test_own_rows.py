"""Rows of a user's file, as a prior takes them, and how alike they are to what it knows."""

import math

import pytest
import torch

from metaprior.errors import DataError
from metaprior.molecules.agreement import check_digest
from metaprior.molecules.featurise import featurise
from metaprior.molecules.featurisers import Morgan, featuriser_of
from metaprior.molecules.own_rows import EncodedRows, chosen, encode_molecules, reference, remark_ends, similarity
from metaprior.molecules.structure import rdkit_version

Chem = pytest.importorskip("rdkit.Chem")
from rdkit import DataStructs  # noqa: E402
from rdkit.Chem import rdFingerprintGenerator  # noqa: E402

SMILES = ["CCO", "CCCO", "c1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CCN(CC)CC"]
INPUTS = {"kind": "molecules", "featuriser": Morgan(size=256).settings, "salts": "largest", "fitted": None}


def test_parts_are_of_the_whole():
    found = featurise(SMILES, INPUTS["featuriser"])
    rows = EncodedRows(found.rows, featuriser_of(INPUTS["featuriser"]), None, beside=torch.tensor([7.0, 8.0]))
    assert rows.shape == (1, 5, 258)
    whole = torch.cat(list(rows.split(2)), dim=1)
    assert whole.shape == rows.shape
    assert (whole[0, :, 256:] == torch.tensor([7.0, 8.0])).all()
    assert next(rows.take(torch.tensor([4, 1])).split()).equal(whole[:, [4, 1]])


def test_molecules_are_encoded_or_named():
    inputs = INPUTS | {"check": check_digest(Morgan(size=256), "largest"), "rdkit": rdkit_version()}
    expected = featurise(SMILES, INPUTS["featuriser"]).rows.dense(torch.arange(5)).log1p()
    torch.testing.assert_close(encode_molecules(SMILES, inputs), expected)
    assert encode_molecules([], inputs).shape == (0, 256)
    with pytest.raises(DataError, match="X: molecule 1: 'C1CC' is not a SMILES"):
        encode_molecules(["CCO", "C1CC"], inputs)
    with pytest.raises(DataError, match="X: the prior must be told the allele"):
        encode_molecules(SMILES, inputs | {"about": {"place": "input", "column": "allele"}})


@pytest.mark.parametrize("featuriser", ["morgan", "descriptors"])
def test_similarity_is_that_of_rdkit(featuriser):
    inputs = INPUTS | {"featuriser": featuriser}
    found = featurise(SMILES, featuriser)
    known = chosen(found, torch.tensor([True, False, True, False, False]))
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in SMILES]
    oracle = [max(DataStructs.TanimotoSimilarity(one, prints[at]) for at in (0, 2)) for one in prints]
    assert similarity(found, known, inputs) == pytest.approx(oracle)
    assert all(map(math.isnan, similarity(found, chosen(found, torch.zeros(5).bool()), inputs)))


def test_receptors_that_are_written_with_other_ends_are_told_of():
    long, short = ["CASSLGF", "CASSPF"], ["ASSLG", "ASSP"]
    with pytest.warns(UserWarning, match="query: its sequences lack the C at their beginning that those of acq.* have"):
        remark_ends(short, long)
    remark_ends(long, long)


def test_molecules_of_acquisition_are_not_refused():
    found = reference(INPUTS | {"reference": ["CN(C)(C)(C)C", "CCO"]})
    assert not found.problems
    assert similarity(found, found, INPUTS) == [1.0, 1.0]


@pytest.mark.parametrize("names", [["morgan", "atom_pairs"], ["torsions", "morgan"], ["torsions", "atom_pairs"]])
def test_joined_features_are_compared_by_circular_environments(names):
    """They are there already, or are counted for it; the answer is the same."""
    found = [featurise(SMILES[at:], {"name": "joined", "parts": names}) for at in (0, 3)]
    alone = [featurise(SMILES[at:], "morgan") for at in (0, 3)]
    expected = similarity(*alone, {"featuriser": "morgan"})
    assert similarity(*found, {"featuriser": {"name": "joined", "parts": names}}) == pytest.approx(expected)
    assert expected[3:] == [1.0, 1.0]
