from dataclasses import replace
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn

from metaprior import MAML, FineTune, Prior, ProtoNet, acquire
from metaprior.errors import MetapriorError, ShapeError
from metaprior.nets import MLP
from metaprior.tasks import Episode, Examples, Stream, Streams, Strokes, TaskSpec, task_losses
from metaprior.tree import Tree


class Mean(Prior):
    """Predicts the mean target so far, zero before any; records what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked: list[str] = []

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        return cls()

    def start(self, tasks: int, about: Tree = None) -> tuple[Tensor, Tensor]:
        return torch.zeros(tasks, 1) if about is None else about, torch.zeros(tasks, 1)

    def observe(self, state: tuple[Tensor, Tensor], examples: Examples) -> tuple[Tensor, Tensor]:
        self.asked.append(f"observe {examples.y.flatten().tolist()}")
        real = examples.real[..., None].float()
        return state[0] + (examples.y * real).sum(1), state[1] + real.sum(1)

    def predict(self, state: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        self.asked.append(f"predict {x.flatten().tolist()}")
        return (state[0] / state[1].clamp(min=1))[:, None].expand(-1, x.shape[1], -1)


def series(*values: float) -> Examples:
    y = torch.tensor(values, dtype=torch.float32)[None, :, None]
    return Examples(torch.arange(float(len(values)))[None, :, None], y)


def test_the_default_loss_is_the_query_loss_after_the_support():
    episode = Episode(series(1, 3), series(5, 5))
    assert Mean().loss(episode).item() == (5 - 2) ** 2


def test_the_default_loss_is_a_mean_over_tasks_and_starts_from_about():
    episode = Episode(series(1, 3), series(5, 5))
    both = Episode.concatenate([episode, Episode(series(3, 5), series(4, 4))])
    assert Mean().loss(both).item() == 4.5
    told = Episode(series(1, 3), series(5, 5), about=torch.full((1, 1), 6.0))
    assert Mean().loss(told).item() == 0


def test_a_stream_predicts_before_it_is_told():
    prior = Mean()
    assert prior.stream(Stream(series(2, 4, 9))).flatten().tolist() == [0, 2, 3]
    assert prior.asked[:4] == ["predict [0.0]", "observe [2.0]", "predict [1.0]", "observe [4.0]"]


def test_a_late_label_is_observed_late():
    prior = Mean()
    assert prior.stream(Stream(series(2, 4, 9), delay=2)).flatten().tolist() == [0, 0, 2]
    assert prior.asked == ["predict [0.0]", "predict [1.0]", "observe [2.0]", "predict [2.0]", "observe [4.0]"]


def test_a_stream_can_go_on_from_a_belief():
    prior = Mean()
    state = prior.observe(prior.start(1), series(10))
    assert prior.stream(Stream(series(2, 4)), state).flatten().tolist() == [10, 6]


def test_a_stream_that_ends_early_tells_nothing_more():
    ended = replace(series(2, 50, 50), mask=torch.tensor([[True, False, False]]))
    assert Mean().stream(Stream(ended)).flatten().tolist() == [0, 2, 2]


def test_a_class_may_appear_in_the_middle_of_a_stream():
    x, y = torch.tensor([[[0.0], [1.0], [5.0], [5.0]]]), torch.tensor([[0, 1, 2, 2]])
    logits = ProtoNet(nn.Flatten(), ways=2).stream(Stream(Examples(x, y)))
    assert logits.shape == (1, 4, 3)
    assert logits.softmax(-1)[0, :, 2].round().tolist() == [0, 0, 0, 1]
    assert logits[0, :2, 2].tolist() == [-torch.inf, -torch.inf]


def test_zero_shot_is_a_prediction_from_the_start():
    prior = MAML(MLP(2, 3, hidden=(4,)))
    x = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(prior.predict(prior.start(2), x)[1], prior.net(x[1]), atol=1e-6)


def test_a_prior_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Prior()


def test_ways_restrict_the_default_loss():
    prior = ProtoNet(nn.Flatten(), ways=3)
    x, y = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[0, 1]])
    episode = Episode(Examples(x, y), Examples(x, y), ways=torch.tensor([2]))
    prediction = prior.predict(prior.observe(prior.start(1), episode.support), x)
    assert prior.loss(episode) == task_losses(prediction[..., :2], episode.query).mean()


def test_an_objective_of_its_own_is_not_passed_over_on_streams():
    streams = Streams(Strokes(ways=2, shots=3, queries=1))
    prior = FineTune(MLP(100), outputs=2)
    with pytest.raises(MetapriorError, match="prior: FineTune is acquired on episodes, and follows streams later"):
        acquire(prior, streams, steps=1)


def test_a_stream_goes_on_only_from_a_belief_of_as_many_streams():
    prior = Mean()
    with pytest.raises(ShapeError, match="examples: expected T = 2 tasks as in state, got 1"):
        prior.stream(Stream(series(1, 2)), prior.start(2))
    assert prior.asked == []
