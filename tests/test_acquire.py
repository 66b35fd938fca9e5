import csv
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from metaprior import MAML, Prior, ProtoNet, Ridge, Scratch, acquire, evaluate, load, read_card
from metaprior.acquire import validation_set
from metaprior.errors import AcquireError, MetapriorError
from metaprior.nets import MLP, Conv4
from metaprior.registry import priors
from metaprior.tasks import Episode, Examples, Sinusoid, TaskSpec
from metaprior.testing import ToyTasks
from metaprior.tree import Tree

IMAGES = ToyTasks("classification", (1, 16, 16), outputs=2, pool=4)


def maml(**arguments) -> MAML:
    return MAML(MLP(1, 1, hidden=(8,)), step_size=0.01, **arguments)


def conv(**arguments) -> ProtoNet:
    return ProtoNet(Conv4(1, 16, width=4), ways=2)


def weights(prior: Prior) -> list[Tensor]:
    return [value.clone() for value in prior.state_dict().values()]


def same(left: Prior, right: Prior) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(left), weights(right), strict=True))


class Slope(Prior):
    """The loss is `slope` times the one weight, plus a term whose gradient is NaN once the weight is below zero."""

    outer = {"optimiser": "sgd", "learning_rate": 1.0, "tasks_per_step": 1}  # noqa: RUF012

    def __init__(self, slope: float = 1.0, first: float = 0.0, brittle: bool = False):
        super().__init__()
        self.slope = slope
        self.first = first
        self.brittle = brittle
        self.weight = nn.Parameter(torch.tensor(first))

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        return cls(**arguments)

    def start(self, tasks: int, about: Tree = None) -> Tensor:
        return self.weight.expand(tasks, 1)

    def observe(self, state: Tensor, examples: Examples) -> Tensor:
        return state

    def predict(self, state: Tensor, x: Tensor) -> Tensor:
        return state[:, None].expand(-1, x.shape[1], -1)

    def loss(self, episode: Episode) -> Tensor:
        # The square root of a constant zero has an infinite slope, and infinity times zero is NaN.
        poison = (self.weight * 0).sqrt() if self.brittle and self.weight < 0 else 0.0
        return self.slope * self.weight + poison


@pytest.fixture
def slope_is_registered(monkeypatch):
    monkeypatch.setitem(priors._classes, "_test_slope", Slope)


class Stop(Exception):
    pass


def stop_at(step: int, action=None):
    def report(progress):
        if progress.step == step:
            if action is None:
                raise Stop
            action()

    return report


@pytest.mark.parametrize(("make", "source"), [(maml, Sinusoid()), (conv, IMAGES)])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(tmp_path, make, source, optimiser):
    def run(**arguments):
        settings = {"steps": 9, "optimiser": optimiser, "validations": 2, "validation_tasks": 4, "tasks_per_step": 3}
        return acquire(make(), source, **settings, **arguments)

    whole = run()
    with pytest.raises(Stop):
        run(out=tmp_path, save_every=0, report=stop_at(7))
    assert read_card(tmp_path)["step"] == 6
    resumed = run(out=tmp_path, resume=True)
    assert same(resumed.prior, whole.prior)
    assert same(load(tmp_path), whole.prior)
    told = [[dataclasses.replace(line, seconds=0.0) for line in acquired.log] for acquired in (resumed, whole)]
    assert told[0] == told[1]

    finished = run(out=tmp_path, resume=True)
    assert same(finished.prior, whole.prior)
    assert finished.log == resumed.log


SCRIPT = """
    import os, signal, sys
    import torch
    from metaprior import ProtoNet, acquire
    from metaprior.nets import Conv4
    from metaprior.testing import ToyTasks

    def report(progress):
        if progress.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    source = ToyTasks("classification", (1, 16, 16), outputs=2, pool=4)
    prior = ProtoNet(Conv4(1, 16, width=4), ways=2)
    acquire(prior, source, steps=8, tasks_per_step=3, validations=0, out=sys.argv[1], save_every=0, report=report)
"""


def test_a_killed_process_leaves_what_another_goes_on_from(tmp_path):
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert read_card(tmp_path)["step"] == 4
    settings = {"steps": 8, "tasks_per_step": 3, "validations": 0}
    resumed = acquire(conv(), IMAGES, out=tmp_path, resume=True, **settings).prior
    assert same(resumed, acquire(conv(), IMAGES, **settings).prior)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_a_usable_checkpoint(tmp_path, number):
    handler = signal.getsignal(number)
    report = stop_at(3, lambda: os.kill(os.getpid(), number))
    acquired = acquire(maml(), Sinusoid(), steps=50, out=tmp_path, validations=0, report=report)
    assert acquired.interrupted
    assert read_card(tmp_path)["step"] == 3
    assert signal.getsignal(number) is handler
    assert same(load(tmp_path), acquired.prior)
    resumed = acquire(maml(), Sinusoid(), steps=6, out=tmp_path, validations=0, resume=True)
    assert not resumed.interrupted
    assert read_card(tmp_path)["step"] == 6


