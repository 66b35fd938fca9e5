"""From one prompt to another: the fields that lie between.

Axis letters: F frames, E code, L tokens, D text features.
"""

from typing import Literal

import torch
from torch import Tensor

from metaprior.errors import UnknownNameError, check_positive
from metaprior.fields.cameras import Cameras
from metaprior.fields.field import Weights, of_scene
from metaprior.fields.generate import check_shows
from metaprior.fields.hyperfields import HyperFields
from metaprior.fields.occupancy import frozen
from metaprior.fields.render import render_views
from metaprior.fields.text import encode

__all__ = ["Through", "between_prompts", "film_between"]

Through = Literal["code", "tokens"]
_THROUGH = ("code", "tokens")


def between_prompts(
    prior: HyperFields, first: str, second: str, frames: int = 24, through: Through = "code"
) -> Weights:
    """Return the weights of F fields on the straight way from one prompt to another, both ends included.

    Args:
        prior: an acquired prior.
        first: where the way begins.
        second: where it ends.
        frames: F.
        through: where it is straight: in the "code" that prompts are read as; or in the "tokens" of the text, of which
            those past the end of the shorter prompt fade.

    Raises:
        UnknownNameError: for another way.

    Example:
        >>> from metaprior.fields import HyperFieldNet
        >>> prior = HyperFields(HyperFieldNet(64, cells=8, width=16, hidden=1), "words")
        >>> between_prompts(prior, "a red torus", "a blue box", frames=5)["layers.0.weight"].shape
        torch.Size([5, 16, 75])
    """
    check_positive(frames=frames)
    if through not in _THROUGH:
        raise UnknownNameError("choice for through", through, _THROUGH)
    share = torch.linspace(0, 1, frames)[:, None]
    with torch.no_grad():
        text = encode([first, second], prior.text)
        if through == "code":
            ends = prior.start(2, about=text._asdict()).code
            return prior.net.whole(prior.net.write(ends[0] + share.to(ends) * (ends[1] - ends[0])))
        tokens = text.tokens[0] + share[..., None] * (text.tokens[1] - text.tokens[0])
        mask = text.mask.any(0).expand(frames, -1)
        return prior.net.whole(prior.start(frames, about={"tokens": tokens, "mask": mask}).weights)


def film_between(
    prior: HyperFields,
    first: str,
    second: str,
    frames: int = 48,
    size: int = 128,
    through: Through = "code",
    turn: float = 120.0,
    samples: int = 64,
) -> Tensor:
    """Return pictures `(F, H, W, 3)` of the fields between two prompts, of which each turns a little further.

    A field at either end that shows nothing, or fog, is warned of.

    Args:
        prior: an acquired prior.
        first: where the film begins.
        second: where it ends.
        frames: F.
        size: width and height.
        through: see `between_prompts`.
        turn: degrees that the camera goes around in all.
        samples: of a ray.
    """
    weights = between_prompts(prior, first, second, frames, through)
    pictures = []
    for frame in range(frames):
        azimuth = -60.0 + turn * frame / frames
        own = frozen(prior.net.field, of_scene(weights, frame), cells=32)
        if frame in (0, frames - 1):
            check_shows(prior.net.field, own, second if frame else first)
        pictures.append(render_views(prior.net.field, own, Cameras.turntable(1, size, azimuth=azimuth), samples).over())
    return torch.cat(pictures)
