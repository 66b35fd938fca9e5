"""A run of acquisition on disk: its state to resume from, its log, and its events for TensorBoard."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from metaprior.draws import Draws
from metaprior.errors import AcquireError, missing
from metaprior.files import replacing, write_tensors
from metaprior.prior import Prior

__all__ = ["LOG_FILE", "RESUME_FILE", "Progress", "Run", "event_file", "write_log"]

RESUME_FILE = "resume.safetensors"
LOG_FILE = "log.csv"


@dataclass(frozen=True)
class Progress:
    """One line of the log.

    Args:
        step: outer steps taken.
        seconds: spent on them; validation and saving do not count.
        fraction: of the whole, from 0 to 1.
        loss: the mean outer loss since the last line.
        validation: the mean score on the validation tasks, None where they were not scored.
    """

    step: int
    seconds: float
    fraction: float
    loss: float
    validation: float | None = None


@dataclass
class Run:
    """What changes from step to step, and is saved so that a killed run goes on as if nothing had happened.

    Args:
        prior: as it is now.
        optimiser: of its parameters.
        draws: of the tasks of a step.
        step: outer steps taken.
        seconds: spent on them.
        log: a line for each validation.
        losses: of the steps since the last line.
        options: what must be the same when a run goes on, ready for JSON.
        average: how much of the moving average of the parameters each step leaves; 0 for no such average.
        averages: the moving averages by the names of the parameters, from the first step on.
    """

    prior: Prior
    optimiser: torch.optim.Optimizer
    draws: Draws
    step: int = 0
    seconds: float = 0.0
    log: list[Progress] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    average: float = 0.0
    averages: dict[str, Tensor] = field(default_factory=dict)

    def follow(self) -> None:
        """Let the averages, if there are any, follow the parameters by a step."""
        if not self.average:
            return
        for name, parameter in self._learning():
            now = parameter.detach()
            self.averages.setdefault(name, now.clone()).lerp_(now, 1 - self.average)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the prior has the averages in place of its parameters, if there are any."""
        if not self.averages:
            yield
            return
        own = {name: parameter.detach().clone() for name, parameter in self._learning()}
        self._take(self.averages)
        try:
            yield
        finally:
            self._take(own)

    def settle(self) -> None:
        """Leave the averages, if there are any, in the prior."""
        if self.averages:
            self._take(self.averages)

    def _learning(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, own) for name, own in self.prior.named_parameters() if own.requires_grad)

    def _take(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._learning():
                parameter.copy_(values[name])

    def save(self, folder: Path) -> None:
        """Write everything to a file in a folder."""
        state = self.optimiser.state_dict()["state"]
        named = {f"prior.{name}": value for name, value in self.prior.state_dict().items()}
        named |= {f"optimiser.{index}.{key}": value for index, part in state.items() for key, value in part.items()}
        named |= {f"average.{name}": value for name, value in self.averages.items()}
        named["generator"], place = self.draws.state()
        named["torch"] = torch.get_rng_state()
        log = [asdict(line) for line in self.log]
        facts = {"step": self.step, "seconds": self.seconds, "log": log, "losses": self.losses}
        facts |= {"options": self.options, "place": place}
        write_tensors(folder / RESUME_FILE, {k: v.detach().cpu() for k, v in named.items()}, {"run": json.dumps(facts)})

    def restore(self, path: Path) -> None:
        """Take everything from a file.

        Raises:
            AcquireError: if the file is damaged, or of another prior, or the run had other options.
        """
        try:
            with safe_open(path, framework="pt") as file:
                named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                facts = json.loads(file.metadata()["run"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise AcquireError(f"resume: {path} is damaged ({error}); start again without --resume") from error
        now = json.loads(json.dumps(self.options))
        for name in now | facts["options"]:
            if facts["options"].get(name) != now.get(name):
                raise AcquireError(
                    f"resume: {name} was {facts['options'].get(name)} in {path.parent}, now it is {now.get(name)}; "
                    "start again without --resume, or in another folder"
                )
        prefix = "prior."
        try:
            self.prior.load_state_dict({k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)})
        except RuntimeError as error:
            raise AcquireError(f"resume: {path} is of another prior ({error}); start again without --resume") from error
        device = next(self.prior.parameters()).device
        prefix = "average."
        self.averages = {k.removeprefix(prefix): v.to(device) for k, v in named.items() if k.startswith(prefix)}
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in named.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.draws.restore(named["generator"], facts["place"])
        torch.set_rng_state(named["torch"])
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.log, self.losses = [Progress(**line) for line in facts["log"]], facts["losses"]


def write_log(path: Path, log: list[Progress]) -> None:
    """Write the log as CSV, a line for each validation."""
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Progress.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(line) for line in log)


@contextlib.contextmanager
def event_file(folder: Path | None) -> Iterator[Callable[[Progress, float], None]]:
    """Yield a function that writes a line of the log and the loss of its step for TensorBoard, or does nothing."""
    if folder is None:
        yield lambda line, loss: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing("tensorboard", "scale", "writing logs for TensorBoard") from error

    def write(line: Progress, loss: float) -> None:
        writer.add_scalar("loss", loss, line.step)
        if line.validation is not None:
            writer.add_scalar("validation", line.validation, line.step)

    with SummaryWriter(folder) as writer:
        yield write
