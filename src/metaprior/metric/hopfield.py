"""A modern Hopfield network as read-out: a query settles on what it reminds of before it is classified.

Axis letters: T tasks, N support, Q query, C classes, M stored examples, F features, H heads, K numbers of a pattern.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.metric.features import Unseen, novelty_for
from metaprior.metric.store import Stored, StorePrior, votes
from metaprior.nets import width_of
from metaprior.registry import priors

__all__ = ["Hopfield", "settle"]


def settle(queries: Tensor, patterns: Tensor, real: Tensor, sharpness: float, updates: int) -> Tensor:
    """Return where queries end up when each moves, so many times, to the attention-weighted mean of the patterns.

    Args:
        queries: `(..., Q, K)`.
        patterns: `(..., M, K)`.
        real: `(..., M)`, False for padding.
        sharpness: of the attention; the larger it is, the nearer to a single pattern.
        updates: how many times.

    Source: Ramsauer et al. 2021 (arXiv 2008.02217), eq. 3; it is that of attention.

    Example:
        >>> patterns = torch.eye(3)
        >>> settle(torch.tensor([[0.6, 0.4, 0.0]]), patterns, torch.ones(3, dtype=torch.bool), 8.0, 5)[0].round()
        tensor([1., 0., 0.])
    """
    stored = real.any(-1)[..., None, None]
    # Where nothing is stored all is attended to and nothing moves, since a softmax over nothing has no gradient.
    left_out = ~(real[..., None, :] | ~stored)
    for _ in range(updates):
        scores = (sharpness * queries @ patterns.transpose(-2, -1)).masked_fill(left_out, -torch.inf)
        queries = torch.where(stored, scores.softmax(-1) @ patterns, queries)
    return queries


@priors.register("hopfield")
class Hopfield(StorePrior):
    """Classify by attention to all examples seen, with acquired projections, after the query has settled among them.

    Args:
        net: from `(N, *x)` to features `(N, F)`, with F as its attribute `features`.
        ways: how many classes to expect; a task with more makes room for them as they are observed.
        heads: H, how many projections there are; their attention is averaged.
        size: K, the numbers of a projected pattern; None for F.
        updates: how many times attention is paid, the last time to labels; before that, it moves the query.
        sharpness: of the attention; None for 1 / sqrt(K).
        unseen: as for `ProtoNet`.
        capacity: how many examples are kept, the last ones; None for all.

    Source: Ramsauer et al. 2021 (arXiv 2008.02217), section 3 and the layer `Hopfield`; used on few examples as in
    Schimunek et al. 2023 (MHNfs, arXiv 2305.09481). Differs: what is read out is a vote of the labels, as in matching
    networks, so that classes may come in any number.

    Example:
        >>> from metaprior.nets import MLP
        >>> from metaprior.tasks import Examples
        >>> prior = Hopfield(MLP(inputs=4), ways=2)
        >>> state = prior.observe(prior.start(1), Examples(torch.rand(1, 6, 4), torch.tensor([[0, 1, 0, 1, 0, 1]])))
        >>> prior.predict(state, torch.rand(1, 3, 4)).exp().sum(-1).round()
        tensor([[1., 1., 1.]], grad_fn=<RoundBackward0>)
    """

    def __init__(
        self,
        net: nn.Module,
        ways: int = 2,
        heads: int = 4,
        size: int | None = None,
        updates: int = 1,
        sharpness: float | None = None,
        unseen: Unseen | None = None,
        capacity: int | None = None,
    ):
        super().__init__()
        check_positive(ways=ways, heads=heads, size=size, updates=updates, sharpness=sharpness, capacity=capacity)
        self.net = net
        self.ways = ways
        self.heads = heads
        self.size = size
        self.updates = updates
        self.sharpness = sharpness
        self.unseen = unseen
        self.capacity = capacity
        random = torch.Generator().manual_seed(getattr(net, "seed", 0) + 1)
        features = width_of(net)
        bound = (3 / features) ** 0.5
        # At first a query is compared with the examples in the same projection; what differs is acquired.
        first = torch.rand(heads, features, size or features, generator=random) * 2 * bound - bound
        self.of_query = nn.Parameter(first.clone())
        self.of_example = nn.Parameter(first)
        self.novelty = novelty_for(unseen, logit=0.0)

    def recall(self, state: Stored, features: Tensor) -> Tensor:
        """Return the logarithm of each class's probability, `(T, Q, C)`."""
        stored = state.features.expand(-1, -1, features.shape[-1])
        queries = torch.einsum("tqf,hfk->thqk", _standardised(features), self.of_query)
        patterns = torch.einsum("tmf,hfk->thmk", _standardised(stored), self.of_example)
        sharpness = self.sharpness or 1 / math.sqrt(patterns.shape[-1])
        settled = settle(queries, patterns, state.real[:, None], sharpness, self.updates - 1)
        scores = sharpness * settled @ patterns.transpose(-2, -1)
        each = votes(scores.flatten(1, 2), state, self.unseen, self.novelty).unflatten(1, scores.shape[1:3])
        return each.logsumexp(1) - math.log(self.heads)


def _standardised(features: Tensor) -> Tensor:
    return functional.layer_norm(features, features.shape[-1:])
