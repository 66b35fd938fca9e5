"""One structure: from text to a molecule, with what is wrong with it, and what is done to salts and mixtures."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from metaprior.errors import DataError, missing

__all__ = ["POLICY", "Molecule", "Salts", "needed", "parse", "quiet", "rdkit_version", "standardise"]

Molecule: TypeAlias = Any
"""An RDKit Mol."""
Salts = Literal["largest", "keep"]
"""What is done to salts and mixtures: keep the largest organic fragment, neutralised; or keep all as it is."""

POLICY = 2
"""The version of what is done to salts; features in the cache are kept apart by it."""


def needed(module: str) -> Any:
    """Return a module of RDKit, or raise what says how to install it.

    Example:
        >>> needed("rdkit.Chem").MolFromSmiles("CO").GetNumAtoms()
        2
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing("rdkit", "molecules", "reading molecules") from error


def rdkit_version() -> str:
    """Return the version of RDKit that is installed."""
    return str(needed("rdkit").__version__)


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, RDKit prints nothing: what it has to say of a structure is in our errors."""
    block = needed("rdkit.rdBase").BlockLogs()
    try:
        yield
    finally:
        del block


def parse(text: str, lenient: bool = False) -> Molecule:
    """Return the molecule that a SMILES stands for.

    Args:
        text: a SMILES.
        lenient: accept impossible valences, as older versions of RDKit did, for data that were made by them.

    Raises:
        DataError: if it is empty, or no SMILES, or chemically impossible; it says which.

    Example:
        >>> parse("CO").GetNumAtoms()
        2
        >>> parse("CN(C)(C)(C)C")
        Traceback (most recent call last):
        metaprior.errors.DataError: 'CN(C)(C)(C)C' is impossible: Explicit valence for atom # 1 N, 5, is greater ...
    """
    chem = needed("rdkit.Chem")
    text = text.strip()
    if not text:
        raise DataError("the structure is empty")
    with quiet():
        molecule = chem.MolFromSmiles(text)
        if molecule is None and (raw := chem.MolFromSmiles(text, sanitize=False)) is None:
            raise DataError(f"'{_short(text)}' is not a SMILES")
        if molecule is None and lenient:
            every = chem.SanitizeFlags.SANITIZE_ALL
            failed = chem.SanitizeMol(raw, every ^ chem.SanitizeFlags.SANITIZE_PROPERTIES, catchErrors=True)
            molecule = None if failed else raw
        if molecule is None:
            found = [problem.Message() for problem in chem.DetectChemistryProblems(raw)]
            raise DataError(
                f"'{_short(text)}' is impossible: {' '.join((found or ['it cannot be sanitised'])[0].split())}"
            )
    if molecule.GetNumAtoms() == 0:
        raise DataError(f"'{_short(text)}' has no atoms")
    return molecule


def standardise(molecule: Molecule, salts: Salts = "largest") -> tuple[Molecule, str | None]:
    """Return a molecule as it is featurised, and a note on what was done to it; None where nothing was.

    With "largest", the largest organic fragment is kept (the largest fragment where none has carbon), and charges are
    neutralised where adding or removing protons can do so. Where that would leave an impossible structure, as of the
    ring of a metallocene, all charges stay.

    Example:
        >>> standardise(parse("CC(=O)[O-].[Na+]"))[1]
        'kept CC(=O)O of CC(=O)[O-].[Na+]'
    """
    if salts == "keep":
        return molecule, None
    if salts != "largest":
        raise DataError(f"salts: expected 'largest' or 'keep', got {salts!r}")
    chem, standard = needed("rdkit.Chem"), needed("rdkit.Chem.MolStandardize.rdMolStandardize")
    mixed = len(chem.GetMolFrags(molecule)) > 1
    charged = any(atom.GetFormalCharge() for atom in molecule.GetAtoms())
    if not mixed and not charged:
        return molecule, None
    with quiet():
        kept = standard.LargestFragmentChooser(preferOrganic=True).choose(molecule) if mixed else molecule
        neutral = standard.Uncharger().uncharge(kept)
        if chem.MolFromSmiles(chem.MolToSmiles(neutral)) or not chem.MolFromSmiles(chem.MolToSmiles(kept)):
            kept = neutral
    before, after = chem.MolToSmiles(molecule), chem.MolToSmiles(kept)
    if before == after:
        return molecule, None
    return kept, f"{'kept' if mixed else 'neutralised to'} {_short(after)} of {_short(before)}"


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
