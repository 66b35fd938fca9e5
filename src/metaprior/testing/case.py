"""What every check is given, and the sentences that it fails with."""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metaprior.prior import Prior
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.source import TaskSource
from metaprior.testing.toy import ToyTasks
from metaprior.tree import Tree, map_tensors, tensors

__all__ = ["CHECKS", "Case", "Check", "Subject", "adapted", "cases", "check", "demand", "demand_close"]

Subject = Prior | type[Prior] | Callable[[TaskSpec], Prior]
"""A prior, a class of priors (its `for_tasks` is called), or a function from a `TaskSpec` to a new prior."""


@dataclass(frozen=True)
class Case:
    """A way to build a prior, and tasks that it is for.

    Args:
        build: returns a new prior each time.
        source: of the tasks.
    """

    build: Callable[[TaskSpec], Prior]
    source: TaskSource

    def prior(self, dtype: torch.dtype = torch.float64) -> Prior:
        """Return a new prior in evaluation mode."""
        return self.build(self.source.spec).to(dtype).eval()

    def episode(self, tasks: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64) -> Episode:
        """Draw tasks; the same seed draws the same."""
        return self.source.sample(tasks, torch.Generator().manual_seed(seed)).to(dtype)


Check = Callable[[Subject, TaskSource | None], None]
"""A check as users see it: raises AssertionError, or `unittest.SkipTest` where the contract promises nothing."""

CHECKS: dict[str, Check] = {}
"""Every check by name."""


def cases(subject: Subject, source: TaskSource | None = None) -> list[Case]:
    """Return what is to be checked: on the tasks given, or on a toy source for each kind of task the prior serves.

    A function that builds the prior may have any network in mind, so that it is asked for none that labels pixels.
    """
    if isinstance(subject, Prior):
        return [Case(lambda spec: copy.deepcopy(subject), source or ToyTasks())]
    build: Callable[[TaskSpec], Prior] = getattr(subject, "for_tasks", subject)
    if source is not None:
        return [Case(build, source)]
    kinds = build(ToyTasks().spec).kinds
    sources = [ToyTasks("classification", outputs=3), ToyTasks("regression", outputs=2)]
    if hasattr(subject, "for_tasks"):
        sources.append(ToyTasks("segmentation", (1, 8, 8), outputs=2))
    return [Case(build, source) for source in sources if source.kind in kinds]


def check(function: Callable[[Case], None]) -> Callable[[Case], None]:
    """Enter a function into the suite under its name without `check_`."""

    @functools.wraps(function)
    def run(subject: Subject, source: TaskSource | None = None) -> None:
        for case in cases(subject, source):
            function(case)

    CHECKS[function.__name__.removeprefix("check_")] = run
    return function


def adapted(prior: Prior, episode: Episode, support: Examples | None = None) -> Tree:
    """Return the belief after the support set of an episode, or after the examples given."""
    return prior.observe(prior.start(episode.tasks, episode.about), episode.support if support is None else support)


def demand(holds: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence unless it holds; unlike `assert`, `python -O` keeps it."""
    if not holds:
        raise AssertionError(sentence)


def demand_close(actual: Any, expected: Any, sentence: str, tolerance: float = 1e-6) -> None:
    """Raise AssertionError unless two trees agree: in structure, shapes, dtypes, and in values up to a tolerance."""
    pairs = list(zip(tensors(actual), tensors(expected), strict=False))
    same = len(tensors(actual)) == len(tensors(expected))
    demand(same and all(a.shape == e.shape and a.dtype == e.dtype for a, e in pairs), f"{sentence}; the shapes differ")
    for left, right in pairs:
        left, right = left.detach(), right.detach()
        if not torch.allclose(left, right, rtol=tolerance, atol=tolerance, equal_nan=True):
            difference = (left - right).abs().max().item()
            raise AssertionError(f"{sentence}; the largest difference is {difference:.3g}")


def clones(tree: Tree) -> list[Tensor]:
    """Return copies of the tensors of a tree."""
    return tensors(map_tensors(lambda leaf: leaf.detach().clone(), tree))
