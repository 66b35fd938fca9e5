"""Meta-SGD: the step size of every single weight is acquired beside the weight."""

import torch
from torch import Tensor, nn

from metaprior.gradient.maml import MAML
from metaprior.registry import priors

__all__ = ["MetaSGD"]


@priors.register("meta_sgd")
class MetaSGD(MAML):
    """MAML with an acquired step size, of either sign, for each element of each adapted parameter.

    Takes the arguments of `MAML`; `step_size` is where the acquired ones begin.

    Source: Li et al. 2017 (arXiv 1707.09835), eq. 4. Differs: more than one inner step may be taken, all of the same
    sizes; they begin at one value instead of random ones.

    Example:
        >>> from metaprior.nets import MLP
        >>> prior = MetaSGD(MLP(inputs=1, outputs=1), step_size=0.01)
        >>> sum(parameter.numel() for parameter in prior.parameters()) // 2
        1761
    """

    def _prepare(self) -> None:
        shapes = {name: parameter.shape for name, parameter in self.net.named_parameters()}
        self.sizes = nn.ParameterList(torch.full(shapes[name], self._first_size) for name in self._adapted_names())

    def step_sizes(self, step: int) -> dict[str, Tensor | float]:
        """Return the acquired step sizes, each of its parameter's shape."""
        return dict(zip(self._adapted_names(), self.sizes, strict=True))
