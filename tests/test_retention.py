"""What is kept of classes that come in turn: scores at marks, by class, whatever is given at once."""

import pytest
import torch
from torch import nn

from metaprior import MAML, OML, Prior, ProtoNet, Ridge, retention
from metaprior.errors import MetapriorError
from metaprior.nets import MLP
from metaprior.tasks import ClassIncremental, Episode, Examples, Sinusoid, Streams, Strokes, TaskSource, TaskSpec

SOURCE = ClassIncremental("strokes", ways=20, shots=4, queries=2)


class LastTold(Prior):
    """Knows nothing but how often each class was told, the last ones best; a value of known scores."""

    kinds = frozenset({"classification"})
    order_free = False
    learns = False

    def __init__(self, most):
        super().__init__()
        self.most = most
        self.given = []

    @classmethod
    def for_tasks(cls, spec, net=None, seed=0, **arguments):
        return cls(**arguments)

    def start(self, tasks, about=None):
        return torch.zeros(tasks, 20)

    def observe(self, state, examples):
        self.given.append(examples.size)
        told = nn.functional.one_hot(examples.y[:, -1], 20)
        return torch.where(told.bool(), state.amax(1, keepdim=True) + 1, state)

    def predict(self, state, x):
        """The class of an image is written in its first pixel; only the last few told are still known."""
        of = nn.functional.one_hot((x.flatten(2)[..., 0]).long(), 20)
        return of * (state >= state.topk(self.most).values[:, -1:])[:, None]


class Written(TaskSource):
    """Ten classes in an order of their own, three examples each, their ids in their first pixels."""

    spec = TaskSpec("classification", (1,), outputs=20)

    def __init__(self, mixed=False):
        self.mixed = mixed

    def sample(self, tasks, generator, split="train"):
        y = torch.tensor([3, 1, 9, 0, 19, 5, 6, 7, 2, 12]).repeat_interleave(3).expand(tasks, -1)
        y = y.flip(1)[:, torch.randperm(30, generator=generator)] if self.mixed else y
        examples = Examples(y[..., None].float(), y)
        return Episode(examples, examples)


def test_scores_are_of_the_classes_so_far():
    kept = retention(LastTold(most=4), Written(), marks=(10, 2, 4, 8), sequences=2)
    assert kept.marks == (2, 4, 8, 10)
    # Of n classes the last four are known, and the others taken for the first of those there are: class 3.
    expected = torch.tensor([1.0, 1.0, 5 / 8, 5 / 10]).expand(2, -1)
    torch.testing.assert_close(kept.held_out, expected)
    torch.testing.assert_close(kept.trajectory, expected)
    assert kept.by_class.tolist() == [[1.0, *[0.0] * 5, *[1.0] * 4]] * 2
    assert kept.result()["held_out"] == pytest.approx([1.0, 1.0, 5 / 8, 5 / 10])


def test_examples_come_one_by_one_unless_that_makes_no_difference():
    prior = LastTold(most=4)
    retention(prior, Written(), sequences=1)
    assert prior.given == [1] * 30
    prior = LastTold(most=4)
    prior.incremental = True
    retention(prior, Written(), marks=(4, 10), sequences=1)
    assert prior.given == [12, 18]


@pytest.mark.parametrize("build", [lambda: ProtoNet(nn.Flatten(), ways=20), lambda: Ridge(nn.Flatten(), outputs=20)])
def test_incremental_priors_keep_everything(build):
    kept = retention(build(), SOURCE, marks=(5, 20), sequences=2)
    assert (kept.held_out > 0.9).all()
    assert kept.hash == retention(build(), SOURCE, sequences=2).hash


def test_any_split_can_be_scored_and_the_prior_is_left_as_it_was():
    prior = OML(MLP(100, hidden=(8,)), outputs=20).train()
    kept = retention(prior, SOURCE, split="valid", sequences=2)
    assert kept.marks == (5,)
    assert kept.by_class.shape == (2, 5)
    assert prior.training
    assert kept.state_bytes == 4 * (20 * 8 + 20)


def test_a_prior_with_gradient_steps_follows():
    prior = MAML(MLP(100, 20, hidden=(8,)), step_size=0.1)
    assert retention(prior, SOURCE, marks=(2,), sequences=1).trajectory.shape == (1, 1)


def test_what_cannot_be_is_refused():
    prior = ProtoNet(nn.Flatten())
    with pytest.raises(MetapriorError, match="source: expected all examples of one class, then all of the next"):
        retention(prior, Written(mixed=True))
    with pytest.raises(MetapriorError, match="source: expected tasks with classes that come in turn, got Streams"):
        retention(prior, Streams(Strokes()))
    with pytest.raises(MetapriorError, match="source: expected tasks with classes that come in turn, got Sinusoid"):
        retention(MAML(MLP(1, 1)), Sinusoid())
    with pytest.raises(MetapriorError, match="marks: expected at most 20, the classes of a sequence, got 30"):
        retention(prior, SOURCE, marks=(30,))
    with pytest.raises(MetapriorError, match="marks: expected numbers of classes, 1 or more, got"):
        retention(prior, SOURCE, marks=(0, 3))
    with pytest.raises(MetapriorError, match="sequences: expected a positive number, got 0"):
        retention(prior, SOURCE, sequences=0)
