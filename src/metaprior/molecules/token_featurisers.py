"""Featurisers of token ids: of the SMILES of a molecule, or of a sequence of amino acids.

Axis letters: M molecules, L places, K tokens.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from metaprior.errors import DataError, ShapeError, check_positive
from metaprior.molecules.amino_acids import ALPHABET
from metaprior.molecules.featurisers import Featuriser, Row, featurisers
from metaprior.molecules.sequence_featurisers import SequenceFeaturiser
from metaprior.molecules.structure import Molecule, needed
from metaprior.tree import map_tensors

__all__ = ["SMILES_TOKENS", "UNKNOWN", "ResidueTokens", "SmilesTokens", "Tokens", "split_smiles", "tokens_of"]

UNKNOWN = "?"
"""The token that stands for all that are not in a vocabulary; no SMILES has it."""
_TOKEN = re.compile(
    r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|/|:|~|@|\?|>|\*|\$|%[0-9]{2}|[0-9])|.",
    re.DOTALL,
)
_SYMBOLS = "C c N n O o S s P p F I B b ( ) = # - / \\ . : ~ * $ 1 2 3 4 5 6 7 8 9 0 Cl Br %10 %11 %12"
_BRACKETS = (
    "[C@H] [C@@H] [C@] [C@@] [nH] [N+] [n+] [NH+] [NH2+] [NH3+] [N-] [n-] [N] [NH] [NH2] [O-] [O+] [o+] [O] [OH] [S+]"
    " [s+] [S-] [S] [SH] [S@] [S@@] [P+] [PH] [PH+] [C-] [c-] [C+] [C] [c] [CH] [CH2] [CH2-] [B-] [BH-] [N@+] [N@@+]"
    " [Cl] [Br] [I] [I+] [I-] [Cl-] [Br-] [Na+] [K+] [Li+] [2H] [3H] [13C] [H] [Si] [SiH] [Si@] [Se] [se] [Te] [As]"
    " [As+] [Sn] [Pt] [Fe] [Co] [Cu] [Ni] [Zn] [Hg] [Cd] [Mn] [Cr] [Sb]"
)
SMILES_TOKENS = tuple(f"{_SYMBOLS} {_BRACKETS}".split())
"""What FS-Mol's training molecules and those of the NCI have often, and what other files are likely to have."""


class Tokens(NamedTuple):
    """Sequences of tokens.

    Args:
        ids: `(M, L)`, int64, 0 for padding, which is at the end.
        mask: `(M, L)`, True where there is a token.
    """

    ids: Tensor
    mask: Tensor

    @property
    def sizes(self) -> Tensor:
        """`(M,)`, how many tokens each has."""
        return self.mask.sum(1)

    def take(self, index: Any) -> "Tokens":
        """Return some of the sequences, by positions or by a mask."""
        return map_tensors(lambda leaf: leaf[index], self)

    def trimmed(self) -> "Tokens":
        """Return the same with no more padding than the longest of them asks for."""
        most = int(self.sizes.max()) if len(self.mask) else 0
        return map_tensors(lambda leaf: leaf[:, :most], self)


def tokens_of(rows: Tensor) -> Tokens:
    """Return the sequences of rows of ids `(M, L)`, such as the featurisers of tokens give.

    Raises:
        ShapeError: if they are no rows.

    Example:
        >>> import torch
        >>> tokens_of(torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])).sizes
        tensor([2, 0])
    """
    if rows.ndim != 2:
        raise ShapeError(f"rows: expected token ids (M, L), got {tuple(rows.shape)}")
    ids = rows.long()
    return Tokens(ids, ids > 0)


class _TokenIds(Featuriser):
    """Ids of tokens, place by place; a subclass splits, and says which tokens there are."""

    tokens: tuple[str, ...]
    size: int

    @property
    def width(self) -> int:
        """L."""
        return self.size

    def split(self, given: Any) -> list[str]:
        """Return the tokens of what was read."""
        return list(given)

    def raw(self, molecule: Any) -> Row:
        """Return the id of the token at each place.

        Raises:
            DataError: if there are more tokens than places.
        """
        found = self.split(molecule)
        if len(found) > self.size:
            raise DataError(f"it has {len(found)} tokens; at most {self.size} were asked for")
        ids = np.array([self._ids.get(token, self._ids.get(UNKNOWN, 0)) for token in found], np.float32)
        return np.arange(len(found), dtype=np.int32), ids

    def text(self, ids: Sequence[int] | Tensor) -> str:
        """Return what token ids stand for, padding left out."""
        return "".join(self.tokens[int(one) - 1] for one in ids if int(one))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: at for at, token in enumerate(self.tokens, start=1)}


@featurisers.register("smiles_tokens")
class SmilesTokens(_TokenIds):
    """The ids of the tokens of a molecule's canonical SMILES: an atom, a bond, a branch or a ring number each.

    A network of tokens takes them, such as `transformer`; they are no vector of features for others.

    Args:
        size: L, the most tokens that a molecule may have; one of more cannot be used, which is said by its row.
        vocabulary: the tokens that are told apart; any other is unknown, which is a token of its own.

    Source: the regular expression of Schwaller et al. 2018 (arXiv 1711.04810).

    Example:
        >>> from metaprior.molecules.structure import parse
        >>> featuriser = SmilesTokens(size=20)
        >>> columns, ids = featuriser.raw(parse("OC[14CH3]"))
        >>> len(ids), featuriser.text(ids)
        (3, '?CO')
    """

    def __init__(self, size: int = 160, vocabulary: Sequence[str] = SMILES_TOKENS):
        check_positive(size=size)
        if UNKNOWN in vocabulary or len(set(vocabulary)) != len(vocabulary):
            raise DataError(f"vocabulary: expected different tokens, '{UNKNOWN}' not among them")
        self.size = size
        self.vocabulary = tuple(vocabulary)

    @property
    def tokens(self) -> tuple[str, ...]:  # type: ignore[override]
        """The unknown token, then the vocabulary."""
        return (UNKNOWN, *self.vocabulary)

    @property
    def settings(self) -> dict[str, Any]:
        """The vocabulary is spelt out, so that a later version with another one tokenises as this does."""
        return super().settings | {"vocabulary": list(self.vocabulary)}

    def split(self, given: Molecule) -> list[str]:
        """Return the tokens of the canonical SMILES of a molecule."""
        return split_smiles(str(needed("rdkit.Chem").MolToSmiles(given)))


@featurisers.register("residue_tokens")
class ResidueTokens(_TokenIds, SequenceFeaturiser):
    """The ids of the amino acids of a sequence, from 1 to 20 in the order of `amino_acids.ALPHABET`.

    Args:
        size: L, the most letters that a sequence may have; one of more cannot be used, which is said by its row.

    Example:
        >>> ResidueTokens().raw("CASS")[1]
        array([ 5.,  1., 16., 16.], dtype=float32)
    """

    tokens = tuple(ALPHABET)

    def __init__(self, size: int = 160):
        check_positive(size=size)
        self.size = size


def split_smiles(smiles: str) -> list[str]:
    """Return the tokens of a SMILES; joined, they are the SMILES. What is no token is one letter each.

    Example:
        >>> split_smiles("C[C@H](N)Cl")
        ['C', '[C@H]', '(', 'N', ')', 'Cl']
    """
    return [match[0] for match in _TOKEN.finditer(smiles)]
