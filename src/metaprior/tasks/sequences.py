"""Sequences of tasks, to be learned one after the other: does a learner keep what it learned first?

Axis letters: N support, Q query.
"""

import torch

from metaprior.errors import DataError, check_positive, missing
from metaprior.tasks.episode import Episode, Examples
from metaprior.tasks.glyphs import Glyphs
from metaprior.tree import map_tensors

__all__ = ["permuted_glyphs", "split_digits"]


def split_digits() -> list[Episode]:
    """Return five tasks of two handwritten digits each: 0 and 1, 2 and 3, and so on; classes are even and odd.

    Every fifth image of 8 x 8 pixels, as a vector `(64,)` from 0 to 1, is a query. All tasks have the same two classes,
    so that a learner may be told which task it faces, or not.

    Raises:
        MetapriorError: if scikit-learn, which carries the images, is not installed.

    Source: the images of Alpaydin and Kaynak 1998 (UCI); the sequence of Zenke et al. 2017 (arXiv 1703.04200).

    Example:
        >>> [episode.support.size + episode.query.size for episode in split_digits()]
        [360, 360, 363, 360, 354]
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise missing("scikit-learn", "tables", "the sequence of digits") from error
    images, digits = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    episodes = []
    for first in range(0, 10, 2):
        chosen = (digits // 2 == first // 2).nonzero().flatten()
        query = torch.arange(len(chosen)) % 5 == 4
        support, queries = (
            Examples(images[part][None].float() / 16, digits[part][None] % 2)
            for part in (chosen[~query], chosen[query])
        )
        episodes.append(Episode(support, queries, ways=torch.tensor([2])))
    return episodes


def permuted_glyphs(tasks: int = 5, classes: int = 10, shots: int = 10, seed: int = 0) -> list[Episode]:
    """Return tasks of telling the same characters apart, each with the pixels in an order of its own.

    The first has them in the usual order. Images are vectors `(784,)` from 0 to 1.

    Args:
        tasks: how many.
        classes: characters.
        shots: support images of a character; as many as are left of 20 are its queries.
        seed: of the characters, images and orders.

    Source: the sequence of Goodfellow et al. 2014 (arXiv 1312.6211), with printed characters for handwritten digits.

    Example:
        >>> [tuple(episode.query.x.shape) for episode in permuted_glyphs(tasks=2, classes=3, shots=15)]
        [(1, 15, 784), (1, 15, 784)]
    """
    check_positive(DataError, tasks=tasks, classes=classes, shots=shots)
    if shots > 19:
        raise DataError(f"shots: expected at most 19, since a character has 20 images, got {shots}")
    random = torch.Generator().manual_seed(seed)
    whole = Glyphs(ways=classes, shots=shots, queries=20 - shots).sample(1, random)
    episodes = []
    for task in range(tasks):
        order = torch.randperm(784, generator=random) if task else torch.arange(784)
        episodes.append(
            map_tensors(lambda leaf, order=order: leaf.flatten(2)[..., order] if leaf.ndim == 5 else leaf, whole)
        )
    return episodes
