"""Many priors and the standing controls on one task source: the same time to acquire, the same test tasks, one table.

Axis letters: T tasks.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from metaprior.acquire import Progress, acquire, validation_set
from metaprior.checkpoint import versions
from metaprior.errors import AcquireError, DataError, MetapriorError, check_positive
from metaprior.evaluate import Evaluation, check_fit, evaluate
from metaprior.prior import Prior
from metaprior.registry import describe, priors, sources
from metaprior.tasks.scores import metric_of
from metaprior.tasks.source import TaskSource, TestSet

__all__ = ["CONTROLS", "Comparison", "Entry", "compare"]

CONTROLS = ("scratch", "fine_tune", "frozen")
"""What every comparison holds: no prior at all, and two ordinary uses of pooled pre-training."""


@dataclass(frozen=True)
class Entry:
    """A row of a comparison.

    Args:
        name: of the prior.
        control: whether it is one of the standing controls.
        evaluation: its test score and cost.
        log: its validation score over the seconds of acquisition.
        acquire_seconds: what acquisition took, validation left out.
        by_shots: its test score by the number of shots.
    """

    name: str
    control: bool
    evaluation: Evaluation
    log: list[Progress] = field(default_factory=list)
    acquire_seconds: float = 0.0
    by_shots: dict[int, Evaluation] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Args:
        entries: best first.
        settings: everything that is needed to run the comparison again.
        failures: why a prior could not be acquired, by its name.
    """

    entries: list[Entry]
    settings: dict[str, Any]
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def best_control(self) -> Entry | None:
        """The control with the best score, None if there was no control."""
        return next((entry for entry in self.entries if entry.control), None)

    def margin(self, entry: Entry) -> tuple[float, float] | None:
        """Return by how much a prior is better than the best control, and the 95 % half-width of that.

        Both were scored on the same tasks, so the difference is taken task by task.
        """
        control = self.best_control
        if control is None or entry.control:
            return None
        difference = entry.evaluation.scores - control.evaluation.scores
        if not metric_of(entry.evaluation.metric).share:
            difference = -difference
        return difference.mean().item(), 1.96 * difference.std().item() / len(difference) ** 0.5

    def verdict(self) -> str:
        """Return in one sentence which priors are better than the best control, beyond chance."""
        failed = "".join(f" Not acquired: {name} ({reason})." for name, reason in self.failures.items())
        control = self.best_control
        if control is None:
            return "No control was run, so nothing can be said of what acquisition is good for." + failed
        better: list[str] = []
        not_better: list[str] = []
        for entry in self.entries:
            margin = self.margin(entry)
            if margin is not None:
                (better if margin[0] > margin[1] else not_better).append(entry.name)
        sentence = f"Better than the best control ({control.name}), beyond the 95 % interval: {_listed(better)}."
        return sentence + (f" Not better: {_listed(not_better)}." if not_better else "") + failed

    def result(self) -> dict[str, Any]:
        """Return the comparison, single scores left out, ready for JSON."""
        return {
            "settings": self.settings,
            "verdict": self.verdict(),
            "failures": self.failures,
            "rows": [
                {
                    "prior": entry.name,
                    "control": entry.control,
                    **entry.evaluation.row(),
                    "margin_over_best_control": self.margin(entry),
                    "acquire_seconds": entry.acquire_seconds,
                    "by_shots": {shots: evaluation.row() for shots, evaluation in entry.by_shots.items()},
                    "validation": [[line.seconds, line.validation] for line in entry.log],
                }
                for entry in self.entries
            ],
        }


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def compare(
    source: TaskSource,
    names: Sequence[str] | Mapping[str, Prior],
    *,
    budget: float = 60.0,
    episodes: int = 600,
    shots: Sequence[int] | None = None,
    shots_episodes: int = 100,
    controls: bool = True,
    tasks_per_step: int | None = None,
    learning_rate: float | None = None,
    build_net: Callable[[type[Prior]], nn.Module] | None = None,
    validations: int = 6,
    validation_tasks: int = 30,
    seed: int = 0,
    out: str | Path | None = None,
    report: Callable[[str, Progress | None], None] | None = None,
) -> Comparison:
    """Acquire several priors for the same time and score them, and the standing controls, on the same tasks.

    Args:
        source: of the tasks.
        names: registered priors to build for the source, or priors by the name that the table should give them.
        budget: seconds of acquisition for each.
        episodes: how many test tasks.
        shots: numbers of shots for the curve of score against shots; None for the source's own and five times as many,
            an empty list for no curve.
        shots_episodes: test tasks for each point of that curve; all of them where `shots` are those of the source.
        controls: add the standing controls.
        tasks_per_step: tasks of an outer step, for all; None for what each prior suggests.
        learning_rate: of the outer optimiser, for all; None for what each prior suggests.
        build_net: makes the network of a kind of prior; None for the library's default for such tasks.
        validations: points of the curve of score against time.
        validation_tasks: tasks for each of them.
        seed: of weights, training tasks and test tasks.
        out: a folder for each prior's checkpoint and log, and for the tables and plots; None to write nothing.
        report: called with the name of a prior and its progress; None where it is being scored.

    Raises:
        MetapriorError: if no prior is left to compare, or a prior that was built by the caller is not for such tasks.
        KeyboardInterrupt: at Ctrl-C, after what has been compared so far is written.

    Example:
        >>> from metaprior.tasks import Sinusoid
        >>> comparison = compare(Sinusoid(queries=10), ["maml"], budget=0.2, episodes=20, controls=False)
        >>> [entry.name for entry in comparison.entries]
        ['maml']
    """
    check_positive(budget=budget, episodes=episodes, shots_episodes=shots_episodes)
    if out is not None:
        from metaprior.report import check_plots

        check_plots()
    contestants = (
        dict(names) if isinstance(names, Mapping) else {name: _built(name, source, seed, build_net) for name in names}
    )
    if controls:
        contestants |= {name: _built(name, source, seed, build_net) for name in CONTROLS if name not in contestants}
    if not contestants:
        raise MetapriorError("priors: expected at least one; got none")
    for prior in contestants.values():
        check_fit(prior, source)
    tests = source.test_set(episodes, seed)
    if shots is None:
        own = getattr(source, "shots", None)
        shots = (own, 5 * own) if isinstance(own, int) else ()
    few = _few_shots(source, shots, shots_episodes, seed, tests)
    entries, failures, interrupted = [], {}, False
    for name, prior in contestants.items():
        try:
            acquired = acquire(
                prior,
                source,
                budget=budget,
                tasks_per_step=tasks_per_step,
                learning_rate=learning_rate,
                validations=validations,
                validation_tasks=validation_tasks,
                seed=seed,
                out=None if out is None else Path(out) / name,
                report=None if report is None else functools.partial(report, name),
            )
        except AcquireError as error:
            failures[name] = str(error)
            continue
        if interrupted := acquired.interrupted:
            break
        if report is not None:
            report(name, None)
        seconds = acquired.log[-1].seconds if acquired.log else 0.0
        evaluation = evaluate(prior, tests)
        curve = {count: evaluation if test is tests else evaluate(prior, test) for count, test in few.items()}
        log = acquired.log
        if not prior.learns and validations:
            score = evaluate(prior, validation_set(source, validation_tasks)).mean
            log = [Progress(step=0, seconds=0.0, fraction=1.0, loss=math.nan, validation=score)]
        entries.append(Entry(name, name in CONTROLS, evaluation, log, seconds, curve))
    if failures and not entries:
        raise AcquireError("; ".join(f"{name}: {reason}" for name, reason in failures.items()))
    worst_last = -1 if metric_of(source.spec.kind).share else 1
    entries.sort(key=lambda entry: worst_last * entry.evaluation.mean)
    settings = {
        "tasks": describe(source) if sources.name_of(type(source)) else type(source).__qualname__,
        "data_hash": source.data_hash,
        "test_hash": tests.hash,
        "budget_seconds": budget,
        "episodes": episodes,
        "shots": list(few),
        "shots_episodes": shots_episodes,
        "tasks_per_step": tasks_per_step,
        "learning_rate": learning_rate,
        "validations": validations,
        "validation_tasks": validation_tasks,
        "seed": seed,
        "priors": {name: _description(prior) for name, prior in contestants.items()},
        "interrupted": interrupted,
        "versions": versions(),
    }
    comparison = Comparison(entries, settings, failures)
    if out is not None and entries:
        from metaprior.report import write_report

        write_report(comparison, Path(out))
    if interrupted:
        raise KeyboardInterrupt
    return comparison


