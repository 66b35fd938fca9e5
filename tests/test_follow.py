"""Logs of streams: what is scored, averaged, written and drawn."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from metaprior import CPM, Matching, ProtoNet, Ridge, Scratch, evaluate, follow
from metaprior.errors import DataError, MetapriorError
from metaprior.follow import Followed, _scores
from metaprior.nets import MLP, UNet
from metaprior.tasks import Examples, Roaming, Sinusoid, Stream, Streams, Strokes, TaskSource
from metaprior.testing import ToyTasks

LOG = Followed(
    scores=torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]]),
    y=torch.tensor([[0, 0, 1, 0], [1, 1, 0, 0]]),
    real=torch.tensor([[True] * 4, [True, True, True, False]]),
    shifts=torch.tensor([[True, False, True, False], [False, True, False, False]]),
    metric="accuracy",
    step_seconds=0.001,
    alone_seconds=0.002,
    state_bytes=8,
    parameters=3,
    hash="abc",
)


def test_scores_are_averaged_over_what_is_real():
    assert LOG.by_step().tolist() == [0.5, 1.0, 0.5, 0.0]
    assert LOG.running(2).tolist() == pytest.approx([0.5, (0.5 + 1) / 2, (1 + 0.5) / 2, 0.5])
    assert LOG.by_presentation() == pytest.approx({1: 2 / 4, 2: 2 / 2, 3: 0})
    assert LOG.since_shift() == pytest.approx({0: (0 + 1 + 1) / 3, 1: (1 + 0 + 0) / 3})
    assert LOG.since_seen() == {1: 1.0, 2: 0.0}
    assert LOG.since_seen(most=1) == {1: 1.0}
    assert LOG.result()["mean"] == pytest.approx((2 / 4 + 2 / 3) / 2)


def test_classes_that_never_come_again_leave_nothing_to_forget():
    log = follow(ProtoNet(nn.Flatten(), ways=3), Streams(Strokes(ways=3, shots=1, queries=1)), streams=4)
    assert list(log.by_presentation()) == [1]
    assert log.since_seen() == {}
    assert log.draw().startswith(b"\x89PNG")


def test_a_number_of_labels_that_no_step_had_is_left_out(tmp_path):
    """Two labels of a class may come at once, so that it is never seen after one."""
    log = replace(LOG, told=torch.tensor([[0, 0, 0, 2], [0, 2, 0, 0]]))
    assert log.by_presentation() == pytest.approx({1: 0.6, 3: 0.5})
    log.write(tmp_path)
    assert "NaN" not in (tmp_path / "result.json").read_text()


def test_without_classes_or_shifts_there_is_less_to_tell():
    bare = replace(LOG, y=None, shifts=None, metric="mse")
    assert bare.by_presentation() == bare.since_shift() == bare.since_seen() == {}
    assert bare.draw().startswith(b"\x89PNG")


def test_a_log_is_written(tmp_path):
    LOG.write(tmp_path, window=2)
    rows = list(csv.reader((tmp_path / "steps.csv").read_text().splitlines()))
    assert rows[0] == ["step", "accuracy", "accuracy of the last 2 steps"]
    assert [float(row[1]) for row in rows[1:]] == [0.5, 1.0, 0.5, 0.0]
    assert json.loads((tmp_path / "result.json").read_text())["by_presentation"]["2"] == 1
    assert (tmp_path / "stream.png").read_bytes().startswith(b"\x89PNG")
    curves = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    assert {row["curve"] for row in curves} == {"presentation", "since_shift", "since_seen"}
    assert [row["accuracy"] for row in curves if row["curve"] == "since_seen"] == ["1", "0"]
    with pytest.raises(MetapriorError, match="window: expected a positive number"):
        LOG.write(tmp_path / "other", window=0)
    assert not (tmp_path / "other").exists()


def test_a_class_is_unknown_until_a_label_of_it_has_come():
    """All of one class, whose first label comes three steps late: what is right before is not counted."""
    log = replace(
        LOG,
        scores=torch.ones(1, 5),
        y=torch.zeros(1, 5, dtype=torch.long),
        real=torch.ones(1, 5, dtype=torch.bool),
        named=torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]]),
        unknown=torch.tensor([[0.9, 0.8, 0.7, 0.2, 0.1]]),
        told=torch.tensor([[0, 0, 0, 1, 2]]),
    )
    assert log.by_presentation() == {1: 0.0, 2: 1.0, 3: 0.0}
    assert log.average_precision() == pytest.approx((1 / 2) / 2)


def test_labels_that_never_come_leave_all_unknown():
    streams = Streams(Roaming("strokes", steps=20), never=1.0)
    prior = CPM.for_tasks(streams.spec, MLP(100, hidden=(8,)), unseen="last")
    log = follow(prior, streams, streams=2)
    assert not log.told.any()
    assert log.average_precision() == 0
    assert log.scores[log.real].mean() == 1


def test_what_is_carried_is_that_at_the_end_of_the_stream():
    source = Strokes(ways=3, shots=5, queries=1)
    carried = [follow(Matching(nn.Flatten(), ways=3), Streams(source, steps=steps), 2).state_bytes for steps in (5, 15)]
    assert carried[1] > 2.9 * carried[0]
    assert follow(ProtoNet(nn.Flatten(), ways=3), Streams(source), 2).alone_seconds > 0


def test_what_cannot_be_followed():
    class Broken(Streams):
        def sample(self, *arguments):
            stream = super().sample(*arguments)
            stream.examples.x[1, 2] = torch.nan
            return stream

    with pytest.raises(DataError, match="source: expected finite inputs; that of step 3 of stream 2 is not"):
        follow(ProtoNet(nn.Flatten()), Broken(Strokes(ways=3, shots=5, queries=1)), streams=3)
    with pytest.raises(MetapriorError, match="prior: expected one acquired where a class can be unknown"):
        follow(ProtoNet(nn.Flatten(), ways=3), Streams(Roaming("strokes", steps=20)), streams=2)
    with pytest.raises(MetapriorError, match="prior: its network takes inputs of 4 numbers; Streams has 100"):
        follow(ProtoNet(MLP(4)), Streams(Strokes()), streams=2)
    with pytest.raises(MetapriorError, match="seed: expected a number from 0"):
        follow(ProtoNet(nn.Flatten()), Streams(Strokes()), streams=2, seed=10**30)


def test_a_prior_is_followed_and_left_as_it_was():
    prior = ProtoNet(nn.Flatten(), ways=3).train()
    log = follow(prior, Streams(Strokes(ways=3, shots=5, queries=1)), streams=30)
    accuracy = log.by_presentation()
    assert accuracy[1] < 0.4 < 0.8 < accuracy[2]
    assert prior.training
    assert log.hash == follow(prior, Streams(Strokes(ways=3, shots=5, queries=1)), streams=30).hash
    assert log.scores.shape == (30, 15)


def test_values_are_followed_by_squared_error():
    log = follow(Ridge(MLP(1), outputs=1), Streams(Sinusoid(shots=8)), streams=4)
    assert log.metric == "mse"
    assert log.y is None
    assert log.scores.shape == (4, 8)


def test_masks_are_followed_by_their_overlap_at_each_step():
    source = ToyTasks("segmentation", (1, 4, 4), outputs=2, shots=3)
    log = follow(Scratch.for_tasks(source.spec, UNet(1, 2, (4,)), steps=1), Streams(source), streams=2)
    assert (log.metric, log.y, log.by_presentation()) == ("iou", None, {})
    stream = Streams(source).test_set(2).episodes[0]
    guess = torch.stack([torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)], dim=2).flip(2)
    expected = stream.examples.y.float().mean((2, 3))
    torch.testing.assert_close(_scores(guess, stream), expected)
    assert log.draw()[1:4] == b"PNG"


def test_episodes_are_no_streams():
    with pytest.raises(MetapriorError, match=r"source: expected streams .* got Strokes"):
        follow(ProtoNet(nn.Flatten()), Strokes())
    assert issubclass(Streams, TaskSource)
    with pytest.raises(MetapriorError, match="streams: expected a positive number"):
        follow(ProtoNet(nn.Flatten()), Streams(Strokes()), streams=0)


def test_a_prior_is_not_scored_on_classes_that_a_stream_does_not_have():
    """As `evaluate` has it for episodes: a prior of three outputs, a stream of two classes, the third said always."""
    net = MLP(100, 3, hidden=())
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    prior, streams = Scratch(net, steps=0), Streams(Strokes(ways=2, shots=4, queries=1))
    assert follow(prior, streams, streams=10).result()["mean"] == pytest.approx(0.5)
    assert evaluate(prior, streams, episodes=10).mean == pytest.approx(0.5)
    x, y = torch.zeros(2, 4, 1, 10, 10), torch.tensor([[0, 1, 0, 1], [0, 1, 2, 2]])
    mixed = Stream(Examples(x, y), ways=torch.tensor([2, 3]))
    assert _scores(prior.stream(mixed), mixed).tolist() == [[0, 1, 0, 1], [0, 0, 1, 1]]


def test_streams_say_where_a_task_has_fewer_classes():
    class Mixed(ToyTasks):
        def sample(self, tasks, generator, split="train"):
            return replace(super().sample(tasks, generator, split), ways=torch.tensor([2, 3]))

    source = Streams(Mixed("classification"))
    assert source.sample(2, torch.Generator().manual_seed(0)).ways.tolist() == [2, 3]
    assert Streams(ToyTasks("classification")).sample(2, torch.Generator().manual_seed(0)).ways is None
