"""Tasks whose support sets are spoilt: does a prior lean on the few examples too hard?

Axis letters: T tasks, N support, C classes.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import DataError
from metaprior.tasks.episode import Episode, TaskSpec
from metaprior.tasks.source import Split, TaskSource

__all__ = ["Corrupted"]


class Corrupted(TaskSource):
    """The tasks of another source, with the support sets spoilt and the queries left clean.

    Args:
        source: of the tasks.
        noise: the standard deviation of normal noise that is added to every input.
        wrong_labels: the probability that a support example has the label of another class of its task.
        rotation: images are turned about their centre, each by an angle of up to so many degrees to either side.

    Example:
        >>> from metaprior.tasks import Sinusoid
        >>> clean, spoilt = (s.test_set(3).episodes[0] for s in (Sinusoid(), Corrupted(Sinusoid(), noise=0.1)))
        >>> torch.equal(clean.query.x, spoilt.query.x), torch.equal(clean.support.x, spoilt.support.x)
        (True, False)
    """

    def __init__(self, source: TaskSource, noise: float = 0.0, wrong_labels: float = 0.0, rotation: float = 0.0):
        if noise < 0 or rotation < 0 or not 0 <= wrong_labels <= 1:
            raise DataError(
                "noise, wrong_labels, rotation: expected 0 or more, and a probability for wrong_labels; "
                f"got {noise}, {wrong_labels} and {rotation}"
            )
        if wrong_labels and source.spec.kind != "classification":
            raise DataError(f"wrong_labels: expected classification tasks, got {type(source).__name__}")
        if rotation and not source.spec.is_image:
            raise DataError(f"rotation: expected images, got inputs of shape {source.spec.x_shape}")
        self.source = source
        self.noise = noise
        self.wrong_labels = wrong_labels
        self.rotation = rotation

    def with_shots(self, shots: int) -> "Corrupted":
        """Return the same spoilt tasks with another number of support examples."""
        return Corrupted(self.source.with_shots(shots), self.noise, self.wrong_labels, self.rotation)

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """What the tasks of the source have in common."""
        return self.source.spec

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T tasks of the source, the same as it would draw from a copy of the generator, and spoil them.

        The generator that spoils is another one, so that the number of spoils changes no later task.
        """
        episode = self.source.sample(tasks, generator, split)
        if not isinstance(episode, Episode):
            raise DataError(f"source: expected one of episodes, got {type(self.source).__name__}")
        random = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=_copy(generator))))
        x, y = episode.support.x, episode.support.y
        if self.rotation:
            x = _turned(x, self.rotation, random)
        if self.noise:
            x = x + self.noise * torch.randn(x.shape, generator=random)
        if self.wrong_labels:
            assert y is not None
            assert episode.ways is not None
            wrong = torch.rand(y.shape, generator=random) < self.wrong_labels
            ways = episode.ways[:, None].clamp(min=2)
            shift = 1 + (torch.rand(y.shape, generator=random) * (ways - 1)).long()
            y = torch.where(wrong, (y + shift) % ways, y)
        return replace(episode, support=replace(episode.support, x=x, y=y))


def _copy(generator: torch.Generator) -> torch.Generator:
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def _turned(images: Tensor, most: float, random: torch.Generator) -> Tensor:
    """Turn each of `(T, N, channels, height, width)` by an angle of its own; what comes into view is black."""
    flat = images.flatten(0, 1)
    angles = (2 * torch.rand(len(flat), generator=random) - 1) * math.radians(most)
    cosines, sines, zeros = angles.cos(), angles.sin(), torch.zeros(len(flat))
    # Places go from -1 to 1 along either side, whatever its length.
    wide = images.shape[-1] / images.shape[-2]
    turns = torch.stack([cosines, -sines / wide, zeros, sines * wide, cosines, zeros], dim=1).view(-1, 2, 3)
    places = functional.affine_grid(turns, list(flat.shape), align_corners=False)
    return functional.grid_sample(flat, places, align_corners=False).view(images.shape)
