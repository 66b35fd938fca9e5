"""Immune repertoires: many sequences as one example, of which a label may hang on a few.

Axis letters: S sequences of a repertoire, L places of a sequence.
"""

import re
from typing import Any

import numpy as np

from metaprior.errors import DataError, check_positive
from metaprior.molecules.amino_acids import ALPHABET, residues
from metaprior.molecules.featurisers import Row, featurisers
from metaprior.molecules.sequence_featurisers import SequenceFeaturiser

__all__ = ["BETWEEN", "LETTERS", "Repertoire"]

BETWEEN = ";"
"""What stands between the sequences of a repertoire, as it is written."""
LETTERS = 28
"""L, the places of a sequence; of a longer one, which few CDR3 are, the letters in the middle are left out."""
_APART = re.compile(r"[\s;,|]+")
_IDS = {letter: at for at, letter in enumerate(ALPHABET, start=1)}


@featurisers.register("repertoire")
class Repertoire(SequenceFeaturiser):
    """The sequences of a repertoire, which are in one cell of a table: the id of each letter, place by place.

    Blanks, semicolons, commas or bars stand between sequences; their order does not matter to `deeprc`, the network
    that takes them. Write the most abundant first, since those beyond the last place are left out, which is told.

    Args:
        sequences: S, the most that are kept of a repertoire.

    Example:
        >>> columns, ids = Repertoire(sequences=4).raw("CAF;CASF")
        >>> columns.tolist(), ids.tolist()
        ([0, 1, 2, 28, 29, 30, 31], [5.0, 1.0, 14.0, 5.0, 1.0, 16.0, 14.0])
    """

    net = "deeprc"

    def __init__(self, sequences: int = 200):
        check_positive(sequences=sequences)
        self.sequences = sequences

    @property
    def width(self) -> int:
        """F, which is S L."""
        return self.sequences * LETTERS

    def read(self, given: Any, salts: str = "keep", lenient: bool = False) -> tuple[str, str, str | None]:
        """Return the sequences in capitals, twice, and a note if some of them are left out.

        Raises:
            DataError: if there is none, or one of them cannot be used; it says which one.
        """
        found = []
        for at, text in enumerate((text for text in _APART.split(str(given)) if text), start=1):
            try:
                found.append(residues(text))
            except DataError as error:
                raise DataError(f"sequence {at} of the repertoire: {error}") from error
        if not found:
            raise DataError("the repertoire is empty")
        written = BETWEEN.join(found)
        return written, written, self.note(written)

    def note(self, sequence: str) -> str | None:
        """Return what there is no place for, or that there is a single sequence, which is no repertoire."""
        kept, *beyond = np.split(np.array(sequence.split(BETWEEN)), [self.sequences])
        told = []
        if left := sum(map(len, beyond)):
            told.append(f"{left} sequences beyond the first {self.sequences} were left out")
        if cut := sum(len(text) > LETTERS for text in kept):
            told.append(f"letters in the middle of {cut} sequences longer than {LETTERS} were left out")
        if len(kept) == 1:
            told.append("a repertoire of one sequence")
        return "; ".join(told) or None

    def whole(self, written: str) -> str:
        """Return the sequences one after another; the words across their ends are few."""
        return written.replace(BETWEEN, "")

    def raw(self, molecule: str) -> Row:
        """Return the id from 1 of each letter, at its place of its sequence."""
        columns, ids = [], []
        for at, text in enumerate(molecule.split(BETWEEN)[: self.sequences]):
            kept = text if len(text) <= LETTERS else text[: LETTERS // 2] + text[-LETTERS // 2 :]
            columns.append(np.arange(len(kept), dtype=np.int32) + np.int32(at * LETTERS))
            ids.append(np.array([_IDS[letter] for letter in kept], np.float32))
        return np.concatenate(columns), np.concatenate(ids)