def test_a_second_interruption_ends_at_once():
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        acquire(maml(), Sinusoid(), steps=50, validations=0, report=stop_at(3, twice))


class Poisoned(Sinusoid):
    """Sinusoids whose 13th training task holds a NaN."""

    drawn = 0
    data_hash = "none"

    def sample(self, tasks, generator, split="train"):
        episode = super().sample(tasks, generator, split)
        if 0 <= 12 - self.drawn < tasks:
            episode.query.y[12 - self.drawn, 0] = torch.nan
        self.drawn += tasks
        return episode


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(AcquireError, match=r"loss: became nan at step 5; the checkpoint in .* is of step 4; try"):
        acquire(maml(), Poisoned(), steps=9, tasks_per_step=3, out=tmp_path, save_every=0, validations=0)
    assert read_card(tmp_path)["step"] == 4
    assert all(value.isfinite().all() for value in weights(load(tmp_path)))


@pytest.mark.parametrize("clip", [10.0, None])
def test_a_gradient_that_is_no_number_stops_before_it_does_harm(tmp_path, slope_is_registered, clip):
    prior = Slope(brittle=True, first=1.5)
    with pytest.raises(AcquireError, match="gradient: became nan at step 3"):
        acquire(prior, Sinusoid(), steps=9, anneal=False, out=tmp_path, save_every=0, validations=0, clip=clip)
    assert read_card(tmp_path)["step"] == 2
    assert load(tmp_path).weight.item() == -0.5


