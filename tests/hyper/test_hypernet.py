"""Hypernetworks acquired with MAML: what a task changes, right derivatives, and better priors for sinusoids."""

import functools
from dataclasses import replace

import pytest
import torch

from metaprior import MAML, Hypernet, Hypernetwork, acquire, evaluate
from metaprior.errors import MetapriorError, ShapeError, UnknownNameError
from metaprior.hyper.generators import GENERATORS
from metaprior.nets import MLP, Conv4
from metaprior.registry import priors
from metaprior.tasks import Sinusoid
from metaprior.testing import ToyTasks, conformance_checks

EVERY = pytest.mark.parametrize("generator", list(GENERATORS))
IMAGES = ToyTasks("classification", (1, 16, 16), outputs=2, pool=4)
CHECKS = dict(conformance_checks())


def episode(tasks=3):
    return Sinusoid(shots=5, queries=5).sample(tasks, torch.Generator().manual_seed(0))


@EVERY
@pytest.mark.parametrize("check", list(CHECKS))
def test_contract_with_every_generator(generator, check):
    if check == "memory":
        pytest.skip("what is kept does not depend on the generator, and 200 episodes take long")
    source = ToyTasks("regression", (4,), outputs=2, shots=5, queries=4)
    CHECKS[check](lambda spec: Hypernet(MLP(4, 2, hidden=(5,)), generator, code_size=3, hidden=4), source)


@EVERY
@pytest.mark.parametrize("adapts", ["code", "heads", "all"])
def test_meta_gradients_by_finite_differences(generator, adapts):
    def build(spec):
        net = Conv4(1, 16, 2, width=2)
        return Hypernet(net, generator, code_size=3, hidden=2, adapts=adapts, inner_steps=2)

    CHECKS["gradient"](build, IMAGES)


@pytest.mark.parametrize(
    ("adapts", "expected"),
    [
        ("code", {"code"}),
        ("heads", {"code", "writer.heads"}),
        ("all", {"code", "writer.heads", "writer.base", "writer.trunk.weight", "writer.trunk.bias"}),
    ],
)
def test_a_task_changes_what_it_is_told_to(adapts, expected):
    prior, tasks = Hypernet(MLP(1, 1), adapts=adapts), episode()
    start = prior.start(3)
    state = prior.observe(start, tasks.support)
    assert set(state.weights) == expected
    assert all(not torch.equal(state.weights[name], start.weights[name]) for name in expected)


def test_what_is_free_can_be_adapted_beside_the_code():
    prior = Hypernet(MLP(1, 1), generated="layers", adapts="free")
    assert set(prior.start(3).weights) == {"code", "net.head.weight", "net.head.bias"}


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (MLP(1, 1), {"layers.0.bias", "layers.1.bias", "head.bias"}),
        (MLP(1, 1, norm="group"), {f"norms.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")} | {"head.bias"}),
        (
            Conv4(1, 16, 2, width=4),
            {f"blocks.{i}.norm.{part}" for i in range(4) for part in ("weight", "bias")} | {"head.bias"},
        ),
    ],
    ids=["mlp", "norms", "conv4"],
)
def test_a_context_adds_to_biases_and_scales_and_begins_at_zero(net, expected):
    cls, implied = priors.resolve("cavia")
    prior = cls(net, **implied)
    assert set(prior.net.weights()) == expected
    assert not prior.start(3).weights["code"].any()
    free = {name for name, _ in prior.net.net.named_parameters()}
    assert free == {name for name, _ in net.named_parameters()} - expected


def test_a_context_that_adds_to_the_first_bias_is_one_appended_to_the_inputs():
    """Zintgraf et al. 2019, eq. 4."""
    net = MLP(3, 2)
    hypernetwork = Hypernetwork(net, "linear", code_size=4, generated=r"^layers\.0\.bias$")
    x, context = torch.rand(5, 3), torch.rand(4)
    appended = MLP(3 + 4, 2)
    appended.load_state_dict(
        net.state_dict() | {"layers.0.weight": torch.cat([net.layers[0].weight, hypernetwork.writer.heads], dim=1)}
    )
    got = torch.func.functional_call(hypernetwork, {"code": context}, (x,))
    torch.testing.assert_close(got, appended(torch.cat([x, context.expand(5, 4)], dim=1)))


class DescribedWaves(Sinusoid):
    """Waves that come with their amplitude, and the sine and cosine of their phase."""

    def sample(self, tasks, generator, split="train"):
        state = generator.get_state()
        episode = super().sample(tasks, generator, split)
        amplitude, phase = self._draw(tasks, torch.Generator().set_state(state))
        about = torch.cat([amplitude, phase.sin(), phase.cos()], dim=-1)[:, 0]
        return replace(episode, about=about)


