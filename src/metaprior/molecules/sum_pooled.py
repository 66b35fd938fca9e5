"""Fine-tuning an equivariant network for a property of whole molecules that is a sum over their atoms.

Axis letters: N molecules, A atoms, K elements, D target features.
"""

import copy
import math
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, ShapeError, check_positive
from metaprior.molecules.batches import by_size
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.conformers import Conformers
from metaprior.nets import uninitialised

__all__ = ["SumPooled", "composition"]


class SumPooled:
    """Each atom contributes to the property of its molecule; all of the network is trained for it.

    What the numbers of atoms of each element explain linearly is taken away first, unless it is told not to.

    Args:
        net: where to begin: `prior.average` of a `MoleculeDiffusion`, or a new `ConformerNet`; it is left as it was.
        steps: of Adam, with a learning rate that falls to zero along a half cosine.
        learning_rate: at the beginning.
        batch: molecules of a step.
        composition: take away what the elements explain.
        seed: of the order of molecules.

    Source: the sum over atoms is that of energies in Satorras et al. 2021 (arXiv 2102.09844), section 5.3; the error is
    absolute, on targets in units of what is left of their spread.

    Example:
        >>> from metaprior.molecules.conformers import embed
        >>> molecules, _ = embed(["CO", "CCO", "CCCO", "CCN"], cache=False)
        >>> fitted = SumPooled(ConformerNet(width=8, layers=1), steps=2).fit(molecules, molecules.sizes.float())
        >>> fitted.predict(molecules).shape
        torch.Size([4])
    """

    def __init__(
        self,
        net: ConformerNet,
        steps: int = 800,
        learning_rate: float = 1e-3,
        batch: int = 32,
        composition: bool = True,
        seed: int = 0,
    ):
        check_positive(steps=steps, learning_rate=learning_rate, batch=batch)
        if not isinstance(net, ConformerNet):
            raise MetapriorError(f"net: expected a ConformerNet, got a {type(net).__name__}")
        self.net = net
        self.steps = steps
        self.learning_rate = learning_rate
        self.batch = batch
        self.composition = composition
        self.seed = seed

    def fit(self, molecules: Conformers, y: Tensor) -> Self:
        """Train on N molecules and their values `(N,)` or `(N, D)`.

        Raises:
            ShapeError: if there are not as many values as molecules.
        """
        if len(y) != len(molecules.mask) or not len(y):
            raise ShapeError(f"y: expected a value for each of {len(molecules.mask)} molecules, got {len(y)}")
        values = (y[:, None] if y.ndim == 1 else y).double()
        self.flat_ = y.ndim == 1
        counts = composition(molecules, self.net.elements).double()
        self.explained_ = _linear(counts if self.composition else counts[:, :0], values)
        left = values - _explained(self.explained_, counts)
        self.spread_ = left.std(0, correction=0).clamp(min=1e-6)
        self.net_ = copy.deepcopy(self.net).requires_grad_(True).train()
        self._standardise(molecules)
        self.head_ = uninitialised(nn.Linear, self.net.width, values.shape[1]).to(self.net.noise.weight)
        nn.init.zeros_(self.head_.weight)
        nn.init.zeros_(self.head_.bias)
        targets = (left / self.spread_).to(self.net.noise.weight)
        trained = [*self.net_.graph.parameters(), *self.head_.parameters()]
        adam, generator = torch.optim.Adam(trained, fused=True), torch.Generator().manual_seed(self.seed)
        order = torch.empty(0, dtype=torch.int64)
        for step in range(self.steps):
            adam.param_groups[0]["lr"] = self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
            if len(order) < min(self.batch, len(y)):
                order = torch.cat([order, torch.randperm(len(y), generator=generator)])
            chosen, order = order[: self.batch], order[self.batch :]
            adam.zero_grad()
            functional.l1_loss(self._outputs(molecules.take(chosen)), targets[chosen]).backward()
            torch.nn.utils.clip_grad_norm_(trained, 10.0)
            adam.step()
        self.net_.eval()
        return self

    @torch.no_grad()
    def predict(self, molecules: Conformers) -> Tensor:
        """Return values `(N,)`, or `(N, D)` if those to learn from were."""
        if not hasattr(self, "net_"):
            raise MetapriorError("predict: expected `fit` to be called before")
        values = self._outputs(molecules).double() * self.spread_ + _explained(
            self.explained_, composition(molecules, self.net.elements).double()
        )
        return (values[:, 0] if self.flat_ else values).float()

    def _outputs(self, molecules: Conformers) -> Tensor:
        """Return the sum over atoms, `(N, D)`."""
        weight = self.head_.weight
        if not len(molecules.mask):
            return weight.new_zeros(0, len(weight))

        def outputs(part: Conformers, index: Tensor) -> Tensor:
            state, kinds = self._states(part)
            state = (state - kinds @ self.usual_) / self.scale_
            return (self.head_(state) * part.mask[..., None]).sum(1)

        return by_size(outputs, molecules, self.net.at_once)

    def _states(self, molecules: Conformers) -> tuple[Tensor, Tensor]:
        """Return the last states `(N, A, H)` of atoms, and which element each is of, `(N, A, K)`, as zeros and ones."""
        types = self.net_.types(molecules.elements)
        time = types.new_zeros(len(molecules.mask))
        trace = self.net_.trace(molecules.positions.to(types), types, molecules.mask, time)
        return trace.states[-1], (types > 0).to(types)

    @torch.no_grad()
    def _standardise(self, molecules: Conformers) -> None:
        """Keep what the states of an element's atoms have in common before training, `(K, H)`, and the spread beyond.

        A sum of raw states is for the most part numbers of atoms, which composition has explained, and the rest would
        be learnt a hundred times as slowly.
        """
        pieces = molecules.mask.split(self.net.at_once)
        done = [0, *torch.tensor([len(piece) for piece in pieces]).cumsum(0).tolist()]
        found = [self._states(molecules.take(slice(first, last))) for first, last in pairwise(done)]
        real = molecules.mask
        state, kinds = (torch.cat(parts)[real] for parts in zip(*found, strict=True))
        self.usual_ = kinds.T @ state / kinds.sum(0)[:, None].clamp(min=1)
        spread = (state - kinds @ self.usual_).square().mean(0).sqrt()
        size = float(molecules.sizes.double().mean().clamp(min=1))
        self.scale_ = spread.clamp(min=1e-3 * float(spread.max()) + 1e-9) * size**0.5


def composition(molecules: Conformers, elements: tuple[int, ...]) -> Tensor:
    """Return how many atoms of each element `(N, K)` molecules have.

    Example:
        >>> from metaprior.molecules.conformers import stacked
        >>> composition(stacked([([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])]), (1, 6, 8))
        tensor([[2, 0, 1]])
    """
    return torch.stack([(molecules.elements == element).sum(1) for element in elements], dim=-1)


def _linear(counts: Tensor, values: Tensor) -> Tensor:
    """Return the weights of counts and of a constant, next to not penalised; elements that do not occur have zero."""
    wide = functional.pad(counts, (0, 1), value=1.0)
    penalty = 1e-3 * torch.eye(wide.shape[1], dtype=wide.dtype, device=wide.device)
    penalty[-1, -1] = 1e-9
    return torch.linalg.solve(wide.T @ wide + penalty, wide.T @ values)


def _explained(weights: Tensor, counts: Tensor) -> Tensor:
    return counts[:, : len(weights) - 1] @ weights[:-1] + weights[-1]
