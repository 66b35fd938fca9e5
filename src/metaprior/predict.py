"""Adapting and predicting as a user of an acquired prior does: one task, any number of queries, with deviations.

Axis letters: T tasks, N support, Q query, G groups of the support, C classes, D target features.
"""

import torch
from torch import Tensor

from metaprior.errors import DataError, ShapeError
from metaprior.prior import Prior
from metaprior.tasks.episode import Examples
from metaprior.tasks.own import Inputs
from metaprior.tree import Tree, map_chunks, map_tensors, tensors

__all__ = ["believe", "deviation", "jackknife", "predict_rows"]

REPLICATES = 50
"""How many times the jackknife adapts at most; a larger support set is left out in so many groups."""
ROWS = 1000
"""How many queries are predicted at once."""


@torch.no_grad()
def believe(prior: Prior, support: Examples, classes: int | None = None, about: Tree = None) -> Tree:
    """Return the belief of a prior after the support set, and make sure that it has room for all classes.

    Args:
        prior: in evaluation mode.
        support: of T tasks.
        classes: C, how many there are; None for regression.
        about: what describes the tasks; None where nothing does.

    Raises:
        DataError: if the prior is for another kind of task, or has fewer outputs than there are classes.

    Example:
        >>> from metaprior import MAML
        >>> from metaprior.nets import MLP
        >>> believe(MAML(MLP(1, 2)), Examples(torch.zeros(1, 3, 1), torch.tensor([[0, 1, 2]])), classes=3)
        Traceback (most recent call last):
        metaprior.errors.DataError: support: has 3 classes, more than the 2 outputs of the prior
    """
    kind = "regression" if classes is None else "classification"
    if kind not in prior.kinds:
        raise DataError(
            f"support: is for {kind}; {type(prior).__name__} is for {' and '.join(sorted(prior.kinds))} tasks"
        )
    first = map_tensors(lambda leaf: leaf[:, :1], support.x)
    start = prior.start(support.tasks, about)
    before = prior.predict(start, first).shape[-1]
    too_many = DataError(f"support: has {classes} classes, more than the {before} outputs of the prior")
    try:
        state = prior.observe(start, support)
    except (IndexError, ShapeError) as error:
        # Some priors make room for more classes and others cannot, which only observing them tells.
        if classes is None or classes <= before:
            raise
        raise too_many from error
    if classes is not None and prior.predict(state, first).shape[-1] < classes:
        raise too_many
    return state


@torch.no_grad()
def predict_rows(prior: Prior, state: Tree, x: Tensor | Inputs) -> Tensor:
    """Return what `prior.predict` does, for a bounded number of queries at a time unless predictions depend on others.

    Args:
        prior: in evaluation mode.
        state: of T tasks.
        x: `(T, Q, *x)`; or `(1, Q, *x)` for all tasks alike.
    """
    tasks = tensors(state)[0].shape[0] if tensors(state) else x.shape[0]
    parts = (part.expand(tasks, *part.shape[1:]) for part in x.split(ROWS, dim=1))
    if prior.transductive:
        return prior.predict(state, torch.cat(list(parts), dim=1))
    return torch.cat([prior.predict(state, part) for part in parts], dim=1)


@torch.no_grad()
def deviation(
    prior: Prior, state: Tree, support: Examples, x: Tensor | Inputs, about: Tree = None, noise: bool = True
) -> Tensor:
    """Return how far from what is predicted values will be measured: as the prior itself knows, or by the jackknife.

    Args:
        prior: in evaluation mode.
        state: of one task.
        support: what led to the state.
        x: `(1, Q, *x)`.
        about: what describes the task; None where nothing does.
        noise: as for `jackknife`, if that is asked; what the prior itself knows has noise in it.

    Returns:
        `(1, Q, D)`.

    Example:
        >>> from torch import nn
        >>> from metaprior.metric import Ridge
        >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> prior = Ridge(nn.Flatten(), outputs=1)
        >>> deviation(prior, believe(prior, Examples(x, x)), Examples(x, x), x).shape
        torch.Size([1, 3, 1])
    """
    found = []
    for part in x.split(ROWS, dim=1):
        known = prior.deviation(state, part)
        if known is None:
            return jackknife(prior, support, x, about, noise)
        found.append(known)
    return torch.cat(found, dim=1)


@torch.no_grad()
def jackknife(prior: Prior, support: Examples, x: Tensor | Inputs, about: Tree = None, noise: bool = True) -> Tensor:
    """Return the standard deviation of what will be measured, by adapting without each of G groups of the support set.

    With predictions p_1 to p_G, it is sqrt(mean over examples (y_n - p_g(n)(x_n))^2 + variance over groups p_g(x)),
    where g(n) is the group that example n is left out with: how far what was left out is from what is predicted for
    it, which has the noise of the targets in it, and how far the prediction hangs on the choice of examples. Without
    noise it is the standard error of the prediction alone, sqrt((G - 1) / G * sum (p_g - mean p)^2). Each group is a
    task with a mask over the support set.

    Args:
        prior: in evaluation mode.
        support: of one task; every example is real.
        x: `(1, Q, *x)`.
        about: what describes the task; None where nothing does.
        noise: of what will be measured; else of what is predicted, which is what a choice of the next example needs.

    Returns:
        `(1, Q, D)`; NaN if there is only one example, or none.

    Source: Efron & Stein 1981, "The jackknife estimate of variance"; groups by Shao & Wu 1989; with
    noise Barber et al. 2021 (arXiv 1905.02928), the jackknife+, and by groups CV+. Differs: the standard deviation of
    the distribution whose quantiles bound the interval there.

    Example:
        >>> from torch import nn
        >>> from metaprior.metric import Ridge
        >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
        >>> prior = Ridge(nn.Flatten(), outputs=1, penalty=1e-6, scale=1.0)
        >>> bool((jackknife(prior, Examples(x, 2 * x), x) < 1e-3).all())
        True
        >>> noisy = 2 * x + torch.tensor([[[0.5], [-0.5], [0.5]]])
        >>> bool((jackknife(prior, Examples(x, noisy), x) > 0.5).all())
        True
    """
    if support.size < 2:
        return torch.full_like(predict_rows(prior, prior.start(1, about), x), torch.nan)
    groups = min(support.size, REPLICATES)
    # Neighbouring rows are often alike, so that a group takes every so many-th of them.
    member = torch.arange(support.size, device=tensors(support)[0].device) % groups
    without = member != torch.arange(groups, device=member.device)[:, None]

    def predicted(mask: Tensor) -> tuple[Tensor, Tensor]:
        tasks = mask.shape[0]
        repeated = map_tensors(lambda leaf: leaf.expand(tasks, *leaf.shape[1:]), (support.x, support.y))
        told = map_tensors(lambda leaf: leaf.expand(tasks, *leaf.shape[1:]), about)
        state = prior.observe(prior.start(tasks, told), Examples(repeated[0], repeated[1], mask))
        return predict_rows(prior, state, x), predict_rows(prior, state, support.x)

    # So many tasks at once that they hold about as many inputs as one full batch of queries.
    chunk = max(1, ROWS // (support.size + min(x.shape[1], ROWS)))
    replicates, fitted = map_chunks(predicted, chunk, without)
    variance = replicates.var(0, correction=0, keepdim=True)
    if not noise:
        return variance.mul(groups - 1).sqrt()
    left_out = fitted[member, torch.arange(support.size, device=member.device)]
    squares = (support.y - left_out).square().mean(1, keepdim=True)
    return (variance + squares).sqrt()
