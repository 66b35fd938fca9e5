"""The matching network: a query is what the examples are that resemble it.

Axis letters: T tasks, N support, Q query, C classes, M stored examples, F features.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.metric.features import Unseen, novelty_for
from metaprior.metric.store import Stored, StorePrior, votes
from metaprior.registry import priors

__all__ = ["Matching"]


@priors.register("matching")
class Matching(StorePrior):
    """Classify by attention to all examples seen, which grows with the cosine of their features and the query's.

    Args:
        net: from `(N, *x)` to features `(N, F)`.
        ways: how many classes to expect; a task with more makes room for them as they are observed.
        sharpness: what cosines are multiplied by, at the beginning.
        unseen: as for `ProtoNet`.
        capacity: how many examples are kept, the last ones; None for all.

    Source: Vinyals et al. 2016 (arXiv 1606.04080), eq. 1. Differs: sharpness is acquired, as in the online version of
    Ren et al. 2021 (arXiv 2007.04546); features do not depend on the other examples (no full-context embeddings).

    Example:
        >>> from metaprior.tasks import Examples
        >>> prior = Matching(nn.Identity())
        >>> support = Examples(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[0, 1]]))
        >>> prior.predict(prior.observe(prior.start(1), support), torch.tensor([[[0.1, 0.9]]])).argmax(-1)
        tensor([[1]])
    """

    def __init__(
        self,
        net: nn.Module,
        ways: int = 2,
        sharpness: float = 10.0,
        unseen: Unseen | None = None,
        capacity: int | None = None,
    ):
        super().__init__()
        check_positive(ways=ways, sharpness=sharpness, capacity=capacity)
        self.net = net
        self.ways = ways
        self.sharpness = sharpness
        self.unseen = unseen
        self.capacity = capacity
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness)))
        self.novelty = novelty_for(unseen, logit=0.5)

    def recall(self, state: Stored, features: Tensor) -> Tensor:
        """Return the logarithm of each class's probability, `(T, Q, C)`."""
        stored = functional.normalize(state.features.expand(-1, -1, features.shape[-1]), dim=-1)
        cosines = functional.normalize(features, dim=-1) @ stored.transpose(1, 2)
        sharpness = self.log_sharpness.exp()
        novelty = None if self.novelty is None else sharpness * self.novelty
        return votes(sharpness * cosines, state, self.unseen, novelty)
