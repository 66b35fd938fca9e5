"""No check is vacuous: each is failed by a prior that breaks what it is for, and passed by the same prior unbroken."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from metaprior import MAML, ProtoNet
from metaprior.metric import Prototypes
from metaprior.nets import MLP
from metaprior.registry import priors
from metaprior.tasks import Examples, task_losses
from metaprior.tasks.stream import EVERY
from metaprior.testing import ToyTasks, check_prior, conformance_checks
from metaprior.tree import map_tensors

CHECKS = dict(conformance_checks())
BROKEN: dict[type, tuple[str, str]] = {}


def broken(check: str, sentence: str):
    """Enter a class as one that a check must fail with a sentence."""

    def enter(cls: type) -> type:
        BROKEN[cls] = (check, sentence)
        return cls

    return enter


def proto(cls: type = ProtoNet) -> ProtoNet:
    return cls(MLP(4, hidden=(8,)), ways=3)


def maml(cls: type = MAML) -> MAML:
    return cls(MLP(4, 3, hidden=(8,)), inner_steps=2)


def build(cls: type):
    return maml(cls) if issubclass(cls, MAML) else proto(cls)


@broken("shapes", r"expected \(T, Q, outputs\) = \(3, 6, 3\)")
class ClassesFirst(ProtoNet):
    def predict(self, state, x):
        return super().predict(state, x).transpose(1, 2)


@broken("shapes", "must be finite after start")
class NotANumberAtFirst(ProtoNet):
    def predict(self, state, x):
        return super().predict(state, x) / state.counts.sum(1)[:, None, None].clamp(max=1) * 1.0


@broken("shapes", "leading axis T = 3")
class OneCountForAll(ProtoNet):
    def start(self, tasks, about=None):
        return super().start(tasks, about)._replace(counts=torch.zeros(1, 3))


@broken("dtypes", "a torch.float64 prior must give torch.float64 predictions")
class SinglePrecision(ProtoNet):
    def predict(self, state, x):
        return super().predict(state, x).float()


@broken("dtypes", "a torch.float64 prior must give torch.float64 states")
class SingleCounts(ProtoNet):
    def observe(self, state, examples):
        after = super().observe(state, examples)
        return after._replace(counts=after.counts.float())


@broken("padding", "examples whose mask is False, before")
class MaskIgnored(ProtoNet):
    def observe(self, state, examples):
        return super().observe(state, replace(examples, mask=None))


@broken("padding", "examples whose mask is False, before")
class PaddingExpectedLast(ProtoNet):
    def observe(self, state, examples):
        last_first = examples.real.long().sort(-1, descending=True).values.bool()
        return super().observe(state, replace(examples, mask=last_first))


@broken("uneven_tasks", "padded to the size of others")
class DividesByTheSizeWithPadding(MAML):
    def observe(self, state, examples):
        real = examples.real.sum(1).max()
        shares = examples.real.sum(1) / real
        after = super().observe(state, examples)
        weights = {
            name: before + (after.weights[name] - before) * shares.view(-1, *[1] * (before.ndim - 1)).to(before.dtype)
            for name, before in state.weights.items()
        }
        return after._replace(weights=weights)


@broken("task_independence", "in a batch of tasks as it is alone")
class CentredOverTasks(ProtoNet):
    def predict(self, state, x):
        return super().predict(state, x - x.mean((0, 1)))


@broken("permutation", "order of the support does not matter")
class RecentCountsMore(ProtoNet):
    def observe(self, state, examples):
        weights = torch.arange(1.0, examples.size + 1, dtype=examples.x.dtype)[:, None]
        return super().observe(state, replace(examples, x=examples.x * weights))


@broken("purity", "must not change the state in place")
class AddsInPlace(ProtoNet):
    def observe(self, state, examples):
        after = super().observe(state, examples)
        return after._replace(counts=state.counts.copy_(after.counts))


@broken("purity", "must not change the examples in place")
class NormalisesInPlace(ProtoNet):
    def observe(self, state, examples):
        examples.x.mul_(0.5)
        return super().observe(state, examples)


@broken("purity", "must not change the parameters or buffers")
class TrainsItself(ProtoNet):
    def observe(self, state, examples):
        with torch.no_grad():
            self.net.layers[0].weight.mul_(1.01)
        return super().observe(state, examples)


@broken("purity", "must not change the mode")
class SwitchesMode(ProtoNet):
    def predict(self, state, x):
        return self.train() and super().predict(state, x)


@broken("purity", "must not change requires_grad")
class Freezes(ProtoNet):
    def observe(self, state, examples):
        self.net.requires_grad_(False)
        return super().observe(state, examples)


@broken("purity", "must not leave gradients in the parameters")
class LeavesGradients(ProtoNet):
    def observe(self, state, examples):
        after = super().observe(state, examples)
        after.sums.sum().backward()
        return map_tensors(torch.Tensor.detach, after)


@broken("purity", "what came between must not matter")
class Remembers(ProtoNet):
    last: Tensor | float = 0.0

    def observe(self, state, examples):
        after = super().observe(state, examples)
        after, self.last = after._replace(sums=after.sums + self.last), after.sums.detach()
        return after


@broken("incremental", "two parts equal the whole")
class Forgets(ProtoNet):
    def observe(self, state, examples):
        return super().observe(self.start(examples.tasks), examples)


@broken("inductive", "must be predicted as it is alone, unless transductive")
class CentredOverQueries(ProtoNet):
    def predict(self, state, x):
        return super().predict(state, x - x.mean(1, keepdim=True))


@broken("determinism", "must not draw from the global random state")
class Noisy(ProtoNet):
    def predict(self, state, x):
        return super().predict(state, x + torch.randn(x.shape, dtype=x.dtype))


@broken("determinism", "whatever the global random state")
class SeededByTheGlobalState(ProtoNet):
    def predict(self, state, x):
        return super().predict(state, x) * (1 + torch.initial_seed() % 7)


@broken("stream", "must equal a loop over predict and observe")
class Peeks(ProtoNet):
    def stream(self, stream, state=None):
        return self.predict(self.observe(self.start(stream.tasks), stream.examples), stream.examples.x)


@broken("paused_stream", "follow: two parts must")
class ForgetsWhatIsOnItsWay(ProtoNet):
    def follow(self, stream, state=None, steps=EVERY):
        first, last, _ = steps.indices(stream.steps)
        delay = stream.delay if isinstance(stream.delay, int) else stream.delay[:, first:last]
        delay = min(delay, last - first) if isinstance(delay, int) else delay.clamp(max=last - first)
        return super().follow(replace(stream, examples=stream.examples.take(slice(first, last)), delay=delay), state)


@broken("stream", "delay 2")
class ForgetsTheDelay(ProtoNet):
    def stream(self, stream, state=None):
        return super().stream(replace(stream, delay=1), state)


@broken("loss", "a mean over tasks, got shape")
class LossOfEachTask(ProtoNet):
    def loss(self, episode):
        state = self.observe(self.start(episode.tasks), episode.support)
        return task_losses(self.predict(state, episode.query.x), episode.query)


@broken("loss", "must be finite")
class InfiniteLoss(ProtoNet):
    def loss(self, episode):
        return super().loss(episode) / 0


@broken("loss", "must be differentiable")
class ConstantLoss(ProtoNet):
    def loss(self, episode):
        return super().loss(episode).detach()


@broken("loss", "all of it is zero")
class LossWithoutSlope(ProtoNet):
    def loss(self, episode):
        return 0 * super().loss(episode)


@broken("loss", "must have some that require gradients")
class NothingToLearn(ProtoNet):
    def __init__(self, net, ways=2):
        super().__init__(net, ways)
        self.requires_grad_(False)


@broken("loss_is_mean", "mean over tasks of the loss of each alone")
class SumOfLosses(ProtoNet):
    def loss(self, episode):
        return super().loss(episode) * episode.tasks


@broken("loss_padding", "queries whose mask is False must change nothing")
class LossOfPadding(ProtoNet):
    def loss(self, episode):
        return super().loss(replace(episode, query=replace(episode.query, mask=None)))


@broken("gradient", "must be its derivative")
class FirstOrderUnsaid(MAML):
    def _inner_step(self, weights, examples, step, differentiable):
        return super()._inner_step(weights, examples, step, False)


@broken("gradient", "must be its derivative")
class DetachedPrototypes(ProtoNet):
    def observe(self, state, examples):
        return Prototypes(*(part.detach() for part in super().observe(state, examples)))


@broken("chunks", "must give what 1 gives, a loop over tasks")
class ChunkMatters(MAML):
    def predict(self, state, x):
        return super().predict(state, x) * (self.chunk_size or 0.5)


@broken("memory", "must keep nothing of an episode")
class KeepsLosses(ProtoNet):
    def __init__(self, net, ways=2):
        super().__init__(net, ways)
        self.history = []

    def loss(self, episode):
        self.history.append(super().loss(episode))
        return self.history[-1]


@broken("memory", "must keep nothing of an episode")
class GrowsABuffer(ProtoNet):
    seen: Tensor | None = None

    def observe(self, state, examples):
        x = examples.x.flatten(1).repeat(1, 20)
        self.seen = x if self.seen is None else torch.cat([self.seen, x])
        return super().observe(state, examples)


@broken("acquire", "must have changed after two steps")
class StandsStill(ProtoNet):
    outer: ClassVar = {"optimiser": "sgd", "learning_rate": 0.0, "tasks_per_step": 2}


@broken("arguments", "'ways' stored as self.ways")
class ForgottenArgument(ProtoNet):
    def __init__(self, net, ways=2):
        super().__init__(net, ways)
        self.size = ways
        del self.ways

    def start(self, tasks, about=None):
        return Prototypes(torch.zeros(tasks, self.size, 1), torch.zeros(tasks, self.size))


@broken("arguments", "'ways' must be stored as it was given")
class StoredOtherwise(ProtoNet):
    def __init__(self, net, ways=2):
        super().__init__(net, ways + 1)


@broken("arguments", "must settle the parameters")
class SizedLater(ProtoNet):
    def __init__(self, net, ways=2):
        super().__init__(net, ways)
        self.register_buffer("calls", torch.zeros(len(LATER)))
        LATER.append(self)


LATER: list[ProtoNet] = []


@broken("prior_on_disk", "must predict the same, to the bit")
class WeightsOutsideTheModule(ProtoNet):
    drawn = 0

    def __init__(self, net, ways=2):
        super().__init__(net, ways)
        type(self).drawn += 1
        self.projection = torch.eye(4) * type(self).drawn

    def predict(self, state, x):
        return super().predict(state, x @ self.projection)


@broken("training_padding", "in training mode, examples whose mask is False must change nothing")
class CentredOnPaddingInTraining(ProtoNet):
    def observe(self, state, examples):
        centre = examples.x.nan_to_num(1e3).mean((0, 1)) if self.training else 0
        return super().observe(state, replace(examples, x=examples.x - centre))


@broken("state_on_disk", "must be tensors in dicts, tuples or named tuples")
class StateInAList(ProtoNet):
    def start(self, tasks, about=None):
        return list(super().start(tasks, about))

    def observe(self, state, examples):
        return list(super().observe(Prototypes(*state), examples))

    def predict(self, state, x):
        return super().predict(Prototypes(*state), x)


@broken("state_on_disk", "unknown part of a state 'Prototypes'")
class StateOfAnotherType(ProtoNet):
    def start(self, tasks, about=None):
        return tuple(super().start(tasks, about))

    def observe(self, state, examples):
        return super().observe(Prototypes(*state), examples)

    def predict(self, state, x):
        return super().predict(Prototypes(*state), x)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for cls in BROKEN:
        monkeypatch.setitem(priors._classes, f"_test_{cls.__name__}", cls)


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_what_is_broken_is_caught(cls):
    check, sentence = BROKEN[cls]
    with pytest.raises(AssertionError, match=sentence):
        CHECKS[check](lambda spec: build(cls), ToyTasks())


@pytest.mark.parametrize("make", [proto, maml])
def test_what_is_not_broken_passes(make):
    results = check_prior(lambda spec: make(), ToyTasks())
    assert set(results) == set(CHECKS)
    skipped = {name for name, result in results.items() if result != "passed"}
    assert skipped == {"chunks"} if make is proto else {"incremental"}


def test_every_check_catches_something():
    assert {check for check, _ in BROKEN.values()} == set(CHECKS)


def test_an_unregistered_prior_is_caught(monkeypatch):
    monkeypatch.delitem(priors._classes, "_test_Noisy")
    with pytest.raises(AssertionError, match="Noisy is not registered"):
        CHECKS["arguments"](lambda spec: build(Noisy), ToyTasks())


def test_all_failures_are_told_at_once():
    with pytest.raises(AssertionError) as caught:
        check_prior(lambda spec: build(StandsStill), ToyTasks("classification", (4,), outputs=3, queries=1))
    assert str(caught.value).startswith("1 of ")
    assert "- acquire: acquire: a prior that learns must have changed" in str(caught.value)


def test_a_prior_may_be_given_as_it_is_or_as_a_class():
    assert check_prior(proto())["incremental"] == "passed"
    CHECKS["shapes"](MAML)
    with pytest.raises(AssertionError):
        CHECKS["stream"](build(Peeks))


def test_a_masked_source_is_no_obstacle():
    class Uneven(ToyTasks):
        def sample(self, tasks, generator, split="train"):
            episode = super().sample(tasks, generator, split)
            mask = torch.arange(episode.support.size) < 4 + torch.arange(tasks)[:, None] % 3
            x, y = episode.support.x, episode.support.y
            return replace(episode, support=Examples(x, y, mask))

    assert check_prior(lambda spec: proto(), Uneven())["padding"] == "passed"
