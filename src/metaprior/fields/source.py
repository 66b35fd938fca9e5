"""Scenes as tasks: what a ray of a described scene sees.

Axis letters: T tasks, N support rays, Q query rays, G scenes, V views, P pixels of a view, L tokens, D text features.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from metaprior.data import cached
from metaprior.errors import DataError, check_positive
from metaprior.fields.cameras import Cameras
from metaprior.fields.open import find_scene
from metaprior.fields.scenes.grammar import COLOURS, MATERIALS, SHAPES, Thing
from metaprior.fields.text import encode
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.source import Split, TaskSource

__all__ = ["Scenes"]

_DRAWN = "1"
"""Of how scenes are drawn; to be raised when that changes, so that cached pictures are drawn anew."""


@sources.register("scenes")
class Scenes(TaskSource):
    """Tasks of saying what rays of a scene see, colour in front of black and opacity, from a prompt and a few rays.

    Inputs are rays, their origin and direction `(6,)`; targets are `(4,)`; `about` is the encoded prompt. Training and
    validation tasks are of the prompts that are seen, on different views; test tasks of the prompts that are held out.

    Args:
        shapes: how many, of the first of the grammar; every shape comes in every colour and material.
        colours: how many.
        materials: how many.
        held_out: colours of each shape and material that are held out; 0 to test seen prompts on new views.
        scenes: prompts, mesh files or "kenney:NAME" to take instead of the above; each fourth is held out if `held_out`
            is not 0.
        size: width and height of the pictures, in pixels.
        views: V, of each scene, of which a fifth is kept for validation and tests.
        shots: N.
        queries: Q.
        text: the text encoder, as `metaprior.fields.text.encode` names them.

    Raises:
        DataError: if a number is not positive, or a scene cannot be read.

    Source: the protocol of HyperFields (Babu et al. 2024, arXiv 2310.17075), section 4.1: 9 shapes x 8 colours, with 3
    colours of each shape held out. Differs: scenes are known exactly, instead of made by a diffusion model.

    Example:
        >>> source = Scenes(shapes=2, colours=2, held_out=1, size=8, views=5, queries=10)
        >>> episode = source.sample(3, torch.Generator().manual_seed(0))
        >>> episode.query.x.shape, episode.query.y.shape, source.prompts("test")
        (torch.Size([3, 10, 6]), torch.Size([3, 10, 4]), ['a red ball', 'a green box'])
    """

    spec = TaskSpec("rays", (6,), 4)

    def __init__(
        self,
        shapes: int = 9,
        colours: int = 8,
        materials: int = 1,
        held_out: int = 3,
        scenes: Sequence[str] = (),
        size: int = 32,
        views: int = 20,
        shots: int = 64,
        queries: int = 256,
        text: str = "words",
    ):
        self.shapes = shapes
        self.colours = colours
        self.materials = materials
        self.held_out = held_out
        self.scenes = tuple(scenes)
        self.size = size
        self.views = views
        self.shots = shots
        self.queries = queries
        self.text = text

    def prompts(self, split: Split = "train") -> list[str]:
        """Return the prompts of a split."""
        return [self._prompts[place] for place in self._places("test" if split == "test" else "train")]

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T scenes with replacement, and rays of each, over all views of the split."""
        places = torch.tensor(self._places(split))
        chosen = places[torch.randint(len(places), (tasks,), generator=generator)]
        views = self._views("train" if split == "train" else "test")
        pixels = self.size**2
        shape = (tasks, self.shots + self.queries)
        ray = views[torch.randint(len(views), shape, generator=generator)] * pixels
        ray = ray + torch.randint(pixels, shape, generator=generator)
        x = self._rays[ray]
        y = self._pictures[chosen[:, None], ray].float() / 255
        about = {"tokens": self._text.tokens[chosen], "mask": self._text.mask[chosen]}
        return Episode(
            Examples(x[:, : self.shots], y[:, : self.shots]),
            Examples(x[:, self.shots :], y[:, self.shots :]),
            about=about,
        )

    @property
    def cameras(self) -> Cameras:
        """The V cameras, the same for every scene."""
        return Cameras.on_sphere(self.views, self.size, elevations=(-20.0, 65.0))

    def _places(self, split: Split) -> list[int]:
        """Return which of all scenes belong to a split."""
        unseen = self._unseen
        if split != "test" or not any(unseen):
            return [place for place, held_out in enumerate(unseen) if not held_out]
        return [place for place, held_out in enumerate(unseen) if held_out]

    def _views(self, part: Literal["train", "test"]) -> Tensor:
        place = torch.arange(self.views)
        return place[(place % 5 == 4) == (part == "test")]

    @cached_property
    def _listed(self) -> tuple[list[str], list[bool]]:
        """The scenes, and whether each is held out."""
        check_positive(DataError, size=self.size, shots=self.shots, queries=self.queries)
        if self.views < 5:
            raise DataError(f"views: expected at least 5, of which the fifth is held out; got {self.views}")
        if self.scenes:
            return list(self.scenes), [bool(self.held_out) and place % 4 == 3 for place in range(len(self.scenes))]
        for name, number, most in (
            ("shapes", self.shapes, len(SHAPES)),
            ("colours", self.colours, len(COLOURS)),
            ("materials", self.materials, len(MATERIALS)),
        ):
            if not 1 <= number <= most:
                raise DataError(f"{name}: expected 1 to {most}, got {number}")
        if not 0 <= self.held_out < self.colours:
            raise DataError(f"held_out: expected 0 to {self.colours - 1}, fewer than colours; got {self.held_out}")
        scenes, unseen = [], []
        for row, (shape, material) in enumerate(
            (s, m) for s in SHAPES[: self.shapes] for m in MATERIALS[: self.materials]
        ):
            for column, colour in enumerate(list(COLOURS)[: self.colours]):
                scenes.append(str(Thing(shape, colour, material)))
                unseen.append((column - self.held_out * row) % self.colours < self.held_out)
        return scenes, unseen

    @property
    def _unseen(self) -> list[bool]:
        return self._listed[1]

    @cached_property
    def _prompts(self) -> list[str]:
        return [find_scene(scene).prompt for scene in self._listed[0]] if self.scenes else self._listed[0]

    @cached_property
    def _text(self) -> Any:
        return encode(self._prompts, self.text)

    @cached_property
    def _rays(self) -> Tensor:
        """Origins and directions of the rays of all views, `(V * P, 6)`."""
        return torch.cat(list(self.cameras.rays()), dim=-1).flatten(0, 1)

    @cached_property
    def _pictures(self) -> Tensor:
        """Colour and opacity along all rays, `(G, V * P, 4)`, uint8."""

        def drawn(scene: str) -> Tensor:
            views = find_scene(scene).views(self.cameras)
            seen = torch.cat([views.colour, views.opacity[..., None]], dim=-1)
            return (seen * 255).round().to(torch.uint8).flatten(0, 2)

        named = "\n".join([_DRAWN, str(self.size), str(self.views), *self._listed[0]])
        key = hashlib.sha256(named.encode()).hexdigest()[:16]
        return cached(f"scenes-{key}", lambda: {"pictures": torch.stack([drawn(scene) for scene in self._listed[0]])})[
            "pictures"
        ]