def test_the_learning_rate_falls_along_a_half_cosine():
    acquired = acquire(Slope(), Sinusoid(), steps=10, validations=0)
    rates = [0.5 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    assert acquired.prior.weight.item() == pytest.approx(-sum(rates))
    assert acquire(Slope(), Sinusoid(), steps=10, anneal=False, validations=0).prior.weight.item() == -10


def test_the_learning_rate_rises_and_falls_tenfold_again_and_again():
    settings = {"steps": 8, "validations": 0}
    warmed = acquire(Slope(), Sinusoid(), anneal=False, warm_up=4, **settings).prior.weight.item()
    assert warmed == pytest.approx(-(0.2 + 0.4 + 0.6 + 0.8 + 4 * 1.0))
    falling = acquire(Slope(), Sinusoid(), tenth=5, **settings).prior.weight.item()
    assert falling == pytest.approx(-sum(0.1 ** (step / 5) for step in range(8)))


def test_the_moving_average_is_what_is_saved_and_returned(tmp_path, slope_is_registered):
    settings = {"steps": 3, "validations": 0, "anneal": False, "average": 0.5, "out": tmp_path}
    acquired = acquire(Slope(), Sinusoid(), **settings)
    assert acquired.prior.weight.item() == -2.25  # of -1, -2 and -3: -1, then -1.5, then -2.25
    assert load(tmp_path).weight.item() == -2.25
    assert acquire(Slope(), Sinusoid(), **settings | {"steps": 4}, resume=True).prior.weight.item() == -3.125


def test_the_moving_average_is_what_is_looked_at(tmp_path, slope_is_registered, monkeypatch):
    looked = []
    monkeypatch.setattr(Slope, "preview", lambda prior, source: looked.append(prior.weight.item()))
    settings = {"steps": 3, "validations": 3, "validation_tasks": 1, "anneal": False, "average": 0.5}
    acquire(Slope(), Sinusoid(), out=tmp_path, **settings)
    assert looked == [-1, -1.5, -2.25]


SCHEDULE = {"average": 0.9, "warm_up": 3, "tenth": 20}


def test_a_run_with_a_moving_average_goes_on_as_one_that_was_not_stopped(tmp_path):
    def run(**arguments):
        settings = {"steps": 9, "validations": 3, "validation_tasks": 4, "tasks_per_step": 3}
        return acquire(maml(), Sinusoid(), **SCHEDULE, **settings, **arguments)

    whole = run()
    with pytest.raises(Stop):
        run(out=tmp_path, save_every=0, report=stop_at(7))
    resumed = run(out=tmp_path, resume=True)
    assert same(resumed.prior, whole.prior)
    assert same(load(tmp_path), whole.prior)
    assert [line.validation for line in resumed.log] == [line.validation for line in whole.log]
    settings = {"steps": 9, "validations": 3, "validation_tasks": 4, "tasks_per_step": 3}
    plain = acquire(maml(), Sinusoid(), warm_up=3, tenth=20, **settings)
    assert not same(plain.prior, whole.prior)
    # What is validated is the average too.
    assert whole.log[-1].validation == evaluate(whole.prior, validation_set(Sinusoid(), 4)).mean
    assert whole.log[-1].validation != plain.log[-1].validation
    for left_out in ("average", "warm_up", "tenth"):
        asked = {name: value for name, value in SCHEDULE.items() if name != left_out}
        with pytest.raises(AcquireError, match=f"resume: {left_out} was .* in .*, now it is None"):
            acquire(maml(), Sinusoid(), out=tmp_path, resume=True, **asked, **settings)


def test_the_gradient_is_clipped_and_the_learning_rate_given():
    settings = {"steps": 1, "validations": 0}
    assert acquire(Slope(slope=50), Sinusoid(), **settings).prior.weight.item() == pytest.approx(-10, rel=1e-3)
    assert acquire(Slope(slope=50), Sinusoid(), clip=None, **settings).prior.weight.item() == -50
    assert acquire(Slope(), Sinusoid(), learning_rate=0.25, **settings).prior.weight.item() == -0.25
    assert acquire(Slope(), Sinusoid(), optimiser="adam", **settings).prior.weight.item() == pytest.approx(-1)


def test_a_gradient_whose_square_overflows_is_clipped():
    acquired = acquire(Slope(slope=1e30), Sinusoid(), steps=1, validations=0)
    assert acquired.prior.weight.item() == pytest.approx(-10)


@pytest.mark.parametrize("chunk", [1, 2, "auto"])
def test_chunks_do_not_change_the_update(chunk):
    class Double(ToyTasks):
        def sample(self, tasks, generator, split="train"):
            return super().sample(tasks, generator, split).to(torch.float64)

    def run(chunk):
        prior = MAML(MLP(4, 3, hidden=(8,)), step_size=0.1, chunk=chunk).double()
        settings = {"tasks_per_step": 5, "optimiser": "sgd", "learning_rate": 0.5, "validations": 0}
        return acquire(prior, Double(), steps=3, **settings)

    pairs = zip(weights(run(chunk).prior), weights(run(5).prior), strict=True)
    assert all(torch.allclose(a, b, atol=1e-10, rtol=1e-10) for a, b in pairs)


def test_a_budget_ends_the_run(tmp_path):
    acquired = acquire(maml(), Sinusoid(), budget=0.3, steps=100_000, out=tmp_path, validations=3, validation_tasks=2)
    assert 0.3 <= acquired.log[-1].seconds < 5
    assert acquired.log[-1].fraction == 1
    assert acquired.log[-1].step == read_card(tmp_path)["step"] < 100_000


def test_the_log_has_a_line_for_each_validation(tmp_path):
    seen = []
    acquired = acquire(maml(), Sinusoid(), steps=7, validations=3, validation_tasks=5, out=tmp_path, report=seen.append)
    assert [line.step for line in seen] == list(range(1, 8))
    assert len(acquired.log) == 3
    assert acquired.log[-1].step == 7
    assert acquired.log[-1].fraction == 1
    assert all(line.validation is not None and line.validation > 0 for line in acquired.log)
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [line.step for line in acquired.log]
    assert [float(row["loss"]) for row in rows] == [line.loss for line in acquired.log]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "prior.safetensors", "resume.safetensors"]


def test_the_card_says_what_was_done(tmp_path):
    acquire(maml(), Sinusoid(shots=4), steps=2, seed=3, out=tmp_path, validations=0, facts={"who": "me"})
    card = read_card(tmp_path)
    assert (card["seed"], card["step"], card["who"]) == (3, 2, "me")
    assert card["tasks"]["source"] == "sinusoid"
    assert card["tasks"]["arguments"]["shots"] == 4
    assert card["spec"] == {"kind": "regression", "x_shape": [1], "outputs": 1, "pool": None}
    assert card["data_hash"] == Sinusoid(shots=4).data_hash
    json.dumps(card)


