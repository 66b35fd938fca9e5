"""Scenes that are fitted fields, such as `metaprior fit` writes: what one prior is taught by many of."""

from pathlib import Path

from metaprior.fields.cameras import Cameras
from metaprior.fields.field import Field, Weights
from metaprior.fields.network import load_field
from metaprior.fields.render import render_views
from metaprior.fields.scenes.meshes import prompt_of
from metaprior.fields.views import Views

__all__ = ["FieldScene"]


class FieldScene:
    """A radiance field as a scene that can be looked at from any side.

    Args:
        field: its shape.
        weights: of the one scene, with its mask if it has one.
        prompt: what it is, in words.

    Example:
        >>> import torch
        >>> field = Field()
        >>> scene = FieldScene(field, field.initial(1, torch.Generator().manual_seed(0)), "a cloud")
        >>> scene.views(Cameras.on_sphere(2, size=8)).colour.shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(self, field: Field, weights: Weights, prompt: str = ""):
        self.field = field
        self.weights = weights
        self.prompt = prompt

    @staticmethod
    def read(path: str | Path) -> "FieldScene":
        """Read a field that `save_field` wrote, or the folder of a run of `metaprior fit`.

        Raises:
            CheckpointError: if the file is missing, damaged, or holds no field.
        """
        path = Path(path)
        network, facts = load_field(path)
        weights = {name: value.detach() for name, value in network.weights.items()}
        return FieldScene(network.field, weights, str(facts.get("prompt") or prompt_of(path.resolve().stem)))

    def views(self, cameras: Cameras, supersample: int = 2) -> Views:
        """Return what cameras see; each pixel is the mean of `supersample` squared rays."""
        large = cameras.enlarged(supersample)
        seen = render_views(self.field, self.weights, large)
        return Views(large, seen.colour, seen.opacity, prompt=self.prompt).resized(cameras.width)
