"""A transformer on rows of token ids: of a property of a sequence, or of the tokens that are hidden in it.

Axis letters: N sequences, L places, K tokens, H hidden features, F features, C outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, ShapeError, check_positive
from metaprior.nets.initialise import initialise, uninitialised
from metaprior.nets.pooling import mean_and_deviation
from metaprior.registry import nets

__all__ = ["Transformer"]

_SLOWEST = 100.0


@nets.register("transformer")
class Transformer(nn.Module):
    """Layers of attention in both directions over the tokens of a sequence; padding changes nothing.

    With `outputs`, a sequence has outputs from the mean and the standard deviation of the last states of its tokens;
    without, it has these two. A token knows its place from the beginning and from the end, and how far others are.

    Args:
        inputs: the most places that a sequence may have.
        tokens: K; ids go from 1 to K, and 0 is padding, or a hidden token where `states` is told so.
        outputs: C; None for features alone.
        width: H.
        layers: of attention.
        heads: of each layer.
        seed: of the initial weights.

    Source: Vaswani et al. 2017 (arXiv 1706.03762), with the norms before each part (Xiong et al. 2020, arXiv
    2002.04745), and queries and keys turned by their places (Su et al. 2021, arXiv 2104.09864), without which it
    learned SMILES more slowly in trials. What `forward` pools has gone through a norm, what `states` gives has not.

    Example:
        >>> net = Transformer(inputs=6, tokens=3, outputs=1, width=8, layers=2, heads=2)
        >>> net(torch.tensor([[1.0, 3.0, 2.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0, 0.0, 0.0]])).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        inputs: int,
        tokens: int,
        outputs: int | None = None,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        seed: int = 0,
    ):
        super().__init__()
        check_positive(inputs=inputs, tokens=tokens, width=width, layers=layers, heads=heads)
        if width % (2 * heads):
            raise MetapriorError(f"heads: expected a divisor of half the width {width}, got {heads}")
        self.inputs = inputs
        self.tokens = tokens
        self.outputs = outputs
        self.width = width
        self.layers = layers
        self.heads = heads
        self.seed = seed
        self.embedding = nn.Parameter(torch.empty(tokens + 1, width))
        self.from_start = nn.Parameter(torch.empty(inputs, width))
        self.from_end = nn.Parameter(torch.empty(inputs, width))
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.token_head = uninitialised(nn.Linear, width, tokens)
        self.head = None if outputs is None else uninitialised(nn.Linear, 2 * width, outputs)
        initialise(self, seed)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for table, scale in ((self.embedding, 0.5), (self.from_start, 0.05), (self.from_end, 0.05)):
                table.copy_(scale * torch.randn(table.shape, generator=generator))
            # What a layer adds is small at first, however many there are.
            for block in self.blocks:
                block.mixed.weight.mul_((4 * layers) ** -0.5)  # type: ignore[union-attr, operator]
                block.narrow.weight.mul_((4 * layers) ** -0.5)  # type: ignore[union-attr, operator]

    @property
    def features(self) -> int:
        """F, which is 2 H."""
        return 2 * self.width

    @property
    def at_once(self) -> int:
        """How many sequences to compute at once, so that what is known of their tokens stays in a CPU's cache."""
        return max(8, 2048 // self.width)

    def trimmed(self, x: Tensor) -> Tensor:
        """Return rows of token ids `(..., L)` without the places at their end where none has a token.

        These change nothing but the time that is taken, so that `apply` and `apply_per_task` leave them out.
        """
        filled = (x > 0).flatten(0, -2).any(0).nonzero()
        return x[..., : int(filled[-1]) + 1 if len(filled) else 1]

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs `(N, C)`, or features `(N, F)`, of rows of token ids `(N, L)`, of any dtype."""
        ids = x.long()
        real = ids > 0
        features = mean_and_deviation(self.norm(self.states(ids, real)[-1]), real)
        return features if self.head is None else self.head(features)

    def states(self, ids: Tensor, real: Tensor) -> list[Tensor]:
        """Return the states `(N, L, H)` of the embedding and after each layer, zero for padding.

        Args:
            ids: `(N, L)`, 0 where a token is hidden.
            real: `(N, L)`, True where there is a token, hidden or not; at the beginning of each row.

        Raises:
            ShapeError: if there are more places than the network has.
        """
        places = ids.shape[1]
        if places > self.inputs:
            raise ShapeError(f"ids: expected at most {self.inputs} places, got {places}")
        left = (real.sum(1, keepdim=True) - 1 - torch.arange(places, device=ids.device)).clamp(min=0)
        state = functional.embedding(ids, self.embedding) + self.from_start[:places]
        state = state + functional.embedding(left, self.from_end)
        shown = real[..., None].to(state.dtype)
        # A sequence without any token has no weights to divide by, so that padding is next to nothing instead.
        bias = torch.zeros_like(real, dtype=state.dtype).masked_fill(~real, torch.finfo(state.dtype).min)[:, None, None]
        found = [state * shown]
        turns = _turns(places, self.width // self.heads).to(state)
        for block in self.blocks:
            state = block(state, bias, turns)
            found.append(state * shown)
        return found

    def logits(self, states: Tensor) -> Tensor:
        """Return logits `(..., K)` of the tokens, from last states `(..., H)`."""
        return self.token_head(self.norm(states))


class _Block(nn.Module):
    """Attention, then a rectified layer; each is added to what it was given."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.first = nn.LayerNorm(width)
        self.asked = uninitialised(nn.Linear, width, 3 * width)
        self.mixed = uninitialised(nn.Linear, width, width)
        self.second = nn.LayerNorm(width)
        self.wide = uninitialised(nn.Linear, width, 4 * width)
        self.narrow = uninitialised(nn.Linear, 4 * width, width)

    def forward(self, state: Tensor, bias: Tensor, turns: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.asked(self.first(state)).chunk(3, -1)
        )
        # Torch's fused attention has no second derivatives, which MAML takes.
        scores = _turned(query, turns) @ _turned(key, turns).transpose(2, 3)
        weights = (scores * query.shape[-1] ** -0.5 + bias).softmax(-1)
        state = state + self.mixed((weights @ value).transpose(1, 2).flatten(2))
        return state + self.narrow(functional.gelu(self.wide(self.second(state))))


def _turns(places: int, width: int) -> Tensor:
    """Return cosines and sines `(2, L, width / 2)` of the angles that each place turns each pair of numbers by."""
    # The slowest turns once in some hundreds of places, as many as sequences have.
    angles = torch.arange(places)[:, None] * _SLOWEST ** -(torch.arange(0, width, 2) / width)
    return torch.stack([angles.cos(), angles.sin()])


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    """Return queries or keys `(..., L, width)` turned, so that their products depend on how far places are apart."""
    left, right = x.chunk(2, -1)
    cosine, sine = turns
    return torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)
