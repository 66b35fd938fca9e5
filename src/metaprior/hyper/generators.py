"""Generators: from a code to the parameters of another network.

Each gives the parameters, at the beginning, the spread that they have in the plain network, so that what passes through
the generated one neither fades nor grows (Chang et al. 2020, "Principled weight initialization for hypernetworks").

Axis letters: E code, H hidden units or templates, W generated weights in all, K chunks, S chunk size, R rank.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from itertools import compress

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.nets.initialise import uninitialised

__all__ = ["GENERATORS", "Chunked", "Factorised", "Generator", "Linear", "LowRank", "Multiplicative", "Templates"]

_TANH = 0.3943
"""The mean square of the hyperbolic tangent of a standard normal value."""
_SMALL = 0.01
"""The spread that is generated for parameters that begin constant, as biases do."""


class Generator(nn.Module):
    """Generates the parameters of a network from a code.

    Args:
        initial: the parameters of the plain network, by name.
        code: E, the size of the code; a generator whose code is made of mixtures chooses its own.
        hidden: H, hidden units, or templates that a row is mixed of.
        seed: of the initial weights.
    """

    base: Tensor
    heads: Tensor

    def __init__(self, initial: Mapping[str, Tensor], code: int, hidden: int, seed: int):
        super().__init__()
        self.code = code
        self.hidden = hidden
        self.shapes = {name: value.shape for name, value in initial.items()}
        # Vectors, and what begins constant, have no rows to mix and no columns whose lengths to keep.
        self._matrices = [value.ndim > 1 and bool(_spread(value, constant=0.0) > 0) for value in initial.values()]
        self._random = torch.Generator().manual_seed(seed)
        self._prepare({name: _stored(value.detach()) for name, value in initial.items()})
        del self._random
        self.to(next(iter(initial.values())))

    @abstractmethod
    def _prepare(self, initial: dict[str, Tensor]) -> None:
        """Add the generator's own parameters."""

    @abstractmethod
    def forward(self, code: Tensor) -> dict[str, Tensor]:
        """Return the parameters, by name, for the code `(E,)`."""

    def initial_code(self, seed: int) -> Tensor:
        """Return the code `(E,)` that the plain network's spread belongs to."""
        return torch.randn(self.code, generator=torch.Generator().manual_seed(seed))

    def _normal(self, *shape: int, spread: float | Tensor) -> nn.Parameter:
        return nn.Parameter(torch.randn(shape, generator=self._random) * spread)

    def _trunk(self, inputs: int) -> nn.Linear:
        trunk = uninitialised(nn.Linear, inputs, self.hidden)
        trunk.weight = self._normal(self.hidden, inputs, spread=1 / math.sqrt(inputs))
        trunk.bias = nn.Parameter(torch.zeros(self.hidden))
        return trunk

    @property
    def _sizes(self) -> list[int]:
        return [shape.numel() for shape in self.shapes.values()]

    def _sums(self, told: Tensor) -> list[Tensor]:
        """Return `base + heads @ told` for each parameter."""
        # A product for each parameter, since a part of a common one is slow to compute with under `vmap`.
        parts = zip(self.base.split(self._sizes), self.heads.split(self._sizes), strict=True)
        return [functional.linear(told, heads, base) for base, heads in parts]

    def _named(self, parts: Iterable[Tensor]) -> dict[str, Tensor]:
        """Give the values of each parameter its name and shape."""
        return {name: _shaped(part, shape) for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)}


class LowRank(Generator):
    """Acquired weights, and a correction of rank H that the code chooses: `B + U tanh(A e + c)`.

    Half of the initial variance comes from each. The default: the code has a say in every weight.

    Example:
        >>> generator = LowRank({"weight": torch.ones(3, 2)}, code=4, hidden=8, seed=0)
        >>> generator(torch.zeros(4))["weight"].shape
        torch.Size([3, 2])
    """

    def _prepare(self, initial: dict[str, Tensor]) -> None:
        spreads = torch.cat([_spread(value, constant=0.0).expand(value.numel()) for value in initial.values()])
        varies = spreads > 0
        base = torch.cat([value.flatten() for value in initial.values()])
        self.base = nn.Parameter(torch.where(varies, base * math.sqrt(0.5), base))
        self.trunk = self._trunk(self.code)
        spreads = spreads[:, None] * math.sqrt(0.5 / _TANH / self.hidden)
        self.heads = self._normal(len(base), self.hidden, spread=spreads)

    def forward(self, code: Tensor) -> dict[str, Tensor]:
        """Return the parameters, by name, for the code `(E,)`."""
        return self._named(self._sums(self.trunk(code).tanh()))


