"""Streams of tasks: every example once, in random order, each label when it was said to come."""

import pytest
import torch

from metaprior.errors import DataError
from metaprior.tasks import ClassIncremental, Corrupted, Sinusoid, Streams, Strokes


def draw(source, tasks=6, seed=0):
    return source.sample(tasks, torch.Generator().manual_seed(seed))


def test_every_example_of_the_support_comes_once():
    source = Strokes(ways=3, shots=4, queries=1)
    stream, support = draw(Streams(source)), draw(source).support
    for task in range(6):
        came = sorted(map(tuple, stream.examples.x[task].flatten(1).tolist()))
        assert came == sorted(map(tuple, support.x[task].flatten(1).tolist()))
    assert not torch.equal(stream.examples.y, support.y)
    assert (stream.delay, stream.examples.mask) == (1, None)


def test_a_stream_can_end_early():
    stream = draw(Streams(Strokes(ways=3, shots=10, queries=1), steps=7))
    assert stream.steps == 7
    assert len({tuple(row.bincount(minlength=3).tolist()) for row in stream.examples.y}) > 1


def test_shorter_tasks_end_with_padding():
    stream = draw(Streams(Strokes(ways=(2, 4), shots=(1, 3), queries=1)), tasks=20)
    real = stream.examples.real
    assert (real[:, :-1] >= real[:, 1:]).all()
    assert len(set(real.sum(1).tolist())) > 1


def test_delays_are_drawn_between_bounds_and_some_labels_never_come():
    stream = draw(Streams(Sinusoid(shots=50), delay=2, latest=5, never=0.3), tasks=40)
    counts = stream.delays.flatten().bincount(minlength=6) / stream.delays.numel()
    assert counts[1] == 0
    assert counts[0].item() == pytest.approx(0.3, abs=0.04)
    assert counts[2:].tolist() == pytest.approx([0.7 / 4] * 4, abs=0.04)


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="latest: expected a delay of at least 3, the shortest, got 2"):
        Streams(Sinusoid(), delay=3, latest=2)
    with pytest.raises(DataError, match="never: expected a probability, got 2"):
        Streams(Sinusoid(), never=2)
    with pytest.raises(DataError, match="delay: expected a positive number, got 0"):
        Streams(Sinusoid(), delay=0)


def test_the_hash_of_streams_tells_delays_apart():
    hashes = {Streams(Strokes(), delay=delay).test_set(4).hash for delay in (1, 2, 5)}
    assert len(hashes) == 3


def test_streams_are_no_longer_than_their_tasks():
    with pytest.raises(DataError, match="source: expected one of episodes, got Streams"):
        draw(Corrupted(Streams(Sinusoid())))
    with pytest.raises(DataError, match=r"steps \(--length\): expected at most the 10 examples of a task, got 99"):
        draw(Streams(Sinusoid(), steps=99))
    with pytest.raises(DataError, match=r"steps \(--length\): expected at most the 10 examples of a task, got 99"):
        draw(Streams(Streams(Sinusoid()), steps=99))


def test_streams_of_streams_keep_their_order():
    inner, outer = draw(Streams(Sinusoid())), draw(Streams(Streams(Sinusoid()), delay=3, steps=5))
    assert torch.equal(inner.examples.x[:, :5], outer.examples.x)
    assert (inner.delay, outer.delay, outer.steps) == (1, 3, 5)


def test_shots_can_be_changed():
    assert draw(Streams(Sinusoid(), delay=2).with_shots(4)).steps == 4
    assert draw(Corrupted(Sinusoid(), noise=1.0).with_shots(4)).support.size == 4


def test_an_order_that_means_something_is_kept():
    source = ClassIncremental("strokes", ways=6, shots=3)
    stream = Streams(source).sample(2, torch.Generator().manual_seed(0), "test")
    assert stream.examples.y[0].tolist() == [name for name in range(6) for _ in range(3)]


def test_delays_beyond_the_end_are_refused():
    with pytest.raises(DataError, match="latest: expected a delay of at most the 6 steps of a stream, got 100"):
        Streams(Strokes(ways=3, shots=2, queries=1), latest=100).sample(1, torch.Generator())
    with pytest.raises(DataError, match=r"steps \(--length\): expected at most the 6 examples of a task, got 7"):
        Streams(Strokes(ways=3, shots=2, queries=1), steps=7).sample(1, torch.Generator())
