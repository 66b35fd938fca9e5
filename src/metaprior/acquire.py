"""The outer loop: acquire a prior from many related tasks."""

import contextlib
import json
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from metaprior.checkpoint import save
from metaprior.draws import Draws
from metaprior.errors import AcquireError, MetapriorError, check_positive
from metaprior.evaluate import check_fit, evaluate
from metaprior.files import write_bytes, write_text
from metaprior.prior import Prior
from metaprior.registry import arguments, describe, sources
from metaprior.run import LOG_FILE, RESUME_FILE, Progress, Run, event_file, write_log
from metaprior.tasks.source import TaskSource, TestSet, seeded
from metaprior.tasks.stream import Stream
from metaprior.tasks.streams import Streams

__all__ = ["Acquired", "Progress", "acquire", "validation_set"]

PREVIEW_FILE = "preview.png"
_HALF_WAY = 0.5
"""The part of a run before which what a prior makes of tasks may look like anything."""


@dataclass
class Acquired:
    """What an acquisition did.

    Args:
        prior: the acquired prior, in evaluation mode.
        log: a line for each validation.
        interrupted: whether it was stopped before its end.
    """

    prior: Prior
    log: list[Progress] = field(default_factory=list)
    interrupted: bool = False


def acquire(
    prior: Prior,
    source: TaskSource,
    *,
    steps: int | None = None,
    budget: float | None = None,
    tasks_per_step: int | None = None,
    learning_rate: float | None = None,
    optimiser: Literal["adam", "sgd"] | None = None,
    anneal: bool = True,
    tenth: int | None = None,
    warm_up: int = 0,
    average: float = 0.0,
    clip: float | None = 10.0,
    seed: int = 0,
    validations: int = 20,
    validation_tasks: int = 100,
    out: str | Path | None = None,
    save_every: float = 30.0,
    resume: bool = False,
    tensorboard: bool = False,
    facts: dict[str, Any] | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Acquired:
    """Change the parameters of a prior so that adapting it to the tasks of a source works well.

    Args:
        prior: changed in place, on the device that it is on.
        source: of the tasks.
        steps: how many outer steps to take.
        budget: how many seconds of them to take; with both given, what ends first ends the run.
        tasks_per_step: tasks of an outer step; None for what the prior suggests.
        learning_rate: of the outer optimiser; None for what the prior suggests.
        optimiser: the outer optimiser; None for what the prior suggests.
        anneal: let the learning rate fall to zero along a half cosine.
        tenth: let it fall to a tenth in so many steps instead, and on and on, whatever `anneal` says.
        warm_up: steps over which the learning rate rises to its top.
        average: keep a moving average of the parameters, of which each step leaves so much; it is what is validated,
            saved and returned. 0 for none.
        clip: the largest norm of the outer gradient; None for no limit.
        seed: of the tasks, and of networks that draw random numbers.
        validations: how often to score the validation tasks, evenly over the run; 0 for never.
        validation_tasks: how many there are.
        out: a folder for checkpoint, log and resume file, and for a picture at each validation if the prior has any to
            show; None to write nothing.
        save_every: seconds between checkpoints.
        resume: go on from the resume file in `out`, if there is one, of a run with the same options. With `steps`, a
            run that was killed and resumed ends, on a CPU, with the same weights as one that was not, to the bit.
        tensorboard: also write the loss of every step and the validation scores to `out` for TensorBoard.
        facts: what else the checkpoint's card should say.
        report: called after every step.

    Returns:
        The same prior in evaluation mode, and the log. Ctrl-C ends the run early, with a checkpoint.

    Raises:
        AcquireError: if the loss or its gradient becomes infinite or NaN; the last checkpoint is kept.
        MetapriorError: if neither `steps` nor `budget` is given, or the prior is not for such tasks.

    Example:
        >>> from metaprior import MAML
        >>> from metaprior.tasks import Sinusoid
        >>> acquired = acquire(MAML.for_tasks(Sinusoid.spec, step_size=0.01), Sinusoid(), steps=3)
        >>> acquired.log[-1].step
        3
    """
    if steps is None and budget is None:
        raise MetapriorError("steps, budget: expected one of them, or both; got neither")
    check_positive(
        steps=steps, budget=budget, tasks_per_step=tasks_per_step, learning_rate=learning_rate, clip=clip, tenth=tenth
    )
    if warm_up < 0:
        raise MetapriorError(f"warm_up: expected 0 steps or more, got {warm_up}")
    if not 0 <= average < 1:
        raise MetapriorError(f"average: expected from 0 to less than 1, got {average}")
    if validations:
        check_positive(validations=validations, validation_tasks=validation_tasks)
    check_fit(prior, source)
    folder = None if out is None else Path(out)
    card = {"seed": seed, "data_hash": source.data_hash, **_described(source), **(facts or {})}
    if folder is not None:
        describe(prior)  # a prior that cannot be saved should fail now, not at the end
        if (divided := source.divided) is not None:
            write_text(folder / "splits.json", json.dumps(divided, indent=1) + "\n")
    if not prior.learns:
        if folder is not None:
            save(prior, folder, **card)
        return Acquired(prior.eval())

    suggested = prior.outer
    parameters = [parameter for parameter in prior.parameters() if parameter.requires_grad]
    top_rate = suggested["learning_rate"] if learning_rate is None else learning_rate
    kind = torch.optim.SGD if (optimiser or suggested["optimiser"]) == "sgd" else torch.optim.Adam
    options = {
        "seed": seed,
        "tasks": card["tasks"],
        "data": card["data_hash"],
        "stream": card.get("stream"),
        "tasks_per_step": tasks_per_step or suggested["tasks_per_step"],
        "optimiser": kind.__name__,
        "learning_rate": top_rate,
        "anneal": anneal,
        "clip": clip,
        # Files of runs that knew nothing of these say nothing of them.
        **{name: value for name, value in (("tenth", tenth), ("warm_up", warm_up), ("average", average)) if value},
    }
    draws = Draws(source, tasks_per_step or suggested["tasks_per_step"], seeded(seed, "train"))
    # Fused, a step of Adam over millions of parameters takes a tenth of the time; but it takes no notice of strides,
    # which may differ between a parameter that is not contiguous and its restored moments, and is then wrong.
    fused = all(parameter.is_contiguous() for parameter in parameters)
    run = Run(prior, kind(parameters, lr=top_rate, fused=fused), draws, options=options, average=average)
    device = parameters[0].device
    validation = validation_set(source, validation_tasks) if validations else None
    saved = time.monotonic()

    kept_step = 0

    def keep() -> None:
        nonlocal kept_step
        if folder is not None:
            kept_step = run.step
            with run.averaged():
                save(prior, folder, step=run.step, seconds=run.seconds, **card)
            run.save(folder)
            write_log(folder / LOG_FILE, run.log)

    def fraction() -> float:
        return max(run.step / steps if steps else 0.0, run.seconds / budget if budget else 0.0)

    prior.train()
    log_events = event_file(folder if tensorboard else None)
    with _own_randomness(seed), _interrupts() as interrupted, log_events as write_event:
        if resume and folder is not None and (folder / RESUME_FILE).is_file():
            run.restore(folder / RESUME_FILE)
            kept_step = run.step
        while fraction() < 1 and not interrupted.is_set():
            before, start = fraction(), time.perf_counter()
            share = 0.1 ** (run.step / tenth) if tenth else 0.5 * (1 + math.cos(math.pi * before)) if anneal else 1.0
            run.optimiser.param_groups[0]["lr"] = top_rate * share * min((run.step + 1) / (warm_up + 1), 1.0)
            episode = run.draws.next().to(device)
            loss, gradient = _outer_step(prior, episode, run.optimiser, parameters, clip)
            for name, number in (("loss", loss), ("gradient", gradient)):
                if not math.isfinite(number):
                    kept = f"; the checkpoint in {folder} is of step {kept_step}" if kept_step else ""
                    raise AcquireError(f"{name}: became {number} at step {run.step + 1}{kept}; try a smaller step size")
            run.follow()
            run.step += 1
            run.seconds += time.perf_counter() - start
            run.losses.append(loss)
            due = validation and int(min(fraction(), 1) * validations) > int(before * validations)
            score = None
            if validation and due:
                with run.averaged():
                    score = evaluate(prior, validation).mean
                    if folder is not None:
                        _look(prior, source, folder, min(fraction(), 1.0))
            line = Progress(run.step, run.seconds, min(fraction(), 1.0), sum(run.losses) / len(run.losses), score)
            if due or fraction() >= 1:
                run.log.append(line)
                run.losses.clear()
            write_event(line, loss)
            if report is not None:
                report(line)
            if time.monotonic() - saved > save_every:
                keep()
                saved = time.monotonic()
    keep()
    run.settle()
    return Acquired(prior.eval(), run.log, interrupted.is_set())


def _look(prior: Prior, source: TaskSource, folder: Path, fraction: float) -> None:
    """Keep a look at what the prior makes of some tasks, and say what is wrong with it once it should not be."""
    seen = prior.preview(source)
    if seen is None:
        return
    write_bytes(folder / PREVIEW_FILE, seen.picture)
    if seen.trouble is not None and fraction >= _HALF_WAY:
        warnings.warn(f"{folder / PREVIEW_FILE}: {seen.trouble}", stacklevel=3)


def validation_set(source: TaskSource, tasks: int) -> TestSet:
    """Return the tasks by which acquisition is watched, the same for every prior."""
    return source.test_set(tasks, seed=1, split="valid")


def _outer_step(
    prior: Prior, episode: Any, optimiser: torch.optim.Optimizer, parameters: Sequence[Tensor], clip: float | None
) -> tuple[float, float]:
    """Take one step on the mean loss of the tasks, a chunk of them in memory at a time.

    Returns:
        The loss and the norm of its gradient; where either is not finite, no step was taken.
    """
    optimiser.zero_grad()
    chunk = prior.chunk_size or episode.tasks
    total = 0.0
    for start in range(0, episode.tasks, chunk):
        part = episode[start : start + chunk]
        objective = prior.stream_loss(part) if isinstance(part, Stream) else prior.loss(part)
        loss = objective * (part.tasks / episode.tasks)
        loss.backward()
        total += loss.item()
    norm = _norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if math.isfinite(total) and norm.isfinite():
        if clip is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        optimiser.step()
    return total, norm.item()


def _norm(gradients: list[Tensor]) -> Tensor:
    """Return the norm of all gradients together; where its square overflows, a bound of it."""
    norm = torch.nn.utils.get_total_norm(gradients)
    if norm.isfinite():
        return norm
    largest = torch.stack([gradient.abs().max() for gradient in gradients]).max()
    return largest * sum(gradient.numel() for gradient in gradients) ** 0.5


def _described(source: TaskSource) -> dict[str, Any]:
    if isinstance(source, Streams):
        settings = {key: value for key, value in arguments(source).items() if key != "source"}
        return _described(source.source) | {"stream": settings}
    tasks = describe(source) if sources.name_of(type(source)) else {"foreign": type(source).__qualname__}
    spec = source.spec
    return {
        "tasks": tasks,
        "spec": {"kind": spec.kind, "x_shape": list(spec.x_shape), "outputs": spec.outputs, "pool": spec.pool},
        "inputs": source.inputs,
    }


@contextlib.contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Let what draws from torch's own generator, dropout for example, repeat with the seed; leave no trace outside."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, or a termination signal, into an event, so that a step is never left half done."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
