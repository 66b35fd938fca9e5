"""Adaptive deep kernel fitting: each task fits the kernel's few hyper-parameters, all tasks share its network.

Axis letters: T tasks, N support, Q query, H hyper-parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metaprior.errors import check_positive
from metaprior.gaussian.deep_kernel import DeepKernelPrior
from metaprior.gaussian.kernels import Form
from metaprior.metric.labels import Labelled, added, nothing
from metaprior.registry import priors
from metaprior.tasks.episode import Episode, Examples
from metaprior.tree import Tree

__all__ = ["ADKF", "Fitted", "implicit", "maximise"]


class Fitted(NamedTuple):
    """The belief of adaptive deep kernel fitting.

    Args:
        examples: what was seen.
        hyper: `(T, H)`, the hyper-parameters that were fitted to it.
    """

    examples: Labelled
    hyper: Tensor


@priors.register("adkf")
class ADKF(DeepKernelPrior):
    """Adapt by fitting the hyper-parameters of a Gaussian process to a task, then conditioning it.

    The fit maximises the evidence of the support together with a normal prior about the acquired values. The outer
    gradient goes through it by the implicit function theorem, without any memory of its steps.

    Args:
        net: from `(N, *x)` to features `(N, F)`.
        outputs: how many classes to expect, or D; a task with more classes makes room for them.
        kernel: on features: "rbf", "matern", "linear" or "cosine"; see `DeepKernel`.
        inputs: how many numbers an input has, to add a Tanimoto kernel on the inputs themselves; 0 for none.
        noise: the variance of noise, at the beginning.
        freedom: the standard deviation of a task's hyper-parameters about the acquired ones, in units of a factor of e;
            near 0 it is `DKT`, and large it lets the support alone decide.
        iterations: Newton steps of the fit at most.

    Source: Chen et al. 2022 (ADKF-IFT, arXiv 2205.02708), eq. 4 to 8. Differs: the fit is by Newton's method for all
    tasks at once, and has a prior whose centre is acquired, where theirs begins at fixed values; classes as for `DKT`.

    Example:
        >>> prior, x = ADKF(nn.Flatten(), outputs=1, freedom=2.0), Tensor([[[0.0], [1.0], [2.0], [3.0]]])
        >>> state = prior.observe(prior.start(1), Examples(x, 3 * x))
        >>> prior.names[-1], bool(state.hyper[0, -1] < prior.log_hyper[-1])
        ('noise', True)
    """

    def __init__(
        self,
        net: nn.Module,
        outputs: int = 2,
        kernel: Form = "matern",
        inputs: int = 0,
        noise: float = 0.1,
        freedom: float = 1.0,
        iterations: int = 30,
    ):
        super().__init__(net, outputs, kernel, inputs, noise)
        check_positive(freedom=freedom, iterations=iterations)
        self.freedom = freedom
        self.iterations = iterations

    def start(self, tasks: int, about: Tree = None) -> Fitted:
        """Return the belief before any example: the acquired hyper-parameters."""
        return Fitted(nothing(tasks, self.outputs, self.log_hyper), self.log_hyper.expand(tasks, -1))

    def remember(self, state: Fitted, examples: Examples) -> Fitted:
        """Add labelled examples to what was seen, and fit the hyper-parameters to all of it."""
        seen = added(state.examples, examples)
        alike = self._kernel.compare(seen.features, seen.features)

        def objective(hyper: Tensor, alike: Tensor, centre: Tensor) -> Tensor:
            away = (hyper - centre) / self.freedom
            return self.evidence(seen, alike, hyper) - 0.5 * away.square().sum(1)

        start = self.log_hyper.detach().expand(len(state.hyper), -1)
        best = maximise(lambda hyper: objective(hyper, alike.detach(), start), start, self.iterations)
        if torch.is_grad_enabled():
            best = implicit(lambda hyper: objective(hyper, alike, self.log_hyper), best)
        return Fitted(seen, best)

    def seen(self, state: Fitted) -> Labelled:
        """Return the examples of a state."""
        return state.examples

    def fitted(self, state: Fitted) -> Tensor:
        """Return the hyper-parameters of each task, `(T, H)`."""
        return state.hyper

    def loss(self, episode: Episode) -> Tensor:
        """Return minus the logarithm of the probability or density of each query given the support, a mean."""
        return self.predictive_loss(episode)


def maximise(objective: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """Return where each task's objective is greatest near the start, by damped Newton steps.

    A direction in which the objective curves upwards is climbed as if it curved as much downwards; a step is at most 2
    long, and is halved until it helps.

    Args:
        objective: from `(T, H)` to `(T,)`; the value of a task depends on its own row alone.
        start: `(T, H)`.
        steps: how many at most; it ends where nothing is left to gain.

    Example:
        >>> maximise(lambda a: -(a - 3).square().sum(1), torch.zeros(1, 2), steps=20)
        tensor([[3., 3.]])
    """
    best = start
    rounding = torch.finfo(start.dtype).eps
    for _ in range(steps):
        value, gradient, hessian = (part.detach() for part in derivatives(objective, best))
        curvatures, directions = torch.linalg.eigh(hessian)
        climb = (directions.mT @ gradient[..., None]).squeeze(-1) / curvatures.abs().clamp(min=1e-3)
        step = (directions @ climb[..., None]).squeeze(-1)
        step = step * (2 / step.norm(dim=1, keepdim=True).clamp(min=2))
        slope = (step * gradient).sum(1)
        if bool((slope < rounding**0.75).all()):
            # So near to the end, a whole step leaves an error as small as the square of its length.
            return best + step
        share, least = torch.ones_like(slope), value - 10 * rounding * value.abs()
        with torch.no_grad():
            for _ in range(10):
                helps = objective(best + share[:, None] * step) >= least + 1e-4 * share * slope
                if bool(helps.all()):
                    break
                share = share.where(helps, share / 2)
        best = best + (share * helps)[:, None] * step
    return best


def implicit(objective: Callable[[Tensor], Tensor], best: Tensor) -> Tensor:
    """Return `best`, with the gradient that it has as the maximiser of an objective that depends on parameters.

    A Newton step from the maximum goes nowhere, but moves with whatever the objective's gradient there depends on:
    -H⁻¹ times that, which is what the implicit function theorem says. H itself has no part in it.

    Args:
        objective: from `(T, H)` to `(T,)`.
        best: `(T, H)`, where it is greatest.

    Example:
        >>> a = torch.tensor([[2.0]], requires_grad=True)
        >>> implicit(lambda b: -(b - a**2).square().sum(1), torch.tensor([[4.0]])).backward()
        >>> a.grad
        tensor([[4.]])
    """
    _, gradient, hessian = derivatives(objective, best.detach())
    step = torch.linalg.solve(hessian.detach(), (gradient - gradient.detach())[..., None]).squeeze(-1)
    return best.detach() - step


def derivatives(objective: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return values `(T,)`, gradients `(T, H)` and second derivatives `(T, H, H)`; the second can be differentiated.

    Example:
        >>> derivatives(lambda a: a.square().sum(1), torch.tensor([[3.0]]))[1:]
        (tensor([[6.]], grad_fn=<MulBackward0>), tensor([[[2.]]]))
    """
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value = objective(at)
        (gradient,) = torch.autograd.grad(value.sum(), at, create_graph=True)
        rows = [
            torch.autograd.grad(part.sum(), at, retain_graph=True, materialize_grads=True)[0]
            for part in gradient.unbind(1)
        ]
    return value, gradient, torch.stack(rows, dim=1)
