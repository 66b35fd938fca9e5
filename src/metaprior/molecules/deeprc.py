"""A network on immune repertoires: motifs in each sequence, and attention to the few sequences that matter.

Axis letters: N repertoires, S sequences of each, L places of a sequence, K letters of a motif, H motifs, G queries, F
features, C outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, ShapeError, check_positive
from metaprior.metric.hopfield import settle
from metaprior.molecules.amino_acids import ALPHABET
from metaprior.molecules.repertoires import LETTERS
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.registry import nets

__all__ = ["DeepRC"]


@nets.register("deeprc")
class DeepRC(nn.Module):
    """Pool the sequences of a repertoire by a modern Hopfield network whose queries are acquired.

    A sequence is how well each motif fits where it fits best. A repertoire is what each query recalls of its sequences;
    with `outputs`, it has outputs from that. Neither the order of sequences nor padding changes anything.

    Args:
        inputs: how many numbers a row has, S L.
        outputs: C; None for features alone.
        motifs: H.
        length: K.
        queries: G.
        sharpness: of the attention; the larger it is, the fewer sequences a query recalls.
        seed: of the initial weights.

    Source: Widrich et al. 2020 (arXiv 2007.13505), section 2, with the pooling of Ramsauer et al. 2021 (arXiv
    2008.02217), the layer `HopfieldPooling`. Differs: motifs are told letters alone, not also where in the sequence
    these are; there are several queries; keys are what is recalled, so that the head is their projection to values; and
    the sum of a one-hot convolution is taken from a table, which is equal and quicker.

    Example:
        >>> from metaprior.molecules.featurise import featurise
        >>> from metaprior.molecules.repertoires import Repertoire
        >>> rows = featurise(["CASSF;CAGGF", "CASSLF"], Repertoire(sequences=4)).rows.dense(torch.arange(2))
        >>> DeepRC(inputs=rows.shape[1], outputs=1)(rows).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int | None = None,
        motifs: int = 32,
        length: int = 5,
        queries: int = 4,
        sharpness: float = 1.0,
        seed: int = 0,
    ):
        super().__init__()
        check_positive(inputs=inputs, motifs=motifs, length=length, queries=queries, sharpness=sharpness)
        if inputs % LETTERS:
            raise MetapriorError(
                f"inputs: expected a multiple of {LETTERS}, as the featuriser 'repertoire' gives, got {inputs}"
            )
        self.inputs = inputs
        self.outputs = outputs
        self.motifs = motifs
        self.length = length
        self.queries = queries
        self.sharpness = sharpness
        self.seed = seed
        self.table = nn.Parameter(torch.empty(length, len(ALPHABET) + 1, motifs))
        self.bias = nn.Parameter(torch.zeros(motifs))
        self.hidden = uninitialised(nn.Linear, motifs, motifs)
        self.key = uninitialised(nn.Linear, motifs, motifs)
        self.asked = nn.Parameter(torch.empty(queries, motifs))
        self.head = None if outputs is None else uninitialised(nn.Linear, self.features, outputs)
        initialise(self, seed)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for weights, scale in ((self.table, length**-0.5), (self.asked, motifs**-0.5)):
                weights.copy_(scale * torch.randn(weights.shape, generator=generator))

    @property
    def features(self) -> int:
        """F, which is G H."""
        return self.queries * self.motifs

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs `(N, C)`, or features `(N, F)`, of rows of letter ids `(N, S L)`, 0 for padding.

        Raises:
            ShapeError: if the rows are of another width.
        """
        if x.shape[-1] != self.inputs:
            raise ShapeError(f"x: expected rows of {self.inputs} numbers, got {tuple(x.shape)}")
        ids = x.long().unflatten(-1, (-1, LETTERS))
        if len(x) and not torch._C._are_functorch_transforms_active():
            # Padding changes nothing, and takes as long as letters do.
            sequences, letters = (int((ids > 0).sum(axis).max()) for axis in (1, 2))
            ids = ids[:, : max(1, sequences), : max(1, letters)]
        real = ids[..., 0] > 0
        keys = self.key(functional.relu(self.hidden(self.fits(ids))))
        asked = self.asked.expand(len(x), -1, -1)
        recalled = settle(asked, keys, real, self.sharpness, updates=1)
        # A query to a repertoire without any sequence stays what it was, which says nothing of it.
        features = (recalled * real.any(-1)[:, None, None]).flatten(1)
        return features if self.head is None else self.head(features)

    def fits(self, ids: Tensor) -> Tensor:
        """Return how well each motif fits where it fits best, `(N, S, H)`, from letter ids `(N, S, L)`."""
        wide = functional.pad(ids, (0, self.length - 1))
        found: Tensor = self.bias
        for at in range(self.length):
            found = found + functional.embedding(wide[..., at : at + ids.shape[-1]], self.table[at])
        # A motif begins at a letter; what it fits worse than nothing counts for nothing.
        return (functional.relu(found) * (ids > 0)[..., None]).amax(2)
