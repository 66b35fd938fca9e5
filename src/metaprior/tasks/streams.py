"""Where streams come from: sources of their own, or the tasks of any other source, an example at a time.

Axis letters: T streams, S steps, C classes.
"""

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tasks.source import Split, TaskSource
from metaprior.tasks.stream import Stream
from metaprior.tree import map_tensors

__all__ = ["StreamSource", "Streams"]


class StreamSource(TaskSource):
    """A distribution of streams, each label right after its prediction; `Streams` makes labels of them late."""

    @abstractmethod
    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Stream:  # type: ignore[override]
        """Draw T streams; see `TaskSource.sample`."""


class Streams(StreamSource):
    """The support sets of another source as streams, shuffled unless their order means something; or streams.

    With `shots` images of each of `ways` characters, this is the protocol of Santoro et al. 2016 (arXiv 1605.06065):
    each label comes with the image after its own, and a class can be known from its second presentation on.

    Args:
        source: of tasks, whose queries are not used, or of streams.
        delay: after how many steps a label arrives.
        steps: S, to end a stream before its classes are used up, lest the last labels be known by counting; None for
            all examples.
        latest: the delay of each label is drawn at random, from `delay` to `latest`; None for `delay` always.
        never: the probability that a label never arrives.

    Example:
        >>> from metaprior.tasks import Glyphs
        >>> streams = Streams(Glyphs(ways=3, shots=4, queries=1), delay=2)
        >>> stream = streams.sample(5, torch.Generator().manual_seed(0))
        >>> stream.examples.x.shape, stream.examples.y[0].bincount()
        (torch.Size([5, 12, 1, 28, 28]), tensor([4, 4, 4]))
    """

    def __init__(
        self,
        source: TaskSource,
        delay: int = 1,
        steps: int | None = None,
        latest: int | None = None,
        never: float = 0.0,
    ):
        check_positive(DataError, delay=delay, steps=steps)
        if latest is not None and latest < delay:
            raise DataError(f"latest: expected a delay of at least {delay}, the shortest, got {latest}")
        if not 0 <= never <= 1:
            raise DataError(f"never: expected a probability, got {never}")
        self.source = source
        self.delay = delay
        self.steps = steps
        self.latest = latest
        self.never = never

    def with_shots(self, shots: int) -> "Streams":
        """Return the same streams with another number of examples of each class."""
        return Streams(self.source.with_shots(shots), self.delay, self.steps, self.latest, self.never)

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """What the tasks of the source have in common."""
        return self.source.spec

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Stream:  # type: ignore[override]
        """Draw T streams: tasks of the source, then an order of each one's support, then delays."""
        task = self.source.sample(tasks, generator, split)
        examples = task.examples if isinstance(task, Stream) else task.support
        if self.steps is not None and self.steps > examples.size:
            raise DataError(
                f"steps (--length): expected at most the {examples.size} examples of a task, got {self.steps}; "
                "None takes all of them"
            )
        if isinstance(task, Stream):
            begun = examples.take(slice(self.steps))
            shifts = None if task.shifts is None else task.shifts[:, : self.steps]
            return Stream(begun, self._delays(begun, generator), shifts, task.unknown)
        fewer = task.ways is not None and bool((task.ways < self.spec.outputs).any())
        return replace(self._arranged(examples, generator), ways=task.ways if fewer else None)

    def _arranged(self, support: Examples, generator: torch.Generator) -> Stream:
        tasks = support.tasks
        random = torch.rand(tasks, support.size, generator=generator)
        if self.source.ordered:
            random = torch.linspace(0, 1, support.size).expand(tasks, -1)
        # Padding goes to the end.
        order = random.masked_fill(~support.real, 2.0).argsort(dim=1)[:, : self.steps]
        rows = torch.arange(tasks)[:, None]
        shuffled = map_tensors(lambda leaf: leaf[rows, order], support)
        if shuffled.mask is not None and bool(shuffled.mask.all()):
            shuffled = replace(shuffled, mask=None)
        return Stream(shuffled, self._delays(shuffled, generator))

    def _delays(self, examples: Examples, generator: torch.Generator) -> int | Tensor:
        if self.latest is None and not self.never:
            return self.delay
        shape = (examples.tasks, examples.size)
        if (longest := self.latest or self.delay) > examples.size:
            raise DataError(f"latest: expected a delay of at most the {examples.size} steps of a stream, got {longest}")
        delays = torch.randint(self.delay, (self.latest or self.delay) + 1, shape, generator=generator)
        return delays.masked_fill(torch.rand(shape, generator=generator) < self.never, 0)
