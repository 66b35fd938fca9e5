"""Featurisers of amino-acid sequences: T-cell receptors, peptides, and what presents them.

Each letter of a raw row is written down as it is; what stands for a letter is put in its place by `encode`.

Axis letters: M sequences, F features, L places, D numbers of a place.
"""

from collections import Counter
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, UnknownNameError, check_positive
from metaprior.molecules.amino_acids import ALPHABET, ATCHLEY, BLOSUM62, residues
from metaprior.molecules.featurisers import Featuriser, Row, featurisers

__all__ = ["Aligned", "Composition", "KMers", "SequenceFeaturiser"]

_POSITION = np.zeros(128, np.int32)
_POSITION[[ord(letter) for letter in ALPHABET]] = np.arange(20)
_ALIGNMENTS = ("ends", "left", "right")


class SequenceFeaturiser(Featuriser):
    """What turns amino-acid sequences into inputs; `raw` takes a checked sequence instead of a molecule."""

    reads: ClassVar[Literal["molecules", "sequences"]] = "sequences"

    def read(self, given: Any, salts: str = "keep", lenient: bool = False) -> tuple[str, str, str | None]:
        """Return a sequence in capitals, twice, and a note if a part of it is left out."""
        found = residues(given)
        return found, found, self.note(found)

    def note(self, sequence: str) -> str | None:
        """Return what is lost of a sequence; None where nothing is."""
        return None


@featurisers.register("aligned")
class Aligned(SequenceFeaturiser):
    """A place for each letter, with what stands for that letter, and a mask: 1 where there is one, 0 for padding.

    Args:
        letters: "blosum" is a row of BLOSUM62 over 4, "one_hot" a 1 among zeros, "physico_chemical" the five factors of
            Atchley et al. (2005) over 2.
        size: L; of a longer sequence the letters in the middle are left out.
        align: where a shorter one is padded: in the middle, so that both ends line up as anchors of peptides and of
            CDR3 do, "left" behind it, or "right" before it.

    Source: padding in the middle is IMGT's numbering of CDR3 (Lefranc et al. 2003), and MHCflurry's of peptides.

    Example:
        >>> featuriser = Aligned("one_hot", size=6)
        >>> columns, values = featuriser.raw("CAF")
        >>> x = featuriser.encode(torch.zeros(126).index_put((torch.tensor(columns).long(),), torch.tensor(values)))
        >>> x.view(6, 21)[:, -1]
        tensor([1., 1., 0., 0., 0., 1.])
    """

    def __init__(
        self,
        letters: Literal["blosum", "one_hot", "physico_chemical"] = "blosum",
        size: int = 24,
        align: Literal["ends", "left", "right"] = "ends",
    ):
        check_positive(size=size)
        if letters not in _LETTERS:
            raise UnknownNameError("letters", str(letters), _LETTERS)
        if align not in _ALIGNMENTS:
            raise UnknownNameError("align", str(align), _ALIGNMENTS)
        self.letters = letters
        self.size = size
        self.align = align

    @property
    def width(self) -> int:
        """F, 21 numbers for each place: a 1 for its letter, and the mask."""
        return 21 * self.size

    @property
    def encoded_width(self) -> int:
        """F, D + 1 numbers for each place."""
        return (_LETTERS[self.letters].shape[1] + 1) * self.size

    def raw(self, molecule: str) -> Row:
        """Return a 1 for the letter at each place, and a 1 for the mask."""
        letters = _numbers(molecule)
        if len(letters) > self.size:
            first = (self.size + 1) // 2
            letters = np.concatenate([letters[:first], letters[len(letters) - (self.size - first) :]])
        places = self._places(len(letters))
        columns = np.empty(2 * len(letters), np.int32)
        columns[::2] = places + letters
        columns[1::2] = places + 20
        return columns, np.ones(len(columns), np.float32)

    def encode(self, raw: Tensor, fitted: Any = None) -> Tensor:
        """Return what stands for each letter, place by place, each followed by the mask."""
        places = raw.unflatten(-1, (self.size, 21))
        table = _LETTERS[self.letters].to(raw)
        return torch.cat([places[..., :20] @ table, places[..., 20:]], dim=-1).flatten(-2)

    def note(self, sequence: str) -> str | None:
        """Return how many letters there is no place for."""
        left = len(sequence) - self.size
        return f"{left} letters in the middle of {sequence} were left out" if left > 0 else None

    def _places(self, length: int) -> np.ndarray:
        """Return where the numbers of each letter of a sequence begin."""
        first = {"left": length, "right": 0, "ends": (length + 1) // 2}[self.align]
        return 21 * np.concatenate([np.arange(first), np.arange(self.size - (length - first), self.size)])


_LETTERS = {"blosum": BLOSUM62 / 4, "one_hot": torch.eye(20), "physico_chemical": ATCHLEY / 2}


@featurisers.register("kmers")
class KMers(SequenceFeaturiser):
    """How often each word of k letters occurs in a sequence, as log(1 + count).

    Args:
        k: letters of a word; F is 20 to the power of it.

    Example:
        >>> KMers(k=2).raw("AAAR")[1].tolist()
        [2.0, 1.0]
    """

    def __init__(self, k: int = 3):
        if not 1 <= k <= 4:
            raise DataError(f"k: expected 1 to 4 letters, got {k}")
        self.k = k

    @property
    def width(self) -> int:
        """F."""
        return int(20**self.k)

    def raw(self, molecule: str) -> Row:
        """Return the counts of the words that occur."""
        numbers = _numbers(molecule)
        words = np.zeros(max(0, len(molecule) - self.k + 1), np.int32)
        for place in range(self.k):
            words = 20 * words + numbers[place : place + len(words)]
        found = Counter(words.tolist())
        return np.fromiter(found, np.int32, len(found)), np.fromiter(found.values(), np.float32, len(found))

    def encode(self, raw: Tensor, fitted: Any = None) -> Tensor:
        """Return log(1 + count)."""
        return raw.log1p()


@featurisers.register("composition")
class Composition(SequenceFeaturiser):
    """The share of each amino acid, and the length over 20: the control for whatever looks at the order of letters.

    Example:
        >>> Composition().raw(5 * "AAAR")[1].tolist()
        [0.75, 0.25, 1.0]
    """

    def __init__(self) -> None:
        # Settings are read from a constructor of its own.
        super().__init__()

    @property
    def width(self) -> int:
        """21."""
        return 21

    def raw(self, molecule: str) -> Row:
        """Return the shares of the letters that occur, and the length."""
        found, counts = np.unique(_numbers(molecule), return_counts=True)
        values = [*(counts / len(molecule)), len(molecule) / 20]
        return np.array([*found, 20], np.int32), np.array(values, np.float32)


def _numbers(sequence: str) -> np.ndarray:
    """Return the position of each letter in the alphabet."""
    return _POSITION[np.frombuffer(sequence.encode(), np.uint8)]


featurisers.preset("blosum", "aligned", letters="blosum")
featurisers.preset("one_hot", "aligned", letters="one_hot")
featurisers.preset("physico_chemical", "aligned", letters="physico_chemical")
featurisers.preset("blosum+kmers", "joined", parts=("blosum", {"name": "kmers", "k": 2}))
