"""Drawing the tasks of outer steps, many steps' at once where they are small.

Axis letters: T tasks of a step.
"""

from typing import Any

import torch

from metaprior.tasks.episode import Episode
from metaprior.tasks.source import TaskSource
from metaprior.tree import nbytes

__all__ = ["Draws"]

_BLOCK_BYTES = 2**20
"""Tasks of several steps are drawn at once as long as they take no more memory than this."""
_MOST_STEPS = 64


class Draws:
    """The tasks of one outer step after another.

    Drawing a few small tasks takes nearly as long as drawing many, since the time goes into calls rather than numbers;
    for a small network that is a tenth of a step.

    Args:
        source: of the tasks.
        tasks: T.
        generator: the only source of randomness.

    Example:
        >>> from metaprior.tasks import Sinusoid
        >>> draws = Draws(Sinusoid(), 4, torch.Generator().manual_seed(0))
        >>> draws.next().tasks, draws.next().tasks
        (4, 4)
    """

    def __init__(self, source: TaskSource, tasks: int, generator: torch.Generator):
        self.source = source
        self.tasks = tasks
        self.generator = generator
        self.steps = 1
        self.taken = 0
        self._before = generator.get_state()
        self._block: Episode | None = None

    def next(self) -> Episode:
        """Return the tasks of the next step."""
        if self._block is None or self.taken == self.steps:
            if self._block is not None:
                self.steps = min(max(_BLOCK_BYTES * self.steps // max(nbytes(self._block), 1), 1), _MOST_STEPS)
            self._draw()
            self.taken = 0
        assert self._block is not None
        first = self.taken * self.tasks
        self.taken += 1
        return self._block[first : first + self.tasks]

    def state(self) -> tuple[torch.Tensor, dict[str, Any]]:
        """Return from where `restore` goes on: the generator before the present block, and the place in it."""
        return self._before, {"steps": self.steps, "taken": self.taken}

    def restore(self, before: torch.Tensor, place: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.generator.set_state(before)
        self.steps, self.taken = place["steps"], place["taken"]
        self._block = None
        self._before = before
        if self.taken:
            self._draw()

    def _draw(self) -> None:
        self._before = self.generator.get_state()
        self._block = self.source.sample(self.steps * self.tasks, self.generator)
