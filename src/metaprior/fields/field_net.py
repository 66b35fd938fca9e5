"""A field as a network from rays to what they see, for any prior that wraps one.

Axis letters: N rays.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from metaprior.errors import UnknownNameError
from metaprior.fields.cameras import Rays
from metaprior.fields.encoders import ENCODERS, Frequency, TriPlane
from metaprior.fields.field import Field, Weights
from metaprior.fields.render import render
from metaprior.registry import nets

__all__ = ["FieldNet"]

_KNOWN = ("frequency", "triplane")


@nets.register("field")
class FieldNet(nn.Module):
    """A radiance field with weights of its own, from rays `(N, 6)` to colour in front of black, and opacity `(N, 4)`.

    What adapts the weights of a network adapts those of a field: MAML and Reptile over scenes are these priors around
    this network, and `scratch` is no prior at all.

    Source: Tancik et al. 2021 (arXiv 2012.02189), section 4.4, acquire initial fields so.

    Args:
        encoder: "frequency", or "triplane", whose second derivatives torch does not know, for Reptile and first-order
            MAML.
        octaves: of the frequencies.
        cells: of a plane each way.
        width: hidden units of a layer.
        hidden: hidden layers.
        directions: let colour depend on the direction of view.
        samples: of a ray.
        seed: of the initial weights.

    Example:
        >>> FieldNet(width=16)(torch.rand(5, 6)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        encoder: Literal["frequency", "triplane"] = "frequency",
        octaves: int = 4,
        cells: int = 32,
        width: int = 64,
        hidden: int = 3,
        directions: bool = False,
        samples: int = 32,
        seed: int = 0,
    ):
        super().__init__()
        if encoder not in _KNOWN:
            raise UnknownNameError("encoder", encoder, [name for name in ENCODERS if name in _KNOWN])
        self.encoder = encoder
        self.octaves = octaves
        self.cells = cells
        self.width = width
        self.hidden = hidden
        self.directions = directions
        self.samples = samples
        self.seed = seed
        kind = Frequency(octaves) if encoder == "frequency" else TriPlane(cells)
        # Without the blob, whose density a few steps of gradient descent could not take away.
        self.field = Field(kind, width, hidden, directions=directions, blob=0.0)
        initial = self.field.initial(1, torch.Generator().manual_seed(seed))
        # The names of parameters have no dots in them.
        self.weights = nn.ParameterDict({name.replace(".", "/"): value[0] for name, value in initial.items()})

    def forward(self, x: Tensor) -> Tensor:
        """Return colour and opacity `(N, 4)` along rays `(N, 6)`."""
        weights = {name: value[None] for name, value in self.own_weights.items()}
        seen = render(self.field, weights, Rays(x[None, :, :3], x[None, :, 3:]), self.samples)
        return torch.cat([seen.colour, seen.opacity[..., None]], dim=-1)[0]

    @property
    def own_weights(self) -> Weights:
        """The weights as fields name them, without the axis S."""
        return self.named(dict(self.named_parameters()))

    @staticmethod
    def named(parameters: Weights) -> Weights:
        """Return parameters of this network, of however many scenes, by the names that fields give them."""
        return {name.removeprefix("weights.").replace("/", "."): value for name, value in parameters.items()}