class Linear(Generator):
    """Acquired weights, to which the code adds directly: `B + U e`. The code begins at zero; there are no hidden units.

    With biases and the scales of normalisations generated, this is CAVIA: a code that adds to a bias is a code appended
    to the inputs, and one that scales and shifts normalised maps is FiLM.

    Source: Zintgraf et al. 2019 (arXiv 1810.03642), section 3.

    Example:
        >>> generator = Linear({"bias": torch.ones(3)}, code=4, hidden=8, seed=0)
        >>> generator(torch.zeros(4))["bias"]
        tensor([1., 1., 1.], grad_fn=...)
    """

    def _prepare(self, initial: dict[str, Tensor]) -> None:
        spreads = torch.cat([_spread(value, constant=1.0).expand(value.numel()) for value in initial.values()])
        self.base = nn.Parameter(torch.cat([value.flatten() for value in initial.values()]))
        self.heads = self._normal(len(spreads), self.code, spread=spreads[:, None] / math.sqrt(self.code))

    def initial_code(self, seed: int) -> Tensor:
        """Return a code `(E,)` of zeros."""
        return torch.zeros(self.code)

    def forward(self, code: Tensor) -> dict[str, Tensor]:
        """Return the parameters, by name, for the code `(E,)`."""
        return self._named(self._sums(code))


class Factorised(Generator):
    """Acquired weights, and for each kernel or matrix a generated sum of R outer products of vectors along its axes.

    A kernel of 64 x 64 channels and 3 x 3 pixels has 36,864 numbers, of which `LowRank` writes every one for each
    hidden unit; its factors have R (64 + 64 + 9), so that the generator of a convolutional network stays small.
    Vectors, and what begins constant, are added to, as in `LowRank`.

    Source: the polyadic form that Lebedev et al. 2015 (arXiv 1412.6553) give convolutions, with the height and width
    of a kernel as one axis. Differs: the correction alone has it.

    Example:
        >>> generator = Factorised({"weight": torch.rand(64, 64, 3, 3)}, code=4, hidden=8, seed=0)
        >>> generator.heads.shape
        torch.Size([548, 8])
    """

    rank = 4

    def _prepare(self, initial: dict[str, Tensor]) -> None:
        self.trunk = self._trunk(self.code)
        self._axes: list[list[int]] = []
        bases, spreads = [], []
        for value, matrix in zip(initial.values(), self._matrices, strict=True):
            # What is stored has the channels of a kernel last.
            whole = [len(value), value[0, ..., 0].numel(), value.shape[-1]] if matrix else [value.numel()]
            axes = [axis for axis in whole if axis > 1] or [1]
            spread = _spread(value, constant=0.0)
            bases.append(value.flatten() * torch.where(spread > 0, math.sqrt(0.5), 1.0))
            spread = spread * math.sqrt(0.5 / self.rank if matrix else 0.5)
            spreads.append((spread ** (1 / len(axes))).expand((self.rank if matrix else 1) * sum(axes)))
            self._axes.append(axes)
        self._factors = [len(part) for part in spreads]
        self.base = nn.Parameter(torch.cat(bases))
        scale = torch.cat(spreads)[:, None] / math.sqrt(_TANH * self.hidden)
        self.heads = self._normal(len(scale), self.hidden, spread=scale)

    def forward(self, code: Tensor) -> dict[str, Tensor]:
        """Return the parameters, by name, for the code `(E,)`."""
        hidden = self.trunk(code).tanh()
        parts = []
        wholes = (self.base.split(self._sizes), self.heads.split(self._factors), self._axes, self._matrices)
        for base, heads, axes, matrix in zip(*wholes, strict=True):
            if not matrix:
                parts.append(functional.linear(hidden, heads, base))
                continue
            first, *others = functional.linear(hidden, heads).view(self.rank, -1).split(axes, dim=1)
            for other in others[:-1]:
                first = (first[:, :, None] * other[:, None]).flatten(1)
            product = first.T @ others[-1] if others else first.sum(0)
            parts.append(base + product.flatten())
        return self._named(parts)


class Multiplicative(Generator):
    """Acquired weights, each multiplied by a generated gate, and columns brought to an acquired length.

    `g * colnorm(B * (1 + U tanh(A e + c)))`; vectors, and what begins constant, are added to, as in `LowRank`.

    Source: the form of HyperFields (Babu et al. 2024, arXiv 2310.17075). Differs: the lengths `g` are acquired, so that
    the spread of the plain network can be kept.

    Example:
        >>> generator = Multiplicative({"weight": torch.ones(3, 2)}, code=4, hidden=8, seed=0)
        >>> generator(torch.zeros(4))["weight"].norm(dim=0)
        tensor([1.7321, 1.7321], grad_fn=...)
    """

    def _prepare(self, initial: dict[str, Tensor]) -> None:
        flat = torch.cat([value.flatten() for value in initial.values()])
        self.base = nn.Parameter(flat.clone())
        self.trunk = self._trunk(self.code)
        gated = torch.tensor(self._matrices).repeat_interleave(torch.tensor(self._sizes))
        self.heads = self._normal(len(flat), self.hidden, spread=0.5 * gated[:, None] / math.sqrt(_TANH * self.hidden))
        matrices = compress(initial.values(), self._matrices)
        self.lengths = nn.ParameterList(value.flatten(1).norm(dim=0) for value in matrices)

    def forward(self, code: Tensor) -> dict[str, Tensor]:
        """Return the parameters, by name, for the code `(E,)`."""
        hidden = self.trunk(code).tanh()
        lengths = iter(self.lengths)
        parts = []
        wholes = (self.base.split(self._sizes), self.heads.split(self._sizes), self.shapes.values(), self._matrices)
        for base, heads, shape, matrix in zip(*wholes, strict=True):
            if not matrix:
                parts.append(functional.linear(hidden, heads, base))
            else:
                columns = (base * (1 + functional.linear(hidden, heads))).view(shape[0], -1)
                parts.append((columns / (columns.norm(dim=0) + 1e-12) * next(lengths)).flatten())
        return self._named(parts)


