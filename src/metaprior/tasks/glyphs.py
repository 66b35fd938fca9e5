"""Glyphs: 1,779 printed characters of many scripts, rendered from the fonts that ship with matplotlib.

Axis letters: G characters, F faces, M images of a character, B images, S pixels of a side.
"""

import math
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metaprior import data
from metaprior.errors import DataError, missing
from metaprior.registry import sources
from metaprior.tasks.source import ClassPool, ClassSource, Split

__all__ = ["Glyphs"]

# The two Sans faces come first: they have every character, and it is in them that look-alikes are found.
_FACES = tuple(
    f"DejaVu{family}{style}.ttf"
    for family, styles in {
        "Sans": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "Serif": ("", "-Bold", "-Italic", "-BoldItalic"),
        "SansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
    }.items()
    for style in styles
)
_Face: TypeAlias = tuple[Path, set[int]]
# A character is drawn a little larger than it will be seen, at an em of so many pixels for an image of 28.
_EM = 34
_LEAST_FACES = 8
_IMAGES = 20
_SPLITS = ("train", "valid", "test")
_SCRIPTS = {"valid": ("Cyrl",), "test": ("Armn", "Geor", "Laoo")}

# In these, the place within the cell tells characters apart, so that all are framed by one box; others by their own.
_CELLS = ("Brai", "Box Drawing", "Block Elements")
# Two characters look alike if their squared difference is less than this share of their ink, and their boxes are of
# nearly one shape (the difference of the logarithms of width / height).
_ALIKE, _STRETCH = 0.08, 0.4


@sources.register("glyphs")
class Glyphs(ClassSource):
    """Tasks of telling printed characters apart, 20 images of each in at least 8 faces, jittered.

    The training split has Latin, Greek, Braille, box drawings, arrows and other symbols; validation is on Cyrillic;
    the test split has scripts never seen before: Armenian, Georgian and Lao. Characters that look like another one,
    of any split, are left out. The images are rendered once (in seconds) and kept in the cache; nothing is downloaded.

    Pixels depend in their last digits on the FreeType library inside Pillow, and with them the hash of a test set.

    Args:
        ways: classes of a task, or the least and most of them.
        shots: support images of a class, or the least and most of them.
        queries: query images of a class.
        within: choose the classes of a task from one script, or one block of symbols.
        size: height and width in pixels.

    Source: DejaVu fonts 2.37; the frame, a box of 20/28 of the side, is that of MNIST (LeCun et al. 1998).

    Example:
        >>> source = Glyphs(ways=5, shots=1, queries=3)
        >>> source.sample(4, torch.Generator().manual_seed(0), "test").query.x.shape
        torch.Size([4, 15, 1, 28, 28])
    """

    def __init__(
        self,
        ways: int | tuple[int, int] = 5,
        shots: int | tuple[int, int] = 1,
        queries: int = 15,
        within: bool = False,
        size: int = 28,
    ):
        self.ways = ways
        self.shots = shots
        self.queries = queries
        self.within = within
        self.size = size

    @property
    def inputs(self) -> dict[str, Any] | None:
        """Images of dark ink on light paper are inverted, since ink is 1 here."""
        return {"kind": "images", "channels": 1, "height": self.size, "width": self.size, "dark_on_light": True}

    def pool(self, split: Split) -> ClassPool:
        """Return the characters of a split, their groups the scripts or the blocks of symbols."""
        if self.size < 8:
            raise DataError(f"size: expected at least 8 pixels, got {self.size}")
        glyphs = data.cached(f"glyphs-{self.size}-v1", lambda: _render(self.size))
        chosen = glyphs["splits"] == _SPLITS.index(split)
        names = tuple(unicodedata.name(chr(code)) for code in glyphs["codes"][chosen])
        return ClassPool.full(glyphs["images"][chosen], glyphs["groups"][chosen], names)


