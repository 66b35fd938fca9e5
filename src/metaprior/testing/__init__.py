"""The conformance suite: what the contract in `metaprior.prior` demands, checked on any prior, yours included.

With pytest, each check is a test of its own; one that does not apply is skipped with its reason::

    @pytest.mark.parametrize(("name", "check"), conformance_checks())
    def test_my_prior(name, check):
        check(MyPrior)
"""

import unittest
from collections.abc import Iterator

from metaprior.tasks.source import TaskSource
from metaprior.testing import beliefs as beliefs
from metaprior.testing import learning as learning
from metaprior.testing import storage as storage
from metaprior.testing.case import CHECKS, Check, Subject
from metaprior.testing.toy import ToyTasks

__all__ = ["Check", "Subject", "ToyTasks", "check_prior", "conformance_checks"]


def conformance_checks() -> Iterator[tuple[str, Check]]:
    """Yield the name of each check, and the check: a function of a prior and, optionally, of a task source.

    A check raises AssertionError with a sentence that says what the contract demands, or `unittest.SkipTest`, which
    pytest understands, where the prior promises nothing of the kind.

    Example:
        >>> "task_independence" in dict(conformance_checks())
        True
    """
    yield from CHECKS.items()


def check_prior(prior: Subject, source: TaskSource | None = None) -> dict[str, str]:
    """Run every check over a prior.

    Args:
        prior: a class of priors, a function from a `TaskSpec` to a new prior, or a prior.
        source: of tasks that it is for, as small as can be; None for `ToyTasks` of each kind that it serves
            (segmentation only for a class; for a prior given as an object, of three classes in four features).

    Returns:
        What became of each check: "passed", or "skipped" and why.

    Raises:
        AssertionError: if any check fails; it lists all that do.

    Example:
        >>> from metaprior.metric import ProtoNet
        >>> from metaprior.nets import MLP
        >>> check_prior(lambda spec: ProtoNet(MLP(4, 2, hidden=(8,)), ways=3))["incremental"]
        'passed'
    """
    results: dict[str, str] = {}
    failures: list[tuple[str, Exception]] = []
    for name, check in conformance_checks():
        try:
            check(prior, source)
            results[name] = "passed"
        except unittest.SkipTest as reason:
            results[name] = f"skipped: {reason}"
        except Exception as error:
            failures.append((name, error))
    if failures:
        lines = [f"- {name}: {error if isinstance(error, AssertionError) else repr(error)}" for name, error in failures]
        raise AssertionError("\n".join([f"{len(failures)} of {len(CHECKS)} checks failed", *lines])) from failures[0][1]
    return results
