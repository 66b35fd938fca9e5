"""E(n)-equivariant graph network: atoms tell each other of elements and distances, and move along what is between them.

Axis letters: N molecules, A atoms, D features of an atom at the input, H hidden features, L layers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.nets.initialise import initialise, uninitialised

__all__ = ["EGNN", "Trace"]


class Trace(NamedTuple):
    """What a network makes of molecules.

    Args:
        positions: `(N, A, 3)`, where the atoms were moved to; equivariant.
        states: the invariant states `(N, A, H)` of the atoms: of the embedding, then after each layer, L + 1 of them.
    """

    positions: Tensor
    states: list[Tensor]


class EGNN(nn.Module):
    """Layers that change the states of atoms by messages from all others, then their positions.

    Rotations, reflections and translations of the input rotate, reflect and translate the positions, and leave the
    states as they are; the order of the atoms does not matter; padding changes nothing, and comes out as it went in.
    States of a real atom depend on real atoms alone.

    Args:
        inputs: D.
        width: H.
        layers: L.
        attention: weigh each message by a number from 0 to 1 that it implies.
        reach: how far all layers together may move an atom on account of one other, in angstrom.
        seed: of the initial weights.

    Source: Satorras et al. 2021 (arXiv 2102.09844), eq. 3 to 6, with the settings of Hoogeboom et al. 2022 (arXiv
    2203.17003), appendix C: messages are summed, edges know the present and the first squared distance, a step of a
    position is bounded by a hyperbolic tangent and taken along the difference over its length plus 1. The first
    layer of a function of two atoms and their distances is a sum of a part for each, computed per atom rather than per
    pair, which is equal and takes a third of the multiplications.

    Example:
        >>> positions, mask = torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)
        >>> trace = EGNN(inputs=4, width=8, layers=3)(positions, torch.randn(2, 5, 4), mask)
        >>> trace.positions.shape, len(trace.states), trace.states[-1].shape
        (torch.Size([2, 5, 3]), 4, torch.Size([2, 5, 8]))
    """

    def __init__(
        self, inputs: int, width: int = 64, layers: int = 4, attention: bool = True, reach: float = 15.0, seed: int = 0
    ):
        super().__init__()
        check_positive(inputs=inputs, width=width, layers=layers, reach=reach)
        self.inputs = inputs
        self.width = width
        self.attention = attention
        self.embedding = uninitialised(nn.Linear, inputs, width)
        self.layers = nn.ModuleList(_Layer(width, attention, reach / layers) for _ in range(layers))
        initialise(self, seed)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    # Sums over all atoms in layer after layer would grow without bounds from weights for rectifiers.
                    module.weight.mul_(6**-0.5)
            for layer in self.layers:
                layer.step.weight.mul_(1e-3)  # type: ignore[union-attr, operator]

    def forward(self, positions: Tensor, features: Tensor, mask: Tensor) -> Trace:
        """Return the positions after all layers, and the states before and after each.

        Args:
            positions: `(N, A, 3)`, in angstrom.
            features: `(N, A, D)`, invariant.
            mask: `(N, A)`, True where there is an atom.
        """
        real = mask.to(positions.dtype)
        pairs = real[:, :, None] * real[:, None, :] * (1 - torch.eye(mask.shape[1]).to(positions))
        first = _squared_distances(positions)
        state = self.embedding(features) * real[..., None]
        states = [state]
        for layer in self.layers:
            state, positions = layer(state, positions, first, pairs, real)
            states.append(state)
        return Trace(positions, states)


class _Layer(nn.Module):
    """Messages and new states, then new positions."""

    def __init__(self, width: int, attention: bool, reach: float):
        super().__init__()
        self.reach = reach
        self.message_pair = _Pair(width)
        self.message = uninitialised(nn.Linear, width, width)
        self.attend = uninitialised(nn.Linear, width, 1) if attention else None
        self.update = nn.Sequential(
            uninitialised(nn.Linear, 2 * width, width), nn.SiLU(), uninitialised(nn.Linear, width, width)
        )
        self.step_pair = _Pair(width)
        self.step_hidden = uninitialised(nn.Linear, width, width)
        self.step = uninitialised(nn.Linear, width, 1, bias=False)

    def forward(
        self, state: Tensor, positions: Tensor, first: Tensor, pairs: Tensor, real: Tensor
    ) -> tuple[Tensor, Tensor]:
        away = positions[:, :, None] - positions[:, None]
        squared = away.square().sum(-1)
        message = functional.silu(self.message(self.message_pair(state, squared, first)))
        weight = pairs if self.attend is None else pairs * self.attend(message).squeeze(-1).sigmoid()
        received = (weight[:, :, None] @ message).squeeze(2)
        state = (state + self.update(torch.cat([state, received], dim=-1))) * real[..., None]
        hidden = functional.silu(self.step_hidden(self.step_pair(state, squared, first)))
        length = self.step(hidden).squeeze(-1).tanh() * self.reach * pairs / ((squared + 1e-8).sqrt() + 1)
        return state, positions + (length[:, :, None] @ away).squeeze(2)


class _Pair(nn.Module):
    """A smoothly rectified linear function of the states of two atoms and of their two squared distances."""

    def __init__(self, width: int):
        super().__init__()
        self.receiver = uninitialised(nn.Linear, width, width)
        self.sender = uninitialised(nn.Linear, width, width, bias=False)
        self.distance = uninitialised(nn.Linear, 2, width, bias=False)

    def forward(self, state: Tensor, squared: Tensor, first: Tensor) -> Tensor:
        """Return `(N, A, A, H)`: of the atom that receives, and of the one that sends."""
        apart = self.distance(torch.stack([squared, first], dim=-1))
        return functional.silu(self.receiver(state)[:, :, None] + self.sender(state)[:, None] + apart)


def _squared_distances(positions: Tensor) -> Tensor:
    return (positions[:, :, None] - positions[:, None]).square().sum(-1)