def _render(size: int) -> dict[str, Tensor]:
    """Return `images` (G, M, 1, S, S), ink 255 on 0, and `codes`, `groups` and `splits`, each (G,)."""
    faces = _faces()
    codes, groups = _candidates(faces)
    sans = [_draw(face, codes, _EM) for face in faces[:2]]
    kept = _distinct(sans, [_frames(drawn, groups) for drawn in sans])
    codes, groups = [codes[index] for index in kept], [groups[index] for index in kept]

    generator = torch.Generator().manual_seed(0)
    assigned = _assign(torch.tensor([[code in covered for _, covered in faces] for code in codes]), generator)
    basis = _basis(size)
    bends = _bends(len(codes) * _IMAGES, len(basis) - 3, generator).unflatten(0, (-1, _IMAGES))
    images = torch.empty(len(codes), _IMAGES, 1, size, size, dtype=torch.uint8)
    for index, face in enumerate(faces):
        drawn = _draw(face, codes, round(size * _EM / 28))
        frames = _frames(drawn, groups)
        for part in (assigned == index).nonzero().split(1000):
            glyph, image = part.T
            images[glyph, image] = _bend(drawn[glyph], frames[glyph], bends[glyph, image], basis)

    known = sorted(set(groups))
    splits = [next((split for split in ("valid", "test") if group in _SCRIPTS[split]), "train") for group in groups]
    return {
        "images": images,
        "codes": torch.tensor(codes),
        "groups": torch.tensor([known.index(group) for group in groups]),
        "splits": torch.tensor([_SPLITS.index(split) for split in splits]),
    }


def _faces() -> list[_Face]:
    """Return the file of each face, and the code points that it has."""
    try:
        from fontTools.ttLib import TTFont
        from matplotlib import get_data_path
    except ImportError as error:
        raise missing("matplotlib", "vision", "rendering glyphs") from error
    folder = Path(get_data_path()) / "fonts" / "ttf"
    faces = []
    for name in _FACES:
        with TTFont(folder / name, lazy=True) as font:
            faces.append((folder / name, set(font.getBestCmap() or ())))
    return faces


def _candidates(faces: list[_Face]) -> tuple[list[int], list[str]]:
    """Return the code points that enough faces have, in order, and the script or the block of symbols of each."""
    from fontTools.unicodedata import block, script

    counts = Counter(code for _, covered in faces for code in covered)
    codes = sorted(code for code, count in counts.items() if count >= _LEAST_FACES and _is_candidate(chr(code)))
    scripts = [script(chr(code)) for code in codes]
    # "Zyyy" and "Zinh" are the characters that all scripts share.
    return codes, [
        block(chr(code)) if name in ("Zyyy", "Zinh") else name for code, name in zip(codes, scripts, strict=True)
    ]


def _is_candidate(character: str) -> bool:
    """Whether this is a letter, number or symbol in its own right, not a small copy of one or a loose accent."""
    category = unicodedata.category(character)
    small = unicodedata.decomposition(character).startswith(("<super>", "<sub>"))
    return category[0] in "LNS" and category not in ("Lm", "Sk") and not small