def _description(prior: Prior) -> dict[str, Any]:
    """Return the name and arguments of a prior; its class alone if it cannot be rebuilt from them."""
    try:
        return describe(prior)
    except MetapriorError:
        return {"foreign": type(prior).__qualname__}


def _built(name: str, source: TaskSource, seed: int, build_net: Callable[[type[Prior]], nn.Module] | None) -> Prior:
    cls, implied = priors.resolve(name)
    if source.spec.kind not in cls.kinds:
        raise MetapriorError(
            f"priors: '{name}' is for {' and '.join(sorted(cls.kinds))} tasks; "
            f"{type(source).__name__} has {source.spec.kind} tasks"
        )
    net = None if build_net is None else build_net(cls)
    return cls.for_tasks(source.spec, net=net, seed=seed, **implied)


def _few_shots(
    source: TaskSource, shots: Sequence[int], episodes: int, seed: int, tests: TestSet
) -> dict[int, TestSet]:
    """Return test tasks for each number of shots, but for those that some class has too few images for."""
    own = source.test_set(1, seed).hash
    few = {}
    for count in shots:
        changed = source.with_shots(count)
        try:
            same = changed.test_set(1, seed).hash == own
        except DataError:
            continue
        few[count] = tests if same else changed.test_set(episodes, seed)
    return few