def test_a_description_stands_in_for_examples():
    source = DescribedWaves(queries=20)
    prior = Hypernet(MLP(1, 1), about_size=3, inner_steps=0)
    acquire(prior, source, steps=400, tasks_per_step=25, validations=0)
    # Without a description nothing better than the mean wave is known; the waves' variance is about 4.
    assert evaluate(prior, source, episodes=200).mean < 1.0
    assert evaluate(prior, Sinusoid(), episodes=200).mean > 2.0


def test_a_description_of_another_shape_is_refused():
    prior = Hypernet(MLP(1, 1), about_size=3)
    assert torch.equal(prior.start(2).weights["code"], prior.start(2, torch.zeros(2, 3)).weights["code"])
    with pytest.raises(ShapeError, match=r"about: expected a tensor of shape \(T, A\) = \(2, 3\), got \(2, 4\)"):
        prior.start(2, torch.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"about: .* got dict"):
        prior.start(2, {"text": torch.zeros(2, 3)})
    with pytest.raises(MetapriorError, match="about_size: expected a positive number, got 0"):
        Hypernet(MLP(1, 1), about_size=0)


def test_a_step_on_the_code_is_ten_times_that_on_the_rest():
    prior = Hypernet(MLP(1, 1), adapts="heads", step_size=0.5)
    assert prior.step_sizes(0) == {"code": 0.5, "writer.heads": pytest.approx(0.05)}


def test_the_belief_about_a_task_is_its_code():
    prior, tasks = Hypernet(MLP(1, 1), inner_steps=3), episode()
    state = prior.observe(prior.start(3), tasks.support)
    weights = prior.net.weights(state.weights["code"][1])
    plain = torch.func.functional_call(MLP(1, 1), weights, (tasks.query.x[1],))
    torch.testing.assert_close(prior.predict(state, tasks.query.x)[1], plain)


def test_maml_of_a_hypernetwork_is_the_same_prior():
    tasks = episode()
    maml = MAML(Hypernetwork(MLP(1, 1)), adapted="^code$", inner_steps=2, step_size=0.01)
    assert torch.equal(maml.loss(tasks), Hypernet(MLP(1, 1), inner_steps=2, step_size=0.01).loss(tasks))


def test_an_unknown_choice_of_what_adapts_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'code'"):
        Hypernet(MLP(1, 1), adapts="cod")


@functools.cache
def acquired_errors(train_tasks):
    """Mean squared errors on sinusoids after a like time of acquisition, by prior, amplitude and inner steps."""
    source = Sinusoid(queries=20, train_tasks=train_tasks)
    ranges = {"like": Sinusoid(queries=50), "larger": Sinusoid(queries=50, amplitude=(5.0, 8.0))}
    found = {}
    for name, prior, steps in (
        ("generated", Hypernet(MLP(1, 1), step_size=0.01), 500),
        ("plain", MAML(MLP(1, 1), step_size=0.01), 900),
        ("wide", MAML(MLP(1, 1, hidden=(240, 240)), step_size=0.01), 200),
    ):
        acquire(prior, source, steps=steps, tasks_per_step=25, learning_rate=1e-3, validations=0)
        for inner_steps in (1, 10):
            prior.test_steps = inner_steps
            for amplitudes, test in ranges.items():
                found[name, amplitudes, inner_steps] = evaluate(prior, test, episodes=200).mean
    return found


@pytest.fixture(params=[None, 30], ids=["many tasks", "30 tasks"])
def errors(request):
    return acquired_errors(request.param)


@pytest.mark.parametrize("plain", ["plain", "wide"])
def test_a_generated_network_is_the_better_prior(errors, plain):
    """The claim, in small: better than the same network, and than one of as many parameters."""
    assert errors["generated", "like", 1] < 0.5 * errors[plain, "like", 1]


@pytest.mark.parametrize("plain", ["plain", "wide"])
def test_it_is_better_still_out_of_distribution(errors, plain):
    gap = {
        amplitudes: errors[plain, amplitudes, 1] - errors["generated", amplitudes, 1]
        for amplitudes in ("like", "larger")
    }
    assert gap["larger"] > 2 * gap["like"]


@pytest.mark.parametrize("amplitudes", ["like", "larger"])
def test_more_steps_than_it_was_acquired_with_help_it(errors, amplitudes):
    assert errors["generated", amplitudes, 10] < 0.8 * errors["generated", amplitudes, 1]
