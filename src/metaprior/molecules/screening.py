"""A closed loop: a belief about a library, what to measure next, and what that finds.

Everything here is a function of values; files are read and written elsewhere. More is always better.

Axis letters: M molecules of the library, N measured, B of a batch, F features.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from metaprior.errors import DataError, ShapeError, UnknownNameError, check_positive
from metaprior.predict import believe, deviation, predict_rows
from metaprior.prior import Prior
from metaprior.tasks.episode import Examples
from metaprior.tasks.own import Inputs

__all__ = [
    "ACQUISITIONS",
    "Belief",
    "Screened",
    "Surrogate",
    "choose",
    "expected_improvement",
    "simulate",
    "surrogate_of_estimator",
    "surrogate_of_prior",
    "upper_confidence",
]


class Library(Inputs, Protocol):
    """Inputs `(1, M, *x)`, some of which can be taken by their positions."""

    def take(self, index: Tensor) -> "Library":
        """Return those at positions `(n,)`."""


@dataclass(frozen=True, eq=False)
class Belief:
    """What is thought of every molecule of a library.

    Args:
        mean: `(M,)`.
        deviation: `(M,)`, how uncertain that is, as a standard deviation.
    """

    mean: Tensor
    deviation: Tensor


Surrogate = Callable[[Tensor, Tensor, Inputs], Belief]
"""From measured inputs `(1, N, F)`, their values `(N,)` and a library to a belief about the library."""


def expected_improvement(belief: Belief, best: float) -> Tensor:
    """Return by how much each molecule is expected to exceed the best so far, `(M,)`.

    Source: Jones et al. 1998, "Efficient global optimization of expensive black-box functions", eq. 15.

    Example:
        >>> expected_improvement(Belief(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])), best=0.0)
        tensor([0.3989, 1.0833])
    """
    spread = belief.deviation.clamp(min=1e-9)
    above = (belief.mean - best) / spread
    density = torch.exp(-above.square() / 2) / math.sqrt(2 * math.pi)
    return spread * (above * torch.special.ndtr(above) + density)


def upper_confidence(belief: Belief, best: float = 0.0, width: float = 2.0) -> Tensor:
    """Return the mean and so many standard deviations, `(M,)`.

    Source: Srinivas et al. 2010, "Gaussian process optimization in the bandit setting", with a fixed width.

    Example:
        >>> upper_confidence(Belief(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 1.0])))
        tensor([4., 3.])
    """
    return belief.mean + width * belief.deviation


ACQUISITIONS: dict[str, Callable[[Belief, float], Tensor] | None] = {
    "expected_improvement": expected_improvement,
    "upper_confidence": upper_confidence,
    "greedy": lambda belief, best: belief.mean,
    "thompson": None,
    "random": None,
}
"""What to measure next: the molecules of the highest scores; those that draw by chance have no score."""


def choose(
    acquisition: str, belief: Belief, open_: Tensor, best: float, batch: int, generator: torch.Generator
) -> Tensor:
    """Return positions `(B,)` of the molecules to measure next, the most wanted first.

    Thompson sampling draws a value for every molecule from its own normal distribution once for each place in the
    batch, and takes the highest; values of like molecules are drawn apart, for want of their covariance.

    Args:
        acquisition: one of `ACQUISITIONS`.
        belief: about the library.
        open_: `(M,)`, True where a molecule can still be measured.
        best: the highest value so far.
        batch: B at most.
        generator: the only source of randomness.

    Source: Thompson 1933, for batches Hernandez-Lobato et al. 2017 (arXiv 1706.01825).

    Example:
        >>> belief = Belief(torch.tensor([0.0, 3.0, 2.0]), torch.ones(3))
        >>> open_ = torch.tensor([True, False, True])
        >>> choose("greedy", belief, open_, 0.0, 2, torch.Generator())
        tensor([2, 0])
    """
    if acquisition not in ACQUISITIONS:
        raise UnknownNameError("acquisition", acquisition, ACQUISITIONS)
    left = open_.clone()
    batch = min(batch, int(left.sum()))
    if acquisition == "random":
        return torch.rand(len(left), generator=generator).masked_fill(~left, -1).topk(batch).indices
    score = ACQUISITIONS[acquisition]
    if score is not None:
        return score(belief, best).masked_fill(~left, -torch.inf).topk(batch).indices
    chosen = []
    for _ in range(batch):
        noise = torch.randn(len(left), generator=generator, dtype=belief.mean.dtype)
        drawn = belief.mean + belief.deviation * noise
        chosen.append(int(drawn.masked_fill(~left, -torch.inf).argmax()))
        left[chosen[-1]] = False
    return torch.tensor(chosen, dtype=torch.long)


def surrogate_of_prior(
    prior: Prior, about: Tensor | None = None, fixed: tuple[float, float] | None = None
) -> Surrogate:
    """Return the belief of a prior: adapted to what is measured, with its own deviation or that of the jackknife.

    The jackknife's is that of the prediction alone, since noise of measurements, which is the same everywhere, would
    only make a choice more like one at random; a deviation that the prior itself knows has that noise in it.

    Args:
        prior: for regression.
        about: `(1, A)`, what describes the task.
        fixed: mean and scale that values are standardised by; None for those of what is measured.
    """
    prior = prior.eval()

    @torch.no_grad()
    def believed(x: Tensor, values: Tensor, rows: Inputs) -> Belief:
        mean, scale = fixed if fixed is not None else _standard(values)
        support = Examples(x, ((values - mean) / scale).to(x.dtype)[None, :, None])
        try:
            state = believe(prior, support, None, about) if support.size else prior.start(1, about)
        except ShapeError as error:
            raise DataError(f"prior: was not acquired to predict one value, which a screen is by ({error})") from error
        found = predict_rows(prior, state, rows)[0, :, 0].double()
        if support.size:
            # A single example leaves nothing to leave out.
            spread = deviation(prior, state, support, rows, about, noise=False)[0, :, 0].double().nan_to_num(1.0)
        else:
            spread = torch.ones_like(found)
        return Belief(found * scale + mean, spread * abs(scale))

    return believed


def surrogate_of_estimator(estimator: Any) -> Surrogate:
    """Return the belief of a scikit-learn regressor that can `predict(X, return_std=True)`, as Gaussian processes can.

    Args:
        estimator: cloned and fitted to what is measured.
    """

    def believed(x: Tensor, values: Tensor, rows: Inputs) -> Belief:
        from sklearn.base import clone

        if len(values) < 2:
            return Belief(torch.zeros(rows.shape[1]).double(), torch.ones(rows.shape[1]).double())
        fitted = clone(estimator).fit(x[0].numpy(), values.numpy())
        parts = [fitted.predict(part[0].numpy(), return_std=True) for part in rows.split(2000, dim=1)]
        mean, spread = (torch.from_numpy(np.concatenate(each)).double() for each in zip(*parts, strict=True))
        return Belief(mean, spread)

    return believed


@dataclass(frozen=True, eq=False)
class Screened:
    """What a loop measured.

    Args:
        picks: positions in the library, round by round; the first are where it began.
        hits: how many hits were found up to each round.
        best: the highest value up to each round.
    """

    picks: Sequence[Tensor]
    hits: Sequence[int]
    best: Sequence[float]

    @property
    def measured(self) -> list[int]:
        """How many were measured up to each round."""
        return np.cumsum([len(part) for part in self.picks]).tolist()


def simulate(
    surrogate: Surrogate | None,
    library: Library,
    values: Tensor,
    hits: Tensor,
    start: Tensor,
    acquisition: str = "expected_improvement",
    rounds: int = 10,
    batch: int = 20,
    generator: torch.Generator | None = None,
) -> Screened:
    """Run a loop whose assay is a table: believe, choose, look up, and again.

    Args:
        surrogate: from what is measured to a belief; None for "random".
        library: inputs `(1, M, *x)`.
        values: `(M,)`, what measuring would give.
        hits: `(M,)`, True for what is sought.
        start: positions that are measured before the first round; none to begin with the belief before any example.
        acquisition: one of `ACQUISITIONS`.
        rounds: how many batches.
        batch: B.
        generator: of what is drawn; None for one of seed 0.

    Example:
        >>> from metaprior import Ridge
        >>> from torch import nn
        >>> x = torch.linspace(-1, 1, 50)[:, None]
        >>> values = x[:, 0].double()
        >>> library = Rows(x[None])
        >>> surrogate = surrogate_of_prior(Ridge(nn.Flatten(), outputs=1, penalty=0.1))
        >>> simulate(surrogate, library, values, values > 0.9, torch.arange(3), "greedy", rounds=2, batch=2).hits
        [0, 2, 3]
    """
    check_positive(rounds=rounds, batch=batch)
    if surrogate is None and acquisition != "random":
        raise DataError(f"surrogate: '{acquisition}' needs a belief, which None has not")
    generator = generator or torch.Generator().manual_seed(0)
    open_ = torch.ones(len(values), dtype=torch.bool)
    nothing = Belief(torch.zeros(len(values)).double(), torch.ones(len(values)).double())
    picks = [start]
    for _ in range(rounds):
        seen = torch.cat(picks)
        open_[seen] = False
        best = values[seen].max().item() if len(seen) else -math.inf
        belief = nothing
        if surrogate is not None and acquisition != "random":
            x = torch.cat(list(library.take(seen).split(2000, dim=1)), dim=1) if len(seen) else _none_of(library)
            belief = surrogate(x, values[seen], library)
            best = best if len(seen) else belief.mean.mean().item()
        picks.append(choose(acquisition, belief, open_, best, batch, generator))
    ends = np.cumsum([len(part) for part in picks])
    every = torch.cat(picks)
    return Screened(
        picks,
        [int(hits[every[:end]].sum()) for end in ends],
        [values[every[:end]].max().item() if end else math.nan for end in ends],
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """A library that is a tensor.

    Args:
        x: `(1, M, *x)`.
    """

    x: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, M, *x)."""
        return tuple(self.x.shape)

    def split(self, size: int, dim: int = 1) -> tuple[Tensor, ...]:
        """Return so many at a time, `(1, size, *x)`."""
        return self.x.split(size, dim)

    def take(self, index: Tensor) -> "Rows":
        """Return those at positions `(n,)`."""
        return Rows(self.x[:, index])

    def to(self, device: Any) -> "Rows":
        """Return the same on another device."""
        return Rows(self.x.to(device))


def _standard(values: Tensor) -> tuple[float, float]:
    mean, spread = values.mean().item(), values.std(correction=0).item()
    return mean, spread if spread > 1e-9 else 1.0


def _none_of(library: Library) -> Tensor:
    part = next(iter(library.take(torch.arange(1)).split(1, dim=1)))
    return part[:, :0]
