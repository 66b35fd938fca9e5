"""The words of scenes: prompts such as "a shiny red torus on a blue box", parsed, written, listed and drawn.

Every prompt names one description, and every description is written as one prompt.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from metaprior.errors import DataError, UnknownNameError, check_positive

__all__ = [
    "COLOURS",
    "MATERIALS",
    "RELATIONS",
    "SHAPES",
    "Description",
    "Thing",
    "draw",
    "every",
    "held_out",
    "parse",
    "synonym",
]

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.10, 0.10),
    "green": (0.12, 0.60, 0.18),
    "blue": (0.12, 0.25, 0.85),
    "yellow": (0.95, 0.82, 0.12),
    "purple": (0.50, 0.15, 0.70),
    "orange": (0.95, 0.45, 0.05),
    "cyan": (0.10, 0.75, 0.80),
    "pink": (0.95, 0.50, 0.70),
    "white": (0.93, 0.93, 0.93),
    "brown": (0.42, 0.25, 0.12),
    "grey": (0.45, 0.45, 0.47),
    "black": (0.08, 0.08, 0.09),
}
"""Colours by name."""
SHAPES = (
    "ball",
    "box",
    "torus",
    "cone",
    "cylinder",
    "pyramid",
    "star",
    "mug",
    "chair",
    "table",
    "bowl",
    "heart",
    "capsule",
    "octahedron",
    "cross",
)
"""The names of shapes."""
MATERIALS = ("matte", "glossy", "iridescent", "striped", "checkered")
"""The names of materials; the first need not be said."""
RELATIONS = ("on", "above", "left of", "right of", "in front of", "behind")
"""How a thing lies to the one that is named after it, as seen from the front."""
_SYNONYMS = {
    "sphere": "ball",
    "cube": "box",
    "block": "box",
    "ring": "torus",
    "donut": "torus",
    "doughnut": "torus",
    "tube": "cylinder",
    "cup": "mug",
    "pill": "capsule",
    "diamond": "octahedron",
    "shiny": "glossy",
    "polished": "glossy",
    "plain": "matte",
    "dull": "matte",
    "stripy": "striped",
    "chequered": "checkered",
    "checked": "checkered",
    "violet": "purple",
    "turquoise": "cyan",
    "gray": "grey",
    "and": "left of",
    "upon": "on",
    "over": "above",
}
_ARTICLES = ("a", "an", "the", "one")
_FILLERS = ("to", "is", "standing", "lying", "sitting", "placed", "coloured", "colored", "top")
_MOST_THINGS = 3


@dataclass(frozen=True)
class Thing:
    """One object.

    Args:
        shape: one of `SHAPES`.
        colour: one of `COLOURS`.
        material: one of `MATERIALS`.
    """

    shape: str
    colour: str
    material: str = "matte"

    def __post_init__(self) -> None:
        for what, known in (("shape", SHAPES), ("colour", COLOURS), ("material", MATERIALS)):
            if getattr(self, what) not in known:
                raise UnknownNameError(what, getattr(self, what), known)

    def __str__(self) -> str:
        words = [self.colour, self.shape] if self.material == "matte" else [self.material, self.colour, self.shape]
        return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


@dataclass(frozen=True)
class Description:
    """One to three things, and how each lies to the next.

    Args:
        things: in the order of the prompt.
        relations: of each thing to the one named after it.

    Example:
        >>> print(Description((Thing("torus", "red", "glossy"), Thing("box", "blue")), ("on",)))
        a glossy red torus on a blue box
    """

    things: tuple[Thing, ...]
    relations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.things) <= _MOST_THINGS or len(self.relations) != len(self.things) - 1:
            raise DataError(
                f"things: expected 1 to {_MOST_THINGS}, with a relation between each two; "
                f"got {len(self.things)} with {len(self.relations)}"
            )
        for relation in self.relations:
            if relation not in RELATIONS:
                raise UnknownNameError("relation", relation, RELATIONS)

    def __str__(self) -> str:
        parts = [str(self.things[0])]
        for relation, thing in zip(self.relations, self.things[1:], strict=True):
            parts += [relation, str(thing)]
        return " ".join(parts)


def parse(prompt: str) -> Description:
    """Return what a prompt describes.

    Args:
        prompt: for each thing a colour, a shape and perhaps a material, with relations between them.

    Raises:
        DataError: if the prompt is empty, has a word that is not known, or does not name a thing by colour and shape.

    Example:
        >>> print(parse("the shiny red donut on a blue cube"))
        a glossy red torus on a blue box
    """
    words = re.findall(r"[a-z]+", prompt.lower())
    if not words:
        raise DataError("prompt: expected words such as 'a red torus on a blue box', got none")
    unknown = [word for word in words if word not in _KNOWN]
    if unknown:
        near = difflib.get_close_matches(unknown[0], _MEANINGFUL, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known shapes: {', '.join(SHAPES)}"
        raise DataError(f"prompt: unknown word '{unknown[0]}' in '{prompt}': {hint}")
    # Words of a relation in a row become one; an "of" that follows none is the "of" of "on top of".
    said = " ".join(_SYNONYMS.get(word, word) for word in words if word not in (*_ARTICLES, *_FILLERS))
    pieces = re.split(rf"\b({'|'.join(sorted(RELATIONS, key=len, reverse=True))})\b", said)
    things = tuple(_thing(piece.split(), prompt) for piece in pieces[::2])
    return Description(things, tuple(pieces[1::2]))


def _thing(words: list[str], prompt: str) -> Thing:
    found: dict[str, str] = {}
    for word in words:
        kinds = {"shape": SHAPES, "colour": COLOURS, "material": MATERIALS}
        kind = next((kind for kind, known in kinds.items() if word in known), None)
        if kind is None and word in ("of", "the"):
            continue
        if kind is None or kind in found:
            raise DataError(f"prompt: '{word}' is out of place in '{prompt}'; expected 'a MATERIAL COLOUR SHAPE'")
        found[kind] = word
    for kind, example in (("shape", "torus"), ("colour", "red")):
        if kind not in found:
            said = f"'{' '.join(words)}'" if words else "a relation with nothing beside it"
            raise DataError(f"prompt: expected a {kind}, such as '{example}', in '{prompt}'; got {said}")
    return Thing(**found)


def synonym(word: str) -> str:
    """Return the word of the grammar for another that means the same; any other word stays as it is.

    Example:
        >>> synonym("shiny"), synonym("teapot")
        ('glossy', 'teapot')
    """
    return _SYNONYMS.get(word, word)


def every(
    shapes: Sequence[str] | int = 9, colours: Sequence[str] | int = 8, materials: Sequence[str] = ("matte",)
) -> list[str]:
    """Return the prompts of single things of each shape, colour and material.

    Args:
        shapes: which, or how many of the first.
        colours: which, or how many of the first.
        materials: which.

    Example:
        >>> len(every()), every(1, 2)
        (72, ['a red ball', 'a green ball'])
    """
    shapes = SHAPES[:shapes] if isinstance(shapes, int) else shapes
    colours = list(COLOURS)[:colours] if isinstance(colours, int) else colours
    return [str(Thing(shape, colour, own)) for shape in shapes for colour in colours for own in materials]


def held_out(shapes: int = 9, colours: int = 8, each: int = 3) -> tuple[list[str], list[str]]:
    """Return the prompts of single things in two parts: seen, and so many colours of each shape unseen.

    Colours are held out in turn, so that each of them, as each shape, is seen with others.

    Source: the protocol of HyperFields (arXiv 2310.17075), section 4.1: 9 shapes, 8 colours, 3 held out.

    Example:
        >>> [len(part) for part in held_out()]
        [45, 27]
    """
    check_positive(shapes=shapes, colours=colours, each=each)
    names = list(COLOURS)[:colours]
    unseen = [
        str(Thing(shape, names[(each * place + offset) % colours]))
        for place, shape in enumerate(SHAPES[:shapes])
        for offset in range(each)
    ]
    return [prompt for prompt in every(shapes, colours) if prompt not in unseen], unseen


def draw(
    count: int,
    generator: torch.Generator,
    things: tuple[int, int] = (1, _MOST_THINGS),
    shapes: Sequence[str] = SHAPES,
    colours: Sequence[str] = tuple(COLOURS),
    materials: Sequence[str] = MATERIALS,
    relations: Sequence[str] = RELATIONS,
) -> list[str]:
    """Return prompts drawn at random, with replacement.

    Args:
        count: how many.
        generator: the only source of randomness.
        things: the least and most things of a scene.
        shapes: to draw from, as are the next three.
        colours: as said.
        materials: as said.
        relations: as said.

    Example:
        >>> draw(1, torch.Generator().manual_seed(0), things=(1, 1))
        ['an orange table']
    """

    def one(names: Sequence[str]) -> str:
        return names[int(torch.randint(len(names), (), generator=generator))]

    prompts = []
    for _ in range(count):
        number = int(torch.randint(things[0], things[1] + 1, (), generator=generator))
        own = tuple(Thing(one(shapes), one(colours), one(materials)) for _ in range(number))
        prompts.append(str(Description(own, tuple(one(relations) for _ in range(number - 1)))))
    return prompts


_MEANINGFUL = sorted(
    {*SHAPES, *COLOURS, *MATERIALS, *_SYNONYMS, *(word for relation in RELATIONS for word in relation.split())}
)
_KNOWN = {*_MEANINGFUL, *_ARTICLES, *_FILLERS}
