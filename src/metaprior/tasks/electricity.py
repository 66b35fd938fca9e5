"""The price of electricity: a real stream whose concept drifts, cut into windows.

Axis letters: T streams, S steps, R rows of a split, F features.
"""

import csv
import gzip
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from metaprior import data
from metaprior.errors import DataError, check_positive
from metaprior.registry import sources
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tasks.source import Split
from metaprior.tasks.stream import Stream
from metaprior.tasks.streams import StreamSource

__all__ = ["Electricity"]

_SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@sources.register("electricity")
class Electricity(StreamSource):
    """Say every half hour whether electricity in New South Wales costs more than on average over the last day.

    There are 45,312 rows, from May 1996 to December 1998. The first are for training, those after them for validation,
    the last for the test. A stream is a window of consecutive rows of one split, so that no window of one split has a
    row of another. Features are the time of day, price and demand in New South Wales and Victoria, and the transfer
    between them, standardised by the training rows. Class 1 is a rise.

    Each label says little that the one before it did not: who repeats the last label is right in 85 % of the steps.

    Args:
        length: S, rows of a window; None for all rows of a split as one long stream.
        fractions: of the rows that are for training, validation and the test.
        limit: features further from the mean than so many standard deviations are put there; prices are heavy-tailed.
        flip: the probability that the two labels of a training stream are exchanged, so that which is which must be
            learned within the stream.
        jitter: how much the features of a training stream are scaled and shifted, each feature by numbers of its own:
            the standard deviation of the logarithm of its scale and of its shift.
        permute: give the features of each training stream an order of its own.

    Source: Harries 1999, "Splice-2 comparative evaluation: electricity pricing"; drift as studied since Gama et al.
    2004, "Learning with drift detection". The copy is CapyMOA's, without the columns for date and day of the week.

    Example:
        >>> stream = Electricity(length=96).sample(4, torch.Generator().manual_seed(0))
        >>> stream.examples.x.shape, stream.examples.y.shape
        (torch.Size([4, 96, 6]), torch.Size([4, 96]))
    """

    spec = TaskSpec("classification", (6,), 2)
    columns = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
    """The features, in their order."""

    def __init__(
        self,
        length: int | None = 336,
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        limit: float = 5.0,
        flip: float = 0.0,
        jitter: float = 0.0,
        permute: bool = False,
    ):
        check_positive(DataError, length=length, limit=limit)
        if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
            raise DataError(f"fractions: expected three positive ones that add up to 1, got {tuple(fractions)}")
        if not 0 <= flip <= 1:
            raise DataError(f"flip: expected a probability, got {flip}")
        if jitter < 0:
            raise DataError(f"jitter: expected a standard deviation of 0 or more, got {jitter}")
        self.length = length
        self.fractions = tuple(fractions)
        self.limit = limit
        self.flip = flip
        self.jitter = jitter
        self.permute = permute

    def rows(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return the rows of a split in the order of time: features `(R, F)`, standardised, and class ids `(R,)`."""
        return self._rows[split]

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Stream:  # type: ignore[override]
        """Draw T windows; with `length=None` they are all the same rows, from the first to the last.

        Raises:
            DataError: if a split has fewer rows than a window.
        """
        x, y = self.rows(split)
        length = len(x) if self.length is None else self.length
        if length > len(x):
            raise DataError(f"length: expected at most {len(x)}, the rows of the {split} split, got {length}")
        first = torch.randint(len(x) - length + 1, (tasks, 1), generator=generator)
        chosen = first + torch.arange(length)
        stream_x, stream_y = x[chosen], y[chosen]
        if split == "train":
            stream_x, stream_y = self._disguised(stream_x, stream_y, generator)
        return Stream(Examples(stream_x, stream_y))

    def _disguised(self, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        tasks, features = len(x), x.shape[-1]
        if self.flip:
            y = torch.where(torch.rand(tasks, 1, generator=generator) < self.flip, 1 - y, y)
        if self.jitter:
            scale, shift = self.jitter * torch.randn(2, tasks, 1, features, generator=generator)
            x = x * scale.exp() + shift
        if self.permute:
            order = torch.rand(tasks, 1, features, generator=generator).argsort(-1)
            x = x.gather(2, order.expand_as(x))
        return x, y

    @cached_property
    def _rows(self) -> dict[Split, tuple[Tensor, Tensor]]:
        x, y = _read(data.need("streams", "electricity.csv", "electricity.csv.gz"))
        train, valid, _ = (round(fraction * len(x)) for fraction in self.fractions)
        mean, scale = x[:train].mean(0), x[:train].std(0)
        standard = ((x - mean) / scale).clamp(-self.limit, self.limit).float()
        sizes = [train, valid, len(x) - train - valid]
        return dict(zip(_SPLITS, zip(standard.split(sizes), y.split(sizes), strict=True), strict=True))


def _read(path: Path) -> tuple[Tensor, Tensor]:
    """Read features, in double precision, and class ids from the CSV, compressed or not."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    expected = [*Electricity.columns, "class"]
    if header != expected:
        raise DataError(f"{path}: expected the columns {', '.join(expected)}; got {', '.join(header)}")
    numbers = torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)
    return numbers[:, :-1], numbers[:, -1].long()