def _draw(face: _Face, codes: list[int], em: int) -> Tensor:
    """Return a picture of each character `(G, K, K)`, blank where the face lacks it."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise missing("pillow", "vision", "rendering glyphs") from error
    path, covered = face
    # The basic layout is the one that every build of Pillow has.
    font = ImageFont.truetype(path, em, layout_engine=ImageFont.Layout.BASIC)
    # Two ems hold the widest character; all are drawn on one sheet, which is faster than a sheet for each.
    side, columns = 2 * em, 64
    rows = -(-len(codes) // columns)
    sheet = Image.new("L", (columns * side, rows * side))
    pen = ImageDraw.Draw(sheet)
    for index, code in enumerate(codes):
        if code in covered:
            row, column = divmod(index, columns)
            pen.text((column * side + em, row * side + round(1.4 * em)), chr(code), 255, font=font, anchor="ms")
    cells = torch.from_numpy(np.array(sheet)).view(rows, side, columns, side)
    return cells.transpose(1, 2).flatten(0, 1)[: len(codes)]


def _frames(drawn: Tensor, groups: list[str]) -> Tensor:
    """Return the box that holds each character `(G, 4)`: its centre x, y, half its width and height; 0 where blank.

    The unit is that of `grid_sample`: a picture reaches from -1 to 1.
    """
    across, down = drawn.amax(-2) >= 64, drawn.amax(-1) >= 64
    low = torch.stack([_first(across), _first(down)])
    high = drawn.shape[-1] - torch.stack([_first(across.flip(-1)), _first(down.flip(-1))])
    present = across.any(-1)
    for name in _CELLS:
        members = torch.tensor([group == name for group in groups]) & present
        if members.any():
            low[:, members] = low[:, members].amin(1, keepdim=True)
            high[:, members] = high[:, members].amax(1, keepdim=True)
    centre = (low + high) / drawn.shape[-1] - 1
    half = (high - low) / drawn.shape[-1]
    return torch.cat([centre, half]).T * present[:, None]


def _first(ink: Tensor) -> Tensor:
    return ink.to(torch.uint8).argmax(-1)


def _distinct(pictures: list[Tensor], frames: list[Tensor]) -> list[int]:
    """Return the indices of the characters that are not blank and that look like none kept before them."""
    line = torch.linspace(-0.95, 0.95, 20)
    square = torch.stack([line.expand(20, 20), line[:, None].expand(20, 20)], dim=-1)
    values, shapes = [], []
    for drawn, frame in zip(pictures, frames, strict=True):
        # The jitter stretches, so that boxes are compared at one shape; but a line stays a line.
        half = torch.maximum(frame[:, 2:], frame[:, 2:].amax(-1, keepdim=True) / 4)
        grid = frame[:, None, None, :2] + half[:, None, None] * square
        values.append(functional.grid_sample(drawn[:, None].float(), grid, align_corners=False).flatten(1))
        shapes.append(half.clamp(min=1e-6).log().diff(dim=1))
    value, shape = torch.cat(values, dim=1), torch.cat(shapes, dim=1).mean(1)
    ink = value.square().sum(1)
    alike = (ink[:, None] + ink - 2 * value @ value.T < _ALIKE * (ink[:, None] + ink)).logical_and_(
        (shape[:, None] - shape).abs() < _STRETCH
    )
    kept: list[int] = []
    for index, (row, total) in enumerate(zip(alike.numpy(), ink.tolist(), strict=True)):
        if total > 0 and not row[kept].any():
            kept.append(index)
    return kept


def _assign(has: Tensor, generator: torch.Generator) -> Tensor:
    """Return the face of each image `(G, M)`: in turn those that have the character `(G, F)`, in random order."""
    order = (torch.rand(has.shape, generator=generator) - has.float()).argsort(1)
    return order.gather(1, torch.arange(_IMAGES) % has.sum(1, keepdim=True))


def _basis(size: int) -> Tensor:
    """Return x, y, 1 and eight slow waves over the image, `(11, S * S)`; bends are sums of these."""
    line = (torch.arange(size) + 0.5) / size
    waves = torch.stack([torch.cos(math.pi * count * line) for count in range(3)])
    grid = waves[:, None, :, None] * waves[None, :, None, :]
    x = (2 * line - 1).expand(size, size)
    return torch.cat([torch.stack([x, x.T, torch.ones_like(x)]), grid.flatten(0, 1)[1:]]).flatten(1)


def _bends(images: int, waves: int, generator: torch.Generator) -> Tensor:
    """Return coefficients of the basis `(B, 2, 3 + waves)` for a turn, a slant, a stretch, a shift and waves."""
    turn, slant = 0.2 * (2 * torch.rand(2, images, generator=generator) - 1)
    wide, high = (0.2 * (2 * torch.rand(2, images, generator=generator) - 1)).exp()
    affine = torch.stack(
        [
            torch.stack([wide * turn.cos(), high * (slant - turn.sin())], dim=-1),
            torch.stack([wide * turn.sin(), high * turn.cos()], dim=-1),
        ],
        dim=1,
    )
    shift = 0.1 * (2 * torch.rand(images, 2, 1, generator=generator) - 1)
    return torch.cat([affine, shift, 0.03 * torch.randn(images, 2, waves, generator=generator)], dim=-1)


def _bend(drawn: Tensor, frames: Tensor, bends: Tensor, basis: Tensor) -> Tensor:
    """Return images `(B, 1, S, S)` of pictures `(B, K, K)`, the longer side of a frame 20/28 of S before bending."""
    size = math.isqrt(basis.shape[1])
    grid = (bends.flatten(0, 1) @ basis).view(-1, 2, size, size)
    grid = frames[:, :2, None, None] + grid * (1.4 * frames[:, 2:].amax(1))[:, None, None, None]
    bent = functional.grid_sample(drawn[:, None].float(), grid.permute(0, 2, 3, 1), align_corners=False)
    return bent.round_().to(torch.uint8)
