"""Scenes that are posed pictures: photographs, or renders of something that is not at hand."""

from pathlib import Path

from metaprior.fields.cameras import Convention
from metaprior.fields.readers import read_views
from metaprior.fields.scenes.meshes import prompt_of
from metaprior.fields.views import Views

__all__ = ["POSED_FILES", "PosedScene"]

POSED_FILES = (".json", ".npz")
"""The endings of files that say where pictures were taken from."""


class PosedScene:
    """Pictures of one scene from sides of their own, some of which are held out.

    Args:
        fit: pictures to learn from.
        held_out: pictures from other sides.
        prompt: what it is, in words.

    Example:
        >>> from metaprior.fields import AnalyticScene, Cameras
        >>> views = AnalyticScene("a red ball").views(Cameras.on_sphere(6, size=(12, 8)))
        >>> PosedScene(*views.split(3), "a red ball").squared(4).held_out.colour.shape
        torch.Size([2, 4, 4, 3])
    """

    def __init__(self, fit: Views, held_out: Views, prompt: str = ""):
        self.fit = fit
        self.held_out = held_out
        self.prompt = prompt

    @staticmethod
    def read(path: str | Path, convention: Convention = "opengl", skip_bad: bool = False) -> "PosedScene":
        """Read what `read_views` does; the name of the folder, or of an `.npz`, is the prompt.

        Raises:
            DataError: as `read_views` does.
        """
        path = Path(path)
        folder = path if path.is_dir() else path.parent
        name = path.stem if path.suffix.lower() == ".npz" else folder.resolve().name
        return PosedScene(*read_views(path, convention, skip_bad), prompt_of(name))

    def squared(self, size: int) -> "PosedScene":
        """Return the middle of the pictures, so many pixels each way."""
        return PosedScene(self.fit.squared(size), self.held_out.squared(size), self.prompt)