class Templates(Generator):
    """Every row of a parameter is a mixture of H templates; the mixtures are the code.

    Vectors, and what begins constant, are part of the code themselves.

    Source: Zhao et al. 2020, "Meta-learning via hypernetworks": soft row sharing.

    Example:
        >>> generator = Templates({"weight": torch.rand(3, 2), "bias": torch.zeros(3)}, code=4, hidden=8, seed=0)
        >>> generator.code
        27
    """

    def _prepare(self, initial: dict[str, Tensor]) -> None:
        self._initial = list(initial.values())
        self._of_code = [
            value.shape[0] * self.hidden if matrix else value.numel()
            for value, matrix in zip(self._initial, self._matrices, strict=True)
        ]
        self.code = sum(self._of_code)
        self.templates = nn.ParameterList(
            self._normal(self.hidden, value[0].numel(), spread=_spread(value))
            for value in compress(self._initial, self._matrices)
        )

    def initial_code(self, seed: int) -> Tensor:
        """Return mixtures `(E,)` of which each keeps the spread of the templates."""
        mixtures = super().initial_code(seed) / math.sqrt(self.hidden)
        parts = zip(self._matrices, mixtures.split(self._of_code), self._initial, strict=True)
        return torch.cat([part if matrix else value.flatten() for matrix, part, value in parts])

    def forward(self, code: Tensor) -> dict[str, Tensor]:
        """Return the parameters, by name, for the code `(E,)`."""
        templates = iter(self.templates)
        parts = zip(self._matrices, code.split(self._of_code), strict=True)
        rows = [(part.view(-1, self.hidden) @ next(templates)).flatten() if matrix else part for matrix, part in parts]
        return self._named(rows)


class Chunked(Generator):
    """One small network writes all weights, a chunk at a time, told by an embedding which chunk it is.

    The fewest parameters of all: `H S + K E` for `W = K S` weights.

    Source: von Oswald et al. 2020 (arXiv 1906.00695), section 2.2.

    Example:
        >>> generator = Chunked({"weight": torch.rand(100, 100)}, code=4, hidden=8, seed=0)
        >>> sum(parameter.numel() for parameter in generator.parameters())
        1204
    """

    spreads: Tensor
    offsets: Tensor

    def _prepare(self, initial: dict[str, Tensor]) -> None:
        weights = sum(value.numel() for value in initial.values())
        # The size at which heads and embeddings together take the fewest parameters.
        size = math.ceil(math.sqrt(weights * self.code / self.hidden))
        self.trunk = self._trunk(2 * self.code)
        self.heads = self._normal(size, self.hidden, spread=1 / math.sqrt(_TANH * self.hidden))
        self.embeddings = self._normal(math.ceil(weights / size), self.code, spread=1.0)
        # Parameters that begin constant, as those of a normalisation do, are generated around that constant.
        constant = [value.flatten() * (_spread(value, constant=0.0) == 0) for value in initial.values()]
        self.register_buffer("spreads", torch.cat([_spread(value).expand(value.numel()) for value in initial.values()]))
        self.register_buffer("offsets", torch.cat(constant))

    def forward(self, code: Tensor) -> dict[str, Tensor]:
        """Return the parameters, by name, for the code `(E,)`."""
        told = torch.cat([code.expand(len(self.embeddings), -1), self.embeddings], dim=1)
        flat = (self.trunk(told).tanh() @ self.heads.T).flatten()[: len(self.spreads)]
        return self._named((self.offsets + self.spreads * flat).split(self._sizes))


GENERATORS: dict[str, type[Generator]] = {
    "low_rank": LowRank,
    "linear": Linear,
    "factorised": Factorised,
    "multiplicative": Multiplicative,
    "templates": Templates,
    "chunked": Chunked,
}
"""Every generator by name."""


def _spread(value: Tensor, constant: float = _SMALL) -> Tensor:
    """Return the standard deviation of a parameter; `constant` for one whose values are all equal."""
    spread = value.std(correction=0)
    return torch.where((value == value.flatten()[0]).all(), constant, spread)


def _stored(value: Tensor) -> Tensor:
    """Order a kernel as convolutions want it in memory, so that it needs no copy when it is generated."""
    return value.permute(0, 2, 3, 1).contiguous() if value.ndim == 4 else value.contiguous()


def _shaped(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return part.view(shape)
    rows, channels, height, width = shape
    return part.view(rows, height, width, channels).permute(0, 3, 1, 2)
