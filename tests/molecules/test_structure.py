"""From text to a molecule, and what is done to salts."""

import subprocess
import sys

import pytest

from metaprior.errors import DataError
from metaprior.molecules.structure import parse, standardise

Chem = pytest.importorskip("rdkit.Chem")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the structure is empty"),
        ("  ", "the structure is empty"),
        ("C1CC", "'C1CC' is not a SMILES"),
        ("CN(C)(C)(C)C", "is impossible: Explicit valence for atom # 1 N"),
        ("c1cccc1", "is impossible: Can't kekulize"),
    ],
)
def test_what_is_no_molecule_is_told_apart(text, sentence):
    with pytest.raises(DataError, match=sentence):
        parse(text)


def test_lenient_accepts_valences_that_older_versions_did():
    text = "OC[PH](=O)(=O)O"
    with pytest.raises(DataError):
        parse(text)
    assert parse(text, lenient=True).GetNumAtoms() == 6


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("C[NH3+].[Cl-]", "CN"),
        ("CCO.CCCCO", "CCCCO"),
        ("O.[Na+].[Cl-].CO", "CO"),
        ("C[N+](C)(C)C", "C[N+](C)(C)C"),
        ("C[N+](=O)[O-]", "C[N+](=O)[O-]"),
        ("[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1", "c1cc[cH-]c1"),
    ],
)
def test_salts_and_mixtures(given, kept):
    molecule, note = standardise(parse(given))
    assert Chem.MolToSmiles(molecule) == kept
    assert (note is None) == (Chem.CanonSmiles(given) == kept)
    assert standardise(parse(given), "keep")[1] is None


def test_importing_the_package_imports_neither_rdkit_nor_scikit_learn():
    code = "import sys, metaprior.molecules; print([m for m in ('rdkit', 'sklearn', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
