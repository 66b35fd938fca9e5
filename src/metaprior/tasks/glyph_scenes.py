"""Scenes of printed characters, some of which are to be found: segmentation tasks without end.

Axis letters: T tasks, N scenes of a task, B scenes, K characters of a scene, L lines, S pixels of a side.
"""

import math
from functools import cached_property

import torch
from torch import Tensor

from metaprior.errors import DataError, check_positive
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.glyphs import Glyphs
from metaprior.tasks.source import Split, TaskSource
from metaprior.tasks.strokes import draw_lines

__all__ = ["GlyphScenes"]

_INK = 0.3
"""Where a character is so dark, its mask is; strokes are hardly wider than a pixel."""


@sources.register("glyph_scenes")
class GlyphScenes(TaskSource):
    """Tasks of finding characters in scenes, in which they stand among others on a cluttered, noisy ground.

    A task is some characters to be found and some to be left alone; all of them are in each of its scenes, elsewhere
    and in another face each time. Which is which nothing but a mask can tell. The characters of the splits are those
    of `Glyphs`: they have no script in common.

    Args:
        shots: support scenes.
        queries: query scenes.
        ways: characters to be found, each a class of its own; the ground, and all else on it, is class 0.
        distractors: characters to be left alone.
        size: S.
        glyph: height and width of a character in pixels; None for nearly what there is room for.
        clutter: lines that are drawn over a scene.
        noise: the standard deviation of the noise; ink is at most 1.
        train_characters: how many characters there are to train on; None for all. Few characters make few tasks, from
            which a memory learns sooner what masks are for.

    Example:
        >>> episode = GlyphScenes(shots=3).sample(2, torch.Generator().manual_seed(0))
        >>> episode.support.x.shape, episode.support.y.shape
        (torch.Size([2, 3, 1, 32, 32]), torch.Size([2, 3, 32, 32]))
    """

    def __init__(
        self,
        shots: int = 5,
        queries: int = 5,
        ways: int = 1,
        distractors: int = 2,
        size: int = 32,
        glyph: int | None = None,
        clutter: int = 3,
        noise: float = 0.1,
        train_characters: int | None = None,
    ):
        check_positive(DataError, shots=shots, queries=queries, ways=ways, size=size, glyph=glyph)
        if train_characters is not None and train_characters < ways + distractors:
            raise DataError(
                f"train_characters: expected at least {ways + distractors}, as a task has, got {train_characters}"
            )
        if min(distractors, clutter, noise) < 0:
            raise DataError(
                f"distractors, clutter, noise: expected 0 or more, got {distractors}, {clutter} and {noise}"
            )
        self.shots = shots
        self.queries = queries
        self.ways = ways
        self.distractors = distractors
        self.size = size
        self.glyph = glyph
        self.clutter = clutter
        self.noise = noise
        self.train_characters = train_characters
        if not 8 <= self._side <= self._room:
            raise DataError(
                f"glyph: expected 8 to {self._room} pixels, the room of each of {ways + distractors} characters in a "
                f"scene of {size} x {size}, got {self._side}"
            )

    @property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Grey scenes, with a class for the ground beside those of the characters."""
        return TaskSpec("segmentation", (1, self.size, self.size), self.ways + 1)

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T tasks: their characters, then for each scene an image and a place of each, then all that disturbs."""
        margin = (self._glyphs.size - self._side) // 2
        inner = slice(margin, margin + self._side)
        pool = self._glyphs.resident(split).images[:, :, 0, inner, inner]
        if split == "train" and self.train_characters is not None:
            # Spread over the scripts.
            pool = pool[torch.linspace(0, len(pool) - 1, self.train_characters).long()]
        scenes, most = self.shots + self.queries, self.ways + self.distractors
        characters = torch.rand(tasks, len(pool), generator=generator).topk(most).indices
        image = torch.randint(pool.shape[1], (tasks, scenes, most), generator=generator)
        ink = pool[characters[:, None], image].flatten(0, 1).float().div_(255)
        x, y = self._scenes(ink, generator)
        x, y = x.view(tasks, scenes, 1, self.size, self.size), y.view(tasks, scenes, self.size, self.size)
        support, query = slice(self.shots), slice(self.shots, None)
        return Episode(Examples(x[:, support], y[:, support]), Examples(x[:, query], y[:, query]))

    def _scenes(self, ink: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return scenes and masks, both `(B, S, S)`, of the images of characters `(B, K, G, G)`."""
        count, most = ink.shape[:2]
        columns = math.isqrt(most - 1) + 1
        # Each stands somewhere in a room of its own, so that none hides another.
        rooms = torch.rand(count, columns**2, generator=random).argsort(1)[:, :most]
        slack = torch.rand(2, count, most, generator=random) * (self._room - self._side + 1)
        corners = torch.stack([rooms // columns, rooms % columns]) * self._room + slack.long()
        along = torch.arange(self._side)
        rows, across = (corner[..., None] + along for corner in corners)
        places = (rows[..., :, None] * self.size + across[..., None, :]).flatten(1)

        bright = 0.5 + 0.5 * torch.rand(count, most, 1, 1, generator=random)
        x = torch.zeros(count, self.size**2).scatter_(1, places, (ink * bright).flatten(1))
        classes = torch.arange(1, most + 1).where(torch.arange(most) < self.ways, 0).view(-1, 1, 1)
        y = torch.zeros(count, self.size**2, dtype=torch.long).scatter_(1, places, (classes * (ink > _INK)).flatten(1))
        if self.clutter:
            ends = torch.rand(count, self.clutter, 2, 2, generator=random)
            faint = 0.5 * torch.rand(count, self.clutter, 1, 1, generator=random)
            lines = (draw_lines(ends, self.size, 0.5 / self.size) * faint).amax(1)
            x = torch.maximum(x, lines.flatten(1))
        x = (x + self.noise * torch.randn(x.shape, generator=random)).clamp_(0, 1)
        return x.view(count, self.size, self.size), y.view(count, self.size, self.size)

    @property
    def _room(self) -> int:
        """The side of the part of a scene that is one character's own."""
        return self.size // (math.isqrt(self.ways + self.distractors - 1) + 1)

    @property
    def _side(self) -> int:
        return max(self._room * 7 // 8, 8) if self.glyph is None else self.glyph

    @cached_property
    def _glyphs(self) -> Glyphs:
        return Glyphs(ways=self.ways + self.distractors, shots=1, queries=1, size=round(1.2 * self._side))
