"""Strokes: characters of a few straight lines, drawn on the spot, as small as characters can be.

Axis letters: G characters, M images of a character, L lines, S pixels of a side.
"""

import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.registry import sources
from metaprior.tasks.source import ClassPool, ClassSource, Split

__all__ = ["Strokes", "draw_lines"]

_LINES = 4
_CLASSES = {"valid": 50, "test": 100}
_WIDTH = 0.06


@sources.register("strokes")
class Strokes(ClassSource):
    """Tasks of telling apart characters of 2 to 4 lines each, whose ends are jittered from image to image.

    Nothing is read or downloaded. Few training characters make few tasks, from which a memory learns sooner what labels
    are for; 50 others are for validation and 100 for the test.

    Args:
        ways: classes of a task, or the least and most of them.
        shots: support images of a class, or the least and most of them.
        queries: query images of a class.
        train_classes: how many characters there are to train on.
        images: M, how many there are of each character.
        jitter: the standard deviation of where a line ends, in sides of the image.
        size: height and width in pixels.
        seed: of the characters.

    Example:
        >>> Strokes(ways=3, shots=2).sample(4, torch.Generator().manual_seed(0)).support.x.shape
        torch.Size([4, 6, 1, 10, 10])
    """

    def __init__(
        self,
        ways: int | tuple[int, int] = 5,
        shots: int | tuple[int, int] = 1,
        queries: int = 5,
        train_classes: int = 20,
        images: int = 20,
        jitter: float = 0.02,
        size: int = 10,
        seed: int = 0,
    ):
        check_positive(DataError, train_classes=train_classes, images=images, size=size)
        self.ways = ways
        self.shots = shots
        self.queries = queries
        self.train_classes = train_classes
        self.images = images
        self.jitter = jitter
        self.size = size
        self.seed = seed

    def pool(self, split: Split) -> ClassPool:
        """Draw the characters of a split."""
        offset = {"train": 0, "valid": 1, "test": 2}[split]
        random = torch.Generator().manual_seed(3 * self.seed + offset)
        classes = _CLASSES.get(split, self.train_classes)
        ends = torch.rand(classes, 1, _LINES, 2, 2, generator=random) * 0.8 + 0.1
        there = torch.arange(_LINES) < torch.randint(2, _LINES + 1, (classes, 1, 1), generator=random)
        jittered = ends + self.jitter * torch.randn(classes, self.images, _LINES, 2, 2, generator=random)
        ink = draw_lines(jittered, self.size, _WIDTH).masked_fill(~there[..., None, None], 0).amax(2)
        return ClassPool.full((255 * ink).round().to(torch.uint8)[:, :, None])


def draw_lines(ends: Tensor, size: int, width: float) -> Tensor:
    """Draw each line in an image of its own.

    Args:
        ends: `(..., 2, 2)`, the row and column of both, in sides of the image.
        size: S.
        width: of a line, as the standard deviation of its profile, in sides of the image.

    Returns:
        `(..., S, S)`, from 0 to 1.

    Example:
        >>> draw_lines(torch.tensor([[0.5, 0.0], [0.5, 1.0]]), size=3, width=0.1)[:, 0].round()
        tensor([0., 1., 0.])
    """
    centres = (torch.arange(size) + 0.5) / size
    places = torch.stack(torch.meshgrid(centres, centres, indexing="ij"), dim=-1)
    begin, way = ends[..., 0, :], ends[..., 1, :] - ends[..., 0, :]
    begin, way = begin[..., None, None, :], way[..., None, None, :]
    along = (((places - begin) * way).sum(-1) / way.square().sum(-1).clamp(min=1e-6)).clamp(0, 1)
    distance = (places - begin - along[..., None] * way).square().sum(-1)
    return torch.exp(-distance / (2 * width**2))
