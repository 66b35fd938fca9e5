"""A network on molecular graphs: atoms gather what their neighbours are, and a molecule is what its atoms became.

Axis letters: N molecules, A atoms, B bonds of an atom, H hidden features, F features, C outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, ShapeError, check_positive
from metaprior.molecules.batches import by_size
from metaprior.molecules.graphs import ATOM_SIZES, BOND_SIZE, WIDTH, Graphs, graphs_of
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.pooling import mean_and_deviation
from metaprior.registry import nets

__all__ = ["GraphNet"]

_USUAL = 25
"""How many heavy atoms a molecule usually has: its sum is then as large as its mean."""


@nets.register("gin")
class GraphNet(nn.Module):
    """A graph isomorphism network with bonds, on rows of molecular graphs as the featuriser "graph" gives them.

    A molecule has the mean, the standard deviation and the scaled sum of the last states of its atoms; with `outputs`,
    it has outputs from these. Neither the order of atoms nor padding changes anything.

    Args:
        inputs: how many numbers a row has.
        outputs: C; None for features alone.
        width: H.
        layers: of messages, so that an atom knows of others as many bonds away.
        dropout: the share of hidden features that are left out while training.
        seed: of the initial weights.

    Source: Xu et al. 2019 (arXiv 1810.00826), eq. 4.1, with bonds in the messages as in Hu et al. 2020 (arXiv
    1905.12265), section 5.1. Differs in that layers add to what they are given, in layer norm instead of batch norm,
    which would let the molecules of a support set see each other, and in that last states are pooled in three ways.

    Example:
        >>> from metaprior.molecules.featurise import featurise
        >>> from metaprior.molecules.graphs import Graph
        >>> rows = featurise(["CO", "c1ccccc1"], Graph(atoms=8), cache=False).rows.dense(torch.arange(2))
        >>> GraphNet(inputs=rows.shape[1], outputs=1, width=8, layers=2)(rows).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int | None = None,
        width: int = 128,
        layers: int = 4,
        dropout: float = 0.0,
        seed: int = 0,
    ):
        super().__init__()
        check_positive(inputs=inputs, width=width, layers=layers)
        if inputs % WIDTH:
            raise MetapriorError(
                f"inputs: expected a multiple of {WIDTH}, as the featuriser 'graph' gives, got {inputs}"
            )
        if not 0 <= dropout < 1:
            raise MetapriorError(f"dropout: expected a share from 0 to below 1, got {dropout}")
        self.inputs = inputs
        self.outputs = outputs
        self.width = width
        self.layers = layers
        self.dropout = dropout
        self.seed = seed
        self.atoms = nn.Parameter(torch.empty(sum(ATOM_SIZES) + 1, width))
        blocks = [_Layer(width, dropout) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.head = None if outputs is None else uninitialised(nn.Linear, self.features, outputs)
        initialise(self, seed)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for table in (self.atoms, *(block.bonds for block in blocks)):
                table.copy_(len(ATOM_SIZES) ** -0.5 * torch.randn(table.shape, generator=generator))
            # What a layer adds is small at first, however many there are.
            for block in blocks:
                block.narrow.weight.mul_((2 * layers) ** -0.5)

    @property
    def features(self) -> int:
        """F, which is 3 H."""
        return 3 * self.width

    @property
    def at_once(self) -> int:
        """How many molecules to compute at once, so that what is known of their atoms stays in a CPU's cache."""
        return max(8, 8192 // self.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs `(N, C)`, or features `(N, F)`, of rows of graphs `(N, WIDTH A)`.

        Raises:
            ShapeError: if the rows are of another width.
        """
        if x.shape[-1] != self.inputs:
            raise ShapeError(f"x: expected rows of {self.inputs} numbers, got {tuple(x.shape)}")
        graphs = graphs_of(x)
        if torch._C._are_functorch_transforms_active():
            # How much of the padding can go depends on the data, which a transform does not let us see.
            return self._outputs(graphs)
        return by_size(lambda part, _: self._outputs(part), graphs, self.at_once) if len(x) else self._outputs(graphs)

    def states(self, graphs: Graphs) -> Tensor:
        """Return the last states `(N, A, H)` of atoms, zero for padding."""
        real = graphs.mask[..., None].to(self.atoms.dtype)
        before = torch.tensor((0, *ATOM_SIZES[:-1]), device=graphs.atoms.device).cumsum(0)
        state = functional.embedding((graphs.atoms + before) * graphs.mask[..., None], self.atoms).sum(2) * real
        for block in self.blocks:
            state = block(state, graphs) * real
        return self.norm(state) * real

    def _outputs(self, graphs: Graphs) -> Tensor:
        state, mask = self.states(graphs), graphs.mask
        features = torch.cat([mean_and_deviation(state, mask), state.sum(1) / _USUAL], dim=-1)
        return features if self.head is None else self.head(features)


class _Layer(nn.Module):
    """Each atom adds up what its neighbours are, seen through their bonds, and changes by it."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.bonds = nn.Parameter(torch.empty(BOND_SIZE + 1, width))
        self.own = nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(width)
        self.wide = uninitialised(nn.Linear, width, 2 * width)
        self.narrow = uninitialised(nn.Linear, 2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, state: Tensor, graphs: Graphs) -> Tensor:
        """Return new states `(N, A, H)`."""
        places = graphs.neighbours.flatten(1)[..., None].expand(-1, -1, state.shape[-1])
        sent = state.gather(1, places).unflatten(1, graphs.neighbours.shape[1:])
        message = functional.relu(sent + functional.embedding(graphs.bonds, self.bonds))
        received = (message * (graphs.bonds > 0)[..., None]).sum(2)
        hidden = functional.relu(self.wide(self.norm((1 + self.own) * state + received)))
        return state + self.narrow(self.dropout(hidden))
