"""Which of a user's own classes or tasks are for training, for validation and for the test."""

import hashlib
import math
from collections.abc import Iterable, Sequence

from metaprior.errors import DataError
from metaprior.tasks.source import Split

__all__ = ["split_names"]


def split_names(names: Iterable[str], fractions: Sequence[float], seed: int) -> dict[Split, list[str]]:
    """Deal names out to the three splits, in an order that depends on their spelling and the seed alone.

    Args:
        names: of classes or tasks.
        fractions: of the names that are for training, validation and test. A positive fraction gets at least one name
            where there are three or more; rounding is made up for by the training split.
        seed: another one gives other splits.

    Raises:
        DataError: if the fractions are not three that add up to 1.

    Example:
        >>> {split: len(chosen) for split, chosen in split_names("abcdefghij", (0.6, 0.2, 0.2), seed=0).items()}
        {'train': 6, 'valid': 2, 'test': 2}
    """
    if len(fractions) != 3 or min(fractions) < 0 or not math.isclose(sum(fractions), 1):
        raise DataError(f"splits: expected three fractions that add up to 1, got {tuple(fractions)}")
    # A hash, not a shuffle of positions: a new class leaves the order of the others as it was.
    dealt = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    valid, test = (
        max(round(fraction * len(dealt)), int(len(dealt) >= 3)) if fraction else 0 for fraction in fractions[1:]
    )
    train = len(dealt) - valid - test if fractions[0] else 0
    ends = (train, len(dealt) - test, len(dealt))
    return {
        "train": sorted(dealt[: ends[0]]),
        "valid": sorted(dealt[ends[0] : ends[1]]),
        "test": sorted(dealt[ends[1] :]),
    }
