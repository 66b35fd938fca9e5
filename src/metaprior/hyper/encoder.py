"""An encoder of support sets: from labelled examples, in whatever order, to a code.

Axis letters: T tasks, N support, F features, K target features or classes, H hidden units, A attention heads, E code.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import UnknownNameError, check_positive
from metaprior.nets import MLP, initialise, uninitialised

__all__ = ["Pooled", "Pooling", "SupportEncoder"]

Pooling = Literal["attention", "mean"]
_POOLINGS = ("attention", "mean")


class Pooled(NamedTuple):
    """What is kept of the examples seen so far.

    Args:
        sums: `(T, A, H)`, the weighted sum of what they were encoded to.
        totals: `(T, A)`, the sum of the weights.
    """

    sums: Tensor
    totals: Tensor


class SupportEncoder(nn.Module):
    """Encode each example with its target, pool the encodings, and read a code from the pool.

    Examples may come one by one: pools add up.

    Args:
        features: F.
        targets: K.
        code: E.
        hidden: H.
        heads: A, how many differently weighted means are taken; 1 for the mean.
        pooling: "attention", by which each head gives an example the weight that it deserves; or "mean".
        seed: of the initial weights.

    Source: pooling by attention to acquired queries, Lee et al. 2019 (Set Transformer, arXiv 1810.00825), section 3.2.
    Differs: the weights are a softplus instead of an exponential, so that pools add up without care for overflow.

    Example:
        >>> encoder = SupportEncoder(features=2, targets=1, code=16)
        >>> pool = encoder.add(encoder.empty(4), torch.rand(4, 10, 2), torch.rand(4, 10, 1), torch.ones(4, 10).bool())
        >>> encoder.read(pool).shape
        torch.Size([4, 16])
    """

    def __init__(
        self,
        features: int,
        targets: int,
        code: int,
        hidden: int = 64,
        heads: int = 4,
        pooling: Pooling = "attention",
        seed: int = 0,
    ):
        super().__init__()
        check_positive(features=features, targets=targets, code=code, hidden=hidden, heads=heads)
        if pooling not in _POOLINGS:
            raise UnknownNameError("pooling", pooling, _POOLINGS)
        self.hidden = hidden
        self.heads = heads if pooling == "attention" else 1
        self.encode = MLP(features + targets, hidden, hidden=(hidden,), seed=seed)
        self.attend = uninitialised(nn.Linear, hidden, self.heads) if pooling == "attention" else None
        self.readout = MLP(self.heads * hidden, code, hidden=(hidden,), seed=seed + 1)
        if self.attend is not None:
            initialise(nn.ModuleDict({"head": self.attend}), seed + 2)

    def empty(self, tasks: int) -> Pooled:
        """Return the pool of no examples, for T tasks."""
        zeros = self.encode.head.get_parameter("weight").new_zeros
        return Pooled(zeros(tasks, self.heads, self.hidden), zeros(tasks, self.heads))

    def add(self, pool: Pooled, features: Tensor, targets: Tensor, real: Tensor) -> Pooled:
        """Add examples: features `(T, N, F)`, targets `(T, N, K)`, and `(T, N)`, False for padding."""
        pairs = torch.cat([features, targets], dim=-1)
        encoded = self.encode(pairs.flatten(0, 1)).relu().unflatten(0, real.shape)
        weights = encoded.new_ones(*real.shape, 1) if self.attend is None else functional.softplus(self.attend(encoded))
        # Padding is overwritten rather than multiplied by zero: it may hold anything.
        weights = weights.masked_fill(~real[..., None], 0)
        encoded = encoded.masked_fill(~real[..., None], 0)
        return Pooled(pool.sums + weights.transpose(1, 2) @ encoded, pool.totals + weights.sum(1))

    def read(self, pool: Pooled) -> Tensor:
        """Return the code `(T, E)`; zero for a pool of no examples."""
        seen = pool.totals > 0
        means = pool.sums / pool.totals.where(seen, 1)[..., None]
        return self.readout(means.flatten(1)).masked_fill(~seen.any(1, keepdim=True), 0)
