"""Sequences of amino acids: their letters, what is wrong with one, and what is known of each letter.

Axis letters: L letters of a sequence.
"""

import re

import torch
from torch import Tensor

from metaprior.errors import DataError

__all__ = ["ALPHABET", "ATCHLEY", "BLOSUM62", "residues"]

ALPHABET = "ARNDCQEGHILKMFPSTWYV"
"""The 20 amino acids, in the order of the rows of the tables below."""

_SPECIAL = {
    "X": "X stands for any amino acid",
    "B": "B stands for D or N",
    "Z": "Z stands for E or Q",
    "J": "J stands for I or L",
    "U": "U is selenocysteine",
    "O": "O is pyrrolysine",
    "*": "* is a stop codon: the sequence is not productive",
    "_": "_ is a frame shift: the sequence is not productive",
    "-": "- is a gap: give the sequence without its alignment",
    ".": ". is a gap: give the sequence without its alignment",
}
_INSIDE = 60
"""So many letters of a sequence are shown in a message."""

# NCBI's matrix in half bits, the lower triangle with the diagonal; Henikoff & Henikoff 1992.
_LOWER = """
4
-1 5
-2 0 6
-2 -2 1 6
0 -3 -3 -3 9
-1 1 0 0 -3 5
-1 0 0 2 -4 2 5
0 -2 0 -1 -3 -2 -2 6
-2 0 1 -1 -3 0 0 -2 8
-1 -3 -3 -3 -1 -3 -3 -4 -3 4
-1 -2 -3 -4 -1 -2 -3 -4 -3 2 4
-1 2 0 -1 -3 1 1 -2 -1 -3 -2 5
-1 -1 -2 -3 -1 0 -2 -3 -2 1 2 -1 5
-2 -3 -3 -3 -2 -3 -3 -3 -1 0 0 -3 0 6
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4 7
1 -1 1 0 -1 0 0 0 -1 -2 -2 0 -1 -2 -1 4
0 -1 0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1 1 5
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1 1 -4 -3 -2 11
-2 -2 -2 -3 -2 -1 -2 -3 2 -1 -1 -2 -1 3 -3 -2 -2 2 7
0 -3 -3 -3 -1 -2 -2 -3 -3 3 1 -2 1 -1 -2 -2 0 -3 -1 4
"""


def _symmetric(lower: str) -> Tensor:
    matrix = torch.zeros(20, 20)
    for row, line in enumerate(lower.split("\n")[1:-1]):
        for column, value in enumerate(line.split()):
            matrix[row, column] = matrix[column, row] = float(value)
    return matrix


BLOSUM62 = _symmetric(_LOWER)
"""`(20, 20)`, how much oftener than by chance a letter stands for another in related proteins, in half bits."""

ATCHLEY = torch.tensor(
    [
        (-0.591, -1.302, -0.733, 1.570, -0.146),
        (1.538, -0.055, 1.502, 0.440, 2.897),
        (0.945, 0.828, 1.299, -0.169, 0.933),
        (1.050, 0.302, -3.656, -0.259, -3.242),
        (-1.343, 0.465, -0.862, -1.020, -0.255),
        (0.931, -0.179, -3.005, -0.503, -1.853),
        (1.357, -1.453, 1.477, 0.113, -0.837),
        (-0.384, 1.652, 1.330, 1.045, 2.064),
        (0.336, -0.417, -1.673, -1.474, -0.078),
        (-1.239, -0.547, 2.131, 0.393, 0.816),
        (-1.019, -0.987, -1.505, 1.266, -0.912),
        (1.831, -0.561, 0.533, -0.277, 1.648),
        (-0.663, -1.524, 2.219, -1.005, 1.212),
        (-1.006, -0.590, 1.891, -0.397, 0.412),
        (0.189, 2.081, -1.628, 0.421, -1.392),
        (-0.228, 1.399, -4.760, 0.670, -2.647),
        (-0.032, 0.326, 2.213, 0.908, 1.313),
        (-0.595, 0.009, 0.672, -2.128, -0.184),
        (0.260, 0.830, 3.097, -0.838, 1.512),
        (-1.337, -0.279, -0.544, 1.242, -1.262),
    ]
)
"""`(20, 5)`: polarity, secondary structure, volume, codon diversity, charge; Atchley et al. 2005, table 2."""


def residues(text: str) -> str:
    """Return a sequence in capitals, without blanks around it.

    Raises:
        DataError: if it is empty, or a letter is none of the 20 amino acids; it names the letter and its position.

    Example:
        >>> residues(" cassIRSSYEQYF ")
        'CASSIRSSYEQYF'
        >>> residues("CASS*RF")
        Traceback (most recent call last):
        metaprior.errors.DataError: 'CASS*RF' has '*' at position 5 (* is a stop codon: the sequence is not...
    """
    found = text.strip().upper()
    if not found:
        raise DataError("the sequence is empty")
    if wrong := re.search(f"[^{ALPHABET}]", found):
        letter = wrong[0]
        told = f" ({_SPECIAL[letter]})" if letter in _SPECIAL else ""
        shown = found if len(found) <= _INSIDE else f"{found[: _INSIDE - 3]}..."
        raise DataError(
            f"'{shown}' has '{letter}' at position {wrong.start() + 1}{told}; expected letters of the 20 amino acids, "
            f"{''.join(sorted(ALPHABET))}"
        )
    return found
