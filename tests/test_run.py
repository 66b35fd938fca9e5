"""What a run keeps on disk: its state, its log, and its events for TensorBoard."""

import csv

import pytest
import torch

from metaprior import MAML, acquire
from metaprior.draws import Draws
from metaprior.errors import AcquireError
from metaprior.nets import MLP
from metaprior.run import RESUME_FILE, Progress, Run, event_file, write_log
from metaprior.tasks import Sinusoid


def run(seed: int = 0, width: int = 4) -> Run:
    prior = MAML(MLP(1, 1, hidden=(width,), seed=seed))
    draws = Draws(Sinusoid(), 2, torch.Generator().manual_seed(seed))
    return Run(prior, torch.optim.Adam(prior.parameters()), draws, options={"seed": 0, "bounds": (0, 1)})


@pytest.fixture
def file(tmp_path):
    used = run()
    used.step, used.seconds, used.losses, used.log = 3, 0.5, [0.1, 0.2], [Progress(2, 0.4, 0.5, 0.3, None)]
    sum(parameter.sum() for parameter in used.prior.parameters()).backward()
    used.optimiser.step()
    for _ in range(3):
        used.draws.next()
    used.save(tmp_path)
    return tmp_path / RESUME_FILE, used


def test_everything_comes_back(file):
    path, used = file
    again = run(seed=1)
    again.restore(path)
    assert (again.step, again.seconds, again.losses, again.log) == (used.step, used.seconds, used.losses, used.log)
    assert torch.equal(again.draws.next().query.y, used.draws.next().query.y)
    for left, right in zip(again.prior.parameters(), used.prior.parameters(), strict=True):
        assert torch.equal(left, right)
        moments = used.optimiser.state[right]
        assert all(torch.equal(value, moments[name]) for name, value in again.optimiser.state[left].items())
        assert set(moments) == {"step", "exp_avg", "exp_avg_sq"}


@pytest.mark.parametrize("left", [0, 7, 100, -50])
def test_a_damaged_file_is_refused(file, left):
    path, _ = file
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(AcquireError, match=r"resume: .*resume\.safetensors is damaged"):
        run().restore(path)


def test_another_prior_is_refused(file):
    with pytest.raises(AcquireError, match=r"resume: .* is of another prior"):
        run(width=5).restore(file[0])


def test_other_options_are_refused(file):
    other = run()
    other.options["bounds"] = (0, 2)
    with pytest.raises(AcquireError, match=r"resume: bounds was \[0, 1\] in .*, now it is \[0, 2\]; start again"):
        other.restore(file[0])


def test_the_log_leaves_out_what_was_not_measured(tmp_path):
    write_log(tmp_path / "log.csv", [Progress(1, 0.5, 0.5, 2.0), Progress(2, 1.0, 1.0, 1.5, 0.25)])
    with open(tmp_path / "log.csv") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["validation"] for row in rows] == ["", "0.25"]
    assert rows[1] == {"step": "2", "seconds": "1.0", "fraction": "1.0", "loss": "1.5", "validation": "0.25"}


def test_without_a_folder_no_events_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with event_file(None) as write:
        write(Progress(1, 0.5, 0.5, 2.0), 2.0)
    assert not list(tmp_path.iterdir())


def test_tensorboard_finds_every_loss_and_validation(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    acquired = acquire(MAML(MLP(1, 1)), Sinusoid(), steps=4, validations=2, out=tmp_path, tensorboard=True)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]
    scores = [event.value for event in events.Scalars("validation")]
    assert scores == pytest.approx([line.validation for line in acquired.log])
