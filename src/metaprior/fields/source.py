"""Scenes as tasks: what a ray of a described scene sees.

Axis letters: T tasks, N support rays, Q query rays, G scenes, V views, P pixels of a view or points of a scene,
L tokens, D text features.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from metaprior.data import cached
from metaprior.errors import DataError, UnknownNameError, check_positive
from metaprior.fields.cameras import Cameras, Convention
from metaprior.fields.known import Known, Part, of_posed, of_rendered, pixels_of, rays_of
from metaprior.fields.open import content_of, find_scene
from metaprior.fields.scenes.analytic import AnalyticScene
from metaprior.fields.scenes.fitted import FieldScene
from metaprior.fields.scenes.grammar import COLOURS, MATERIALS, RELATIONS, SHAPES, Thing, draw
from metaprior.fields.scenes.meshes import MeshScene
from metaprior.fields.scenes.posed import PosedScene
from metaprior.fields.text import ENCODER, Text, encode, features_of, words_of
from metaprior.fields.views import Views
from metaprior.registry import sources
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.source import Split, TaskSource

__all__ = ["Scenes"]

Teaches = Literal["pictures", "points"]
_TEACHES = ("pictures", "points")
_TENTH = 10
_POINTS, _LEAST_POINTS, _ALL_POINTS = 8192, 2048, 2**22
"""P, unless there are so many scenes that they would have more in all; and the least P then."""
_DRAWN = "4"
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
        scenes: to take instead of the above: prompts, mesh files, "kenney:NAME", fields or runs of `metaprior fit`, and
            posed pictures (`transforms.json`, `.npz`, or a folder of them), of which the middle square is taken. The
            name of a file, or of the folder of posed pictures, is its prompt; fields know theirs. Each fourth is held
            out if `held_out` is not 0.
        unseen: those of `scenes` to hold out instead of each fourth, whatever `held_out` is.
        drawn: how many prompts of one to `things` things to draw from those shapes, colours and materials, and all
            relations, instead of the above; each tenth is held out if `held_out` is not 0.
        things: the most things of a drawn prompt.
        teaches: what training tasks are of: "pictures", or "points", which are the scenes themselves: steps at points,
            most of them near surfaces, with the colour and opacity of each. Points teach several times as fast, and are
            known of prompts and fields alone; `about` then says so by a part of that name.
        size: width and height of the pictures, in pixels.
        views: V, of each scene that can be rendered, of which a fifth is kept for validation and tests. Of posed
            pictures those are that they hold out themselves, or each eighth.
        supersample: squared, the rays of which each pixel is the mean.
        shots: N.
        queries: Q.
        text: the text encoder, as `metaprior.fields.text.encode` names them.
        convention: of the poses of posed pictures, "opengl" or "opencv".
        skip_bad: leave out posed pictures that are missing or whose pose does more than turn and shift.
        depth: tell besides how far training rays go before they meet something, which `HyperFields` learns as well;
            `about` then has a part of that name. Posed pictures do not know it.

    Raises:
        DataError: if a number is not positive, a scene cannot be read, two have one prompt, or all of `scenes` are held
            out.
        CheckpointError: if a field among `scenes` is damaged.
        UnknownNameError: if one of `unseen` is not among `scenes`.

    Source: the protocol of HyperFields (Babu et al. 2024, arXiv 2310.17075), section 4.1: 9 shapes x 8 colours, with 3
    colours of each shape held out. Differs: scenes are known exactly, instead of made by a diffusion model.

    Example:
        >>> source = Scenes(shapes=2, colours=2, held_out=1, size=8, views=5, queries=10)
        >>> episode = source.sample(3, torch.Generator().manual_seed(0))
        >>> episode.query.x.shape, episode.query.y.shape, source.prompts("test")
        (torch.Size([3, 10, 6]), torch.Size([3, 10, 4]), ['a red ball', 'a green box'])
    """

    def __init__(
        self,
        shapes: int = 9,
        colours: int = 8,
        materials: int = 1,
        held_out: int = 3,
        scenes: Sequence[str] = (),
        unseen: Sequence[str] = (),
        drawn: int = 0,
        things: int = 2,
        teaches: Teaches = "pictures",
        size: int = 32,
        views: int = 20,
        supersample: int = 2,
        shots: int = 64,
        queries: int = 256,
        text: str = ENCODER,
        convention: Convention = "opengl",
        skip_bad: bool = False,
        depth: bool = False,
    ):
        if depth and teaches == "points":
            raise DataError("depth: expected scenes that teach by pictures, got teaches='points'")
        self.shapes = shapes
        self.colours = colours
        self.materials = materials
        self.held_out = held_out
        self.scenes = tuple(scenes)
        self.unseen = tuple(unseen)
        self.drawn = drawn
        self.things = things
        self.teaches: Teaches = teaches
        self.size = size
        self.views = views
        self.supersample = supersample
        self.shots = shots
        self.queries = queries
        self.text = text
        self.convention: Convention = convention
        self.skip_bad = skip_bad
        self.depth = depth

    @cached_property
    def spec(self) -> TaskSpec:  # type: ignore[override]
        """Rays in, colour and opacity out, and prompts that the text encoder has read."""
        return TaskSpec("rays", (6,), 4, text=self.text, text_size=features_of(self.text))

    def prompts(self, split: Split = "train") -> list[str]:
        """Return the prompts of a split."""
        return [self._prompts[place] for place in self._places("test" if split == "test" else "train")]

    @property
    def words(self) -> set[str]:
        """The words of the prompts to learn from; where these are drawn, of all that can be drawn."""
        if not self.drawn:
            return {word for prompt in self.prompts() for word in words_of(prompt)}
        names = self._names()
        relations = RELATIONS if self.things > 1 else ()
        said = [*names["shapes"], *names["colours"], *names["materials"][1:], *relations]
        return {"a", "an", *words_of(" ".join(said))}

    def sample(self, tasks: int, generator: torch.Generator, split: Split = "train") -> Episode:
        """Draw T scenes with replacement, and rays of each, over all views of the split; or points."""
        places = torch.tensor(self._places(split))
        chosen = places[torch.randint(len(places), (tasks,), generator=generator)]
        about = {"tokens": self._text.tokens[chosen], "mask": self._text.mask[chosen]}
        shape = (tasks, self.shots + self.queries)
        if split == "train" and self.teaches == "points":
            about["points"] = torch.ones(tasks, dtype=torch.bool)
            known = self._points
            point = torch.randint(known["x"].shape[1], shape, generator=generator)
            x, y = (known[part][chosen[:, None], point].float() for part in ("x", "y"))
        else:
            part: Part = "train" if split == "train" else "test"
            drawn = [self._known(place).drawn(part, shape[1], generator) for place in chosen.tolist()]
            x, y = torch.stack([each.rays for each in drawn]), torch.stack([each.seen for each in drawn])
            if split == "train" and self.depth:
                about["depth"] = torch.stack([each.depth for each in drawn if each.depth is not None])[:, self.shots :]
        return Episode(
            Examples(x[:, : self.shots], y[:, : self.shots]),
            Examples(x[:, self.shots :], y[:, self.shots :]),
            about=about,
        )

    def pictures(self, prompt: str, views: int = 1) -> Views:
        """Return what some of the cameras kept for tests see of a prompt of this source.

        Raises:
            UnknownNameError: if the prompt is none of this source.
        """
        if prompt not in self._prompts:
            raise UnknownNameError("prompt", prompt, self._prompts)
        return self._known(self._prompts.index(prompt)).pictures(views, prompt)

    @property
    def cameras(self) -> Cameras:
        """The V cameras of the scenes that can be rendered, the same for all of them."""
        return Cameras.on_sphere(self.views, self.size, elevations=(-20.0, 65.0))

    def _places(self, split: Split) -> list[int]:
        """Return which of all scenes belong to a split."""
        held_out = self._listed[1]
        tests = split == "test" and any(held_out)
        return [place for place, unseen in enumerate(held_out) if unseen == tests]

    @cached_property
    def _listed(self) -> tuple[list[str], list[bool]]:
        """The scenes, and whether each is held out."""
        for name in ("size", "shots", "queries", "things", "supersample"):
            check_positive(DataError, **{name: getattr(self, name)})
        if self.teaches not in _TEACHES:
            raise UnknownNameError("choice for teaches", self.teaches, _TEACHES)
        if self.views < 5:
            raise DataError(f"views: expected at least 5, of which the fifth is held out; got {self.views}")
        if self.scenes or self.unseen:
            return self._of_ones_own()
        for name, number, most in (
            ("shapes", self.shapes, len(SHAPES)),
            ("colours", self.colours, len(COLOURS)),
            ("materials", self.materials, len(MATERIALS)),
        ):
            if not 1 <= number <= most:
                raise DataError(f"{name}: expected 1 to {most}, got {number}")
        if self.drawn:
            return self._from_grammar()
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

    def _of_ones_own(self) -> tuple[list[str], list[bool]]:
        """Return the scenes that were named, and which of them are held out."""
        if not self.scenes:
            raise DataError("unseen: expected scenes to hold these out of, got none")
        for scene in self.unseen:
            if scene not in self.scenes:
                raise UnknownNameError("scene of unseen", scene, self.scenes)
        if {*self.scenes} <= {*self.unseen}:
            raise DataError(f"unseen: expected fewer than all {len(self.scenes)} scenes, got {len(self.unseen)}")
        if self.unseen:
            return list(self.scenes), [scene in self.unseen for scene in self.scenes]
        return list(self.scenes), [bool(self.held_out) and place % 4 == 3 for place in range(len(self.scenes))]

    def _names(self) -> dict[str, Sequence[str]]:
        return {
            "shapes": SHAPES[: self.shapes],
            "colours": list(COLOURS)[: self.colours],
            "materials": MATERIALS[: self.materials],
        }

    def _from_grammar(self) -> tuple[list[str], list[bool]]:
        """Draw prompts, all different; none of those held out is among the others."""
        names = self._names()
        scenes: dict[str, None] = {}
        generator = torch.Generator().manual_seed(0)
        for _ in range(_TENTH):
            scenes |= dict.fromkeys(draw(self.drawn, generator, (1, self.things), **names))
            if len(scenes) >= self.drawn:
                break
        if len(scenes) < self.drawn:
            raise DataError(f"drawn: expected at most as many prompts as there are, {len(scenes)}; got {self.drawn}")
        prompts = list(scenes)[: self.drawn]
        return prompts, [bool(self.held_out) and place % _TENTH == _TENTH - 1 for place in range(len(prompts))]

    @cached_property
    def _prompts(self) -> list[str]:
        if not self.scenes:
            return self._listed[0]
        called: dict[str, str] = {}
        for scene, name in zip(self._found, self._listed[0], strict=True):
            if scene.prompt in called:
                raise DataError(f"scenes: '{called[scene.prompt]}' and '{name}' are both called '{scene.prompt}'")
            called[scene.prompt] = name
        return list(called)

    @cached_property
    def _found(self) -> list[AnalyticScene | MeshScene | FieldScene | PosedScene]:
        """The scenes that were named, posed pictures at the size that is wanted."""
        found = (find_scene(scene, self.convention, self.skip_bad) for scene in self._listed[0])
        return [scene.squared(self.size) if isinstance(scene, PosedScene) else scene for scene in found]

    def _scene(self, place: int) -> AnalyticScene | MeshScene | FieldScene | PosedScene:
        return self._found[place] if self.scenes else AnalyticScene(self._listed[0][place])

    @cached_property
    def _text(self) -> Text:
        return encode(self._prompts, self.text)

    @cached_property
    def _rays(self) -> Tensor:
        """Origins and directions of the rays of the cameras, `(V, P, 6)`."""
        return rays_of(self.cameras)

    @cached_property
    def _all_known(self) -> dict[int, Known]:
        """What is known of the scenes that were asked for."""
        return {}

    def _known(self, place: int) -> Known:
        """Return what is known of a scene."""
        if place not in self._all_known:
            self._all_known[place] = self._look(place)
        return self._all_known[place]

    def _look(self, place: int) -> Known:
        name, scene = self._listed[0][place], self._scene(place)
        if isinstance(scene, PosedScene):
            if self.depth:
                raise DataError(f"depth: '{name}' has pictures, which do not know it")
            return of_posed(scene)
        named = "\n".join([_DRAWN, str(self.size), str(self.views), str(self.supersample), content_of(name)])
        key = hashlib.sha256(named.encode()).hexdigest()[:16]

        def drawn() -> dict[str, Tensor]:
            views = scene.views(self.cameras, self.supersample)
            if not self.depth:
                return {"picture": pixels_of(views)}
            if views.depth is None:
                raise DataError(f"depth: '{name}' does not know it")
            return {"picture": pixels_of(views), "depth": views.depth.flatten(1)}

        seen = cached(f"scene-{key}{'-depth' if self.depth else ''}", drawn)
        return of_rendered(
            self.cameras, self._rays, seen["picture"].view(self.views, -1, 4), seen["depth"] if self.depth else None
        )

    @cached_property
    def _points(self) -> dict[str, Tensor]:
        """Points with steps, "x", `(G, P, 6)`, and colour and opacity there, "y", `(G, P, 4)`, in half precision."""
        scenes = self._listed[0]
        count = min(max(_ALL_POINTS // len(scenes), _LEAST_POINTS), _POINTS)

        def sampled() -> dict[str, Tensor]:
            x, y = [], []
            for place, scene in enumerate(scenes):
                known = self._scene(place)
                if not isinstance(known, AnalyticScene | FieldScene):
                    raise DataError(f"teaches: points are known of prompts and fields alone; '{scene}' has pictures")
                points, steps, seen = known.sample(count, torch.Generator().manual_seed(place))
                x.append(torch.cat([points, steps], dim=-1).half())
                y.append(seen.half())
            return {"x": torch.stack(x), "y": torch.stack(y)}

        key = hashlib.sha256("\n".join([_DRAWN, str(count), *map(content_of, scenes)]).encode()).hexdigest()[:16]
        return cached(f"points-{key}", sampled)
