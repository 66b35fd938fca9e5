"""The protocol of FS-Mol, for any prior and any scikit-learn model: many draws of supports of each size of each task.

Axis letters: Q query.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from metaprior.errors import DataError, check_positive
from metaprior.molecules.assays import AssaySource
from metaprior.molecules.methods import Method, predictor_of
from metaprior.molecules.scores import scores_of
from metaprior.tasks.source import Split
from metaprior.tree import fingerprint

__all__ = ["Protocol", "assay_protocol"]

SIZES = (16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Protocol:
    """What a method scored.

    Args:
        rows: for each support size: how many tasks have so many molecules, and mean and half the width of the 95 %
            interval over tasks of every metric, each task's mean over its draws taken first.
        tasks: for each support size, by name of the task: every metric, its mean over draws.
        hash: of all draws.
    """

    rows: list[dict[str, Any]]
    tasks: dict[int, dict[str, dict[str, float]]]
    hash: str

    def __str__(self) -> str:
        lead = "delta_auprc" if "delta_auprc" in self.rows[0] else "r2"
        cells = (f"{row['support']}: {row[lead]:.3f} ± {row[f'{lead}_interval']:.3f}" for row in self.rows)
        return f"{lead} at {', '.join(cells)}"


def assay_protocol(
    method: Method,
    source: AssaySource,
    sizes: Sequence[int] = SIZES,
    draws: int = 10,
    tasks: int | None = None,
    seed: int = 0,
    split: Split = "test",
    report: Callable[[int, str, Mapping[str, float]], None] | None = None,
) -> Protocol:
    """Score a method on tasks of molecules as FS-Mol does.

    From each task with as many molecules for a support, and others to ask about, supports are drawn at random, each
    class by its share; all other molecules are queries. The same seed draws the same supports for every method.

    Args:
        method: a prior; a scikit-learn classifier or regressor, which is cloned and fitted to each support; or a
            function from an episode of one task to the probabilities of its class 1, or to values, `(Q,)`, or to values
            and their standard deviations.
        source: of the tasks; whether it is of classes or values says what is predicted.
        sizes: of the support; 0 asks a prior for what it believes before any example.
        draws: how many supports of each size are drawn from each task.
        tasks: how many tasks to take, the first; None for all.
        seed: of the draws.
        split: of the tasks. Choose settings on "valid", never on "test".
        report: called after each task of each size.

    Source: Stanley et al. 2021, section 4. Differs: the draws are our own, since theirs follow from their code's order
    of reading; the base rate is that of the very query set that is scored.

    Example:
        >>> from metaprior import ProtoNet
        >>> from metaprior.molecules import NCI
        >>> from torch import nn
        >>> found = assay_protocol(ProtoNet(nn.Flatten()), NCI(molecules=300), sizes=[16], draws=2, tasks=3)
        >>> found.rows[0]["tasks"], found.rows[0]["delta_auprc"] > 0
        (3, True)
    """
    if not sizes or min(sizes) < 0:
        raise DataError(f"sizes: expected sizes of the support, each 0 or more, got {list(sizes)}")
    check_positive(draws=draws)
    recorded = getattr(method, "recorded_inputs", None) or {}
    if wrong := source.mismatch(recorded):
        raise DataError(wrong)
    source = source.as_acquired(recorded)
    names = source.names(split)
    scored: dict[int, dict[str, dict[str, float]]] = {}
    hashes: list[str] = []
    predictor = predictor_of(method, source.spec.kind)
    most = source.supports(split)
    eligible = {size: [at for at, count in enumerate(most) if count >= size][:tasks] for size in sizes}
    for size, found_tasks in eligible.items():
        if not found_tasks:
            raise DataError(
                f"sizes: the {split} split has no task with {size} molecules for a support, and more to ask about; the "
                f"most that a support can have are {max(most, default=0)}"
            )
    for size in eligible:
        scored[size] = {}
        for at in eligible[size]:
            generator = torch.Generator().manual_seed(_number(f"{split}:{seed}:{size}:{names[at]}"))
            found = []
            for _ in range(draws):
                episode = source.episode(split, at, size, generator)
                assert episode.query.y is not None
                hashes.append(fingerprint(episode.support.x, episode.query.y))
                said = predictor(episode)
                values, spread = said if isinstance(said, tuple) else (said, None)
                found.append(scores_of(values, episode.query.y.flatten(), spread))
            scored[size][names[at]] = {key: _mean([one[key] for one in found]) for key in found[0]}
            if report is not None:
                report(size, names[at], scored[size][names[at]])
    return Protocol([_row(size, found) for size, found in scored.items()], scored, f"{_number(' '.join(hashes)):016x}")


def _mean(values: list[float]) -> float:
    """Return the mean of those that are known; NaN if none is."""
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def _row(size: int, found: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"support": size, "tasks": len(found)}
    for key in next(iter(found.values())):
        values = np.array([one[key] for one in found.values()])
        values = values[np.isfinite(values)]
        row[key] = float(values.mean()) if len(values) else float("nan")
        spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        row[f"{key}_interval"] = 1.96 * spread / len(values) ** 0.5 if len(values) else float("nan")
    return row


def _number(text: str) -> int:
    """Return 63 bits that stand for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
