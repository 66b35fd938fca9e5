"""Logs of streams: what is scored, averaged, written and drawn."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from metaprior import ProtoNet, Ridge, Scratch, follow
from metaprior.errors import MetapriorError
from metaprior.follow import Followed, _scores
from metaprior.nets import MLP, UNet
from metaprior.tasks import Sinusoid, Streams, Strokes, TaskSource
from metaprior.testing import ToyTasks

LOG = Followed(
    scores=torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0]]),
    y=torch.tensor([[0, 0, 1, 0], [1, 1, 0, 0]]),
    real=torch.tensor([[True] * 4, [True, True, True, False]]),
    shifts=torch.tensor([[True, False, True, False], [False, True, False, False]]),
    metric="accuracy",
    step_seconds=0.001,
    state_bytes=8,
    parameters=3,
    hash="abc",
)


def test_scores_are_averaged_over_what_is_real():
    assert LOG.by_step().tolist() == [0.5, 1.0, 0.5, 0.0]
    assert LOG.running(2).tolist() == pytest.approx([0.5, (0.5 + 1) / 2, (1 + 0.5) / 2, 0.5])
    assert LOG.by_presentation() == pytest.approx({1: 2 / 4, 2: 2 / 2, 3: 0})
    assert LOG.since_shift() == pytest.approx({0: (0 + 1 + 1) / 3, 1: (1 + 0 + 0) / 3})
    assert LOG.result()["mean"] == pytest.approx((2 / 4 + 2 / 3) / 2)


def test_without_classes_or_shifts_there_is_less_to_tell():
    bare = replace(LOG, y=None, shifts=None, metric="mse")
    assert bare.by_presentation() == bare.since_shift() == {}
    assert bare.draw().startswith(b"\x89PNG")


def test_a_log_is_written(tmp_path):
    LOG.write(tmp_path, window=2)
    rows = list(csv.reader((tmp_path / "steps.csv").read_text().splitlines()))
    assert rows[0] == ["step", "accuracy", "accuracy of the last 2 steps"]
    assert [float(row[1]) for row in rows[1:]] == [0.5, 1.0, 0.5, 0.0]
    assert json.loads((tmp_path / "result.json").read_text())["by_presentation"]["2"] == 1
    assert (tmp_path / "stream.png").read_bytes().startswith(b"\x89PNG")


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
