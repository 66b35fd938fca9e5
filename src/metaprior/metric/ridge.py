"""Ridge regression as the head of an acquired feature space: adaptation in closed form, differentiated through.

Axis letters: T tasks, N support, Q query, F features, C classes, D target features, K either of the last two.
"""

import math
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import check_positive
from metaprior.metric.features import FeaturePrior
from metaprior.metric.labels import outcomes
from metaprior.nets import default_net
from metaprior.registry import priors
from metaprior.tasks.episode import Examples, TaskSpec
from metaprior.tree import Tree

__all__ = ["Ridge", "Seen"]


class Seen(NamedTuple):
    """The belief of a ridge head: what it has seen, from which its solution follows.

    Args:
        features: `(T, N, F)`, zero for padding.
        targets: `(T, N, K)`: ones and zeros for classes, values for regression; zero for padding.
    """

    features: Tensor
    targets: Tensor


@priors.register("ridge")
class Ridge(FeaturePrior):
    """Solve a ridge regression from features to classes or values for each task.

    The features, the penalty and the scale of the predictions are acquired.

    Args:
        net: from `(N, *x)` to features `(N, F)`.
        outputs: how many classes to expect, or D; a task with more classes makes room for them.
        penalty: on the squared weights, at the beginning.
        scale: of the predictions, at the beginning; None for 1, or what `for_tasks` chose.
        bias: add a constant feature, penalised like the others.

    Source: Bertinetto et al. 2019 (R2-D2, arXiv 1805.08136), eq. 4 to 7. Differs: no offset is added to the logits,
    since one number for all classes changes no softmax; where there are more examples than features the solution is
    the equal one of the smaller system.

    Example:
        >>> prior = Ridge(nn.Flatten(), outputs=1, penalty=1e-6)
        >>> x = torch.tensor([[[0.0], [1.0], [2.0]]])
        >>> prior.predict(prior.observe(prior.start(1), Examples(x, 3 * x + 1)), x + 1).detach().round()
        tensor([[[ 4.],
                 [ 7.],
                 [10.]]])
    """

    incremental: ClassVar[bool] = True

    def __init__(
        self, net: nn.Module, outputs: int = 2, penalty: float = 1.0, scale: float | None = None, bias: bool = True
    ):
        super().__init__()
        check_positive(outputs=outputs, penalty=penalty, scale=scale)
        self.net = net
        self.outputs = outputs
        self.penalty = penalty
        self.scale = scale
        self.bias = bias
        self.log_penalty = nn.Parameter(torch.tensor(math.log(penalty)))
        self.log_scale = nn.Parameter(torch.tensor(0.0 if scale is None else math.log(scale)))

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a network of features and as many outputs as the tasks have; logits are scaled by 10."""
        if arguments.get("scale") is None:
            arguments["scale"] = 10.0 if spec.kind == "classification" else 1.0
        return cls(default_net(spec, None, seed) if net is None else net, **({"outputs": spec.outputs} | arguments))

    def start(self, tasks: int, about: Tree = None) -> Seen:
        """Return what has been seen before any example: nothing."""
        return Seen(self.log_scale.new_zeros(tasks, 0, 1), self.log_scale.new_zeros(tasks, 0, self.outputs))

    def remember(self, state: Seen, examples: Examples) -> Seen:
        """Add the features and targets of labelled examples."""
        features = self._with_bias(examples.x).masked_fill(~examples.real[..., None], 0)
        targets = outcomes(examples, state.targets.shape[-1], features.dtype)
        before = functional.pad(state.targets, (0, targets.shape[-1] - state.targets.shape[-1]))
        return Seen(
            torch.cat([state.features.expand(-1, -1, features.shape[-1]), features], dim=1),
            torch.cat([before, targets], dim=1),
        )

    def recall(self, state: Seen, features: Tensor) -> Tensor:
        """Return logits `(T, Q, C)` or values `(T, Q, D)` by the ridge solution of what was seen."""
        queries = self._with_bias(features)
        features, targets = state
        seen, width = features.shape[1:]
        if seen == 0:
            return queries.new_zeros(*queries.shape[:2], targets.shape[-1])
        penalty = self.log_penalty.exp()
        across = features.transpose(1, 2)
        if seen <= width:
            weights = across @ torch.linalg.solve(features @ across + penalty * _identity(seen, features), targets)
        else:
            weights = torch.linalg.solve(across @ features + penalty * _identity(width, features), across @ targets)
        return (queries @ weights) * self.log_scale.exp()

    def _with_bias(self, features: Tensor) -> Tensor:
        return functional.pad(features, (0, 1), value=1.0) if self.bias else features


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
