"""A network on conformers: of properties of molecules, or of the noise in them.

Axis letters: N molecules, A atoms, K elements, H hidden features, L layers, F features, C outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metaprior.errors import MetapriorError
from metaprior.molecules.conformers import unpacked
from metaprior.molecules.egnn import EGNN, Trace
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.pooling import mean_and_deviation
from metaprior.registry import nets

__all__ = ["ELEMENTS", "TYPE_SCALE", "ConformerNet"]

ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17, 35, 53)
"""Atomic numbers of H, C, N, O, F, P, S, Cl, Br, I."""
TYPE_SCALE = 0.25
"""What an atom's own element counts, where others are 0: noise then hides elements later than positions."""


@nets.register("egnn")
class ConformerNet(nn.Module):
    """An equivariant network that takes rows of conformers, as the featuriser "conformer" gives them.

    With `outputs`, each atom has an output from its last state, and a molecule the sum of those of its atoms, as
    energies have it; without, a molecule has mean and standard deviation of the last states of its atoms.

    Args:
        outputs: C; None for features alone.
        elements: the K atomic numbers that are told apart; an atom of another element is known by its place alone.
        width: H.
        layers: L.
        attention: weigh messages.
        seed: of the initial weights.

    Source: `EGNN` says what is inside. Time is one more feature of each atom, as in Hoogeboom et al. 2022 (arXiv
    2203.17003), section 3.2; zero stands for no noise.

    Example:
        >>> ConformerNet(outputs=1, width=8, layers=2)(torch.zeros(3, 4 * 5)).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        outputs: int | None = None,
        elements: Sequence[int] = ELEMENTS,
        width: int = 64,
        layers: int = 4,
        attention: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        if not elements or len(set(elements)) != len(elements) or min(elements) < 1:
            raise MetapriorError(f"elements: expected different atomic numbers, got {list(elements)}")
        self.outputs = outputs
        self.elements = tuple(elements)
        self.width = width
        self.layers = layers
        self.attention = attention
        self.seed = seed
        self.graph = EGNN(len(self.elements) + 1, width, layers, attention, seed=seed)
        self.noise = uninitialised(nn.Linear, width, len(self.elements))
        self.head = None if outputs is None else uninitialised(nn.Linear, width, outputs)
        initialise(nn.ModuleDict({"noise_head": self.noise}), seed + 1)
        with torch.no_grad():
            # To begin with hardly any noise is told; states of many layers would tell far too much.
            self.noise.weight.mul_(0.03)
        if self.head is not None:
            initialise(nn.ModuleDict({"head": self.head}), seed + 2)

    @property
    def features(self) -> int:
        """F, which is 2 H."""
        return 2 * self.width

    @property
    def at_once(self) -> int:
        """How many small molecules to compute at once, so that what is known of their pairs stays in a CPU's cache."""
        return max(8, 1024 // self.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs `(N, C)`, or features `(N, F)`, of rows of conformers `(N, 4 A)`."""
        conformers = unpacked(x)
        time = x.new_zeros(len(x))
        state = self.trace(conformers.positions, self.types(conformers.elements), conformers.mask, time).states[-1]
        if self.head is None:
            return mean_and_deviation(state, conformers.mask)
        return (self.head(state) * conformers.mask[..., None]).sum(1)

    def types(self, elements: Tensor) -> Tensor:
        """Return the scaled one-hot types `(N, A, K)` of elements `(N, A)`, of the dtype of the weights."""
        known = torch.tensor(self.elements, device=elements.device)
        return (elements[..., None] == known).to(self.noise.weight.dtype) * TYPE_SCALE

    def trace(self, positions: Tensor, types: Tensor, mask: Tensor, time: Tensor) -> Trace:
        """Return positions and states of each layer.

        Args:
            positions: `(N, A, 3)`.
            types: `(N, A, K)`, scaled, noise in them or not.
            mask: `(N, A)`.
            time: `(N,)`, the noise level from 0 to 1.
        """
        told = time[:, None, None].expand(-1, types.shape[1], 1)
        return self.graph(positions, torch.cat([types, told], dim=-1), mask)

    def denoise(self, positions: Tensor, types: Tensor, mask: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Return the noise in positions `(N, A, 3)`, centred, and in types `(N, A, K)`; takes what `trace` does."""
        moved, states = self.trace(positions, types, mask, time)
        real = mask[..., None].to(positions.dtype)
        away = (moved - positions) * real
        centre = away.sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
        return (away - centre) * real, self.noise(states[-1]) * real