def test_the_same_seed_gives_the_same_prior_and_another_another():
    runs = [acquire(maml(), Sinusoid(), steps=2, seed=seed, validations=0).prior for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_validation_does_not_change_the_run():
    runs = [acquire(maml(), Sinusoid(), steps=4, validations=n, validation_tasks=3).prior for n in (0, 4)]
    assert same(*runs)


def test_what_does_not_learn_is_stored_as_it_is(tmp_path):
    prior = Scratch(MLP(1, 1, hidden=(4,)), steps=2)
    before = weights(prior)
    acquired = acquire(prior, Sinusoid(), steps=5, out=tmp_path)
    assert acquired.log == []
    assert all(torch.equal(a, b) for a, b in zip(before, weights(load(tmp_path)), strict=True))


def test_acquiring_helps():
    prior = MAML(MLP(1, 1), step_size=0.01)
    before = evaluate(prior, Sinusoid(), episodes=100).mean
    acquire(prior, Sinusoid(), steps=150, validations=0)
    assert evaluate(prior, Sinusoid(), episodes=100).mean < 0.9 * before


@pytest.mark.parametrize(
    ("prior", "arguments", "sentence"),
    [
        (maml, {}, "steps, budget: expected one of them"),
        (maml, {"steps": 0}, "steps: expected a positive number, got 0"),
        (maml, {"budget": -1.0}, "budget: expected a positive number, got -1.0"),
        (maml, {"steps": 1, "tenth": 0}, "tenth: expected a positive number, got 0"),
        (maml, {"steps": 1, "warm_up": -1}, "warm_up: expected 0 steps or more, got -1"),
        (maml, {"steps": 1, "average": 1.0}, "average: expected from 0 to less than 1, got 1.0"),
        (maml, {"steps": 1, "tasks_per_step": 0}, "tasks_per_step: expected a positive number, got 0"),
        (conv, {"steps": 1}, "ProtoNet is for classification tasks; Sinusoid has regression tasks"),
        (Slope, {"steps": 1, "out": "unused"}, "Slope is not registered"),
    ],
)
def test_a_wrong_argument_is_named(prior, arguments, sentence):
    with pytest.raises(MetapriorError, match=sentence):
        acquire(prior(), Sinusoid(), **arguments)


def test_resuming_with_nothing_to_resume_begins(tmp_path):
    acquired = acquire(maml(), Sinusoid(), steps=2, out=tmp_path / "new", resume=True, validations=0)
    assert acquired.log[-1].step == 2


class Noisy(MLP):
    def __init__(self, outputs):
        super().__init__(1, outputs, hidden=(8,))
        self.leave_out = nn.Dropout(0.5)

    def forward(self, x):
        return self.leave_out(super().forward(x))


@pytest.mark.parametrize("build", [lambda: Ridge(Noisy(None), outputs=1), lambda: MAML(Noisy(1), step_size=0.01)])
def test_a_network_with_dropout_repeats_with_the_seed_and_goes_on_as_it_would(tmp_path, build):
    def learnt(**options):
        prior = build()
        acquire(prior, Sinusoid(), validations=0, seed=3, **options)
        return parameters_to_vector(prior.parameters())

    torch.manual_seed(0)
    state = torch.get_rng_state()
    whole = learnt(steps=6)
    assert torch.equal(torch.get_rng_state(), state), "the caller's own randomness is left alone"
    torch.manual_seed(1)
    assert torch.equal(learnt(steps=6), whole)
    with pytest.raises(Stop):
        learnt(steps=6, out=tmp_path, save_every=0, report=stop_at(4))
    assert torch.equal(learnt(steps=6, out=tmp_path, resume=True), whole)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"seed": 9}, "resume: seed was 0 in .*, now it is 9; start again without --resume"),
        ({"optimiser": "sgd"}, "resume: optimiser was Adam in .*, now it is SGD"),
        ({"average": 0.9}, "resume: average was None in .*, now it is 0.9"),
        ({"learning_rate": 0.5}, "resume: learning_rate was 0.001 in .*, now it is 0.5"),
        ({"source": Sinusoid(queries=10, amplitude=(5, 8))}, "resume: tasks was "),
    ],
)
def test_a_run_goes_on_with_the_options_that_it_had(tmp_path, changed, match):
    source = changed.pop("source", Sinusoid())
    acquire(MAML(MLP(1, 1)), Sinusoid(), steps=2, validations=0, out=tmp_path)
    before = (tmp_path / "prior.safetensors").read_bytes()
    with pytest.raises(AcquireError, match=match):
        acquire(MAML(MLP(1, 1)), source, steps=4, validations=0, out=tmp_path, resume=True, **changed)
    assert (tmp_path / "prior.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["steps", "budget", "tasks_per_step", "learning_rate", "clip", "validation_tasks"])
def test_numbers_that_must_be_positive(name):
    with pytest.raises(MetapriorError, match=f"{name}: expected a positive number, got -1"):
        acquire(MAML(MLP(1, 1)), Sinusoid(), **({"steps": 1} | {name: -1}))
