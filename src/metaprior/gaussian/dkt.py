"""Deep kernel transfer: a Gaussian process whose kernel all tasks share.

Axis letters: T tasks, N support, Q query, K classes or target features.
"""

from typing import Literal

from torch import Tensor, nn

from metaprior.errors import UnknownNameError
from metaprior.gaussian.deep_kernel import DeepKernelPrior
from metaprior.gaussian.kernels import Form
from metaprior.metric.labels import Labelled, added, nothing
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples
from metaprior.tree import Tree

__all__ = ["DKT"]


@priors.register("dkt")
class DKT(DeepKernelPrior):
    """Adapt by conditioning a Gaussian process, whose network and hyper-parameters are acquired.

    Args:
        net: from `(N, *x)` to features `(N, F)`.
        outputs: how many classes to expect, or D; a task with more classes makes room for them.
        kernel: on features: "rbf", "matern", "linear" or "cosine"; see `DeepKernel`.
        inputs: how many numbers an input has, to add a Tanimoto kernel on the inputs themselves; 0 for none.
        noise: the variance of noise, at the beginning.
        objective: the outer objective: "evidence" is the density of all labels of a task together, "predictive" that of
            the queries' given the support's.

    Source: Patacchiola et al. 2020 (arXiv 1910.05199), eq. 4 and 5; label regression of section 3.3. Differs:
    probabilities follow from the densities of the labels instead of a sigmoid of the mean, and know how far a query is
    from what was seen; a constant is part of the kernel instead of a mean.

    Example:
        >>> prior, x = DKT(nn.Flatten(), outputs=1, noise=1e-3), Tensor([[[0.0], [1.0], [2.0]]])
        >>> state = prior.observe(prior.start(1), Examples(x, 3 * x))
        >>> prior.predict(state, x).detach().flatten().round()
        tensor([0., 3., 6.])
    """

    def __init__(
        self,
        net: nn.Module,
        outputs: int = 2,
        kernel: Form = "rbf",
        inputs: int = 0,
        noise: float = 0.1,
        objective: Literal["evidence", "predictive"] = "evidence",
    ):
        super().__init__(net, outputs, kernel, inputs, noise)
        if objective not in ("evidence", "predictive"):
            raise UnknownNameError("objective", str(objective), ("evidence", "predictive"))
        self.objective = objective

    def start(self, tasks: int, about: Tree = None) -> Labelled:
        """Return the belief that nothing has been seen."""
        return nothing(tasks, self.outputs, self.log_hyper)

    def remember(self, state: Labelled, examples: Examples) -> Labelled:
        """Add labelled examples to what was seen."""
        return added(state, examples)

    def seen(self, state: Labelled) -> Labelled:
        """Return the state, which is nothing else."""
        return state

    def fitted(self, state: Labelled) -> Tensor:
        """Return the acquired hyper-parameters, `(1, H)`."""
        return self.log_hyper[None]

    def loss(self, episode: Episode) -> Tensor:
        """Return the outer objective, for each example and target."""
        if self.objective == "predictive":
            return self.predictive_loss(episode)
        start = self.start(episode.tasks, episode.about)
        state = self.observe(start, episode.support.joined(episode.query))
        alike = self._kernel.compare(state.features, state.features)
        return -(self.evidence(state, alike, self.fitted(state)) / state.real.sum(1).clamp(min=1)).mean()
