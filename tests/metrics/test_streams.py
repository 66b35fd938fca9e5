"""Scores of streams, on logs short enough to score by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import DataError, ShapeError
from metaprior.metrics import (
    accuracy_by_presentation,
    average_precision,
    first_sights,
    gaps_of,
    presentations,
    running_accuracy,
)

Y = torch.tensor([[3, 3, 5, 3, 5], [1, 2, 1, 2, 9]])
REAL = torch.tensor([[True] * 5, [True, False, True, True, True]])


def test_presentations_count_a_class_of_one_stream():
    assert presentations(Y).tolist() == [[1, 2, 1, 3, 2], [1, 1, 2, 2, 1]]
    assert presentations(Y, REAL).tolist() == [[1, 2, 1, 3, 2], [1, 0, 2, 1, 1]]
    assert first_sights(Y, REAL).tolist() == [[True, False, True, False, False], [True, False, False, True, True]]


@settings(max_examples=30, deadline=None)
@given(data=st.data(), steps=st.integers(1, 9))
def test_presentations_are_counted_as_by_hand(data, steps):
    ids = data.draw(st.lists(st.integers(0, 3), min_size=steps, max_size=steps))
    real = data.draw(st.lists(st.booleans(), min_size=steps, max_size=steps))
    seen = [[ids[before] for before in range(step + 1) if real[before]] for step in range(steps)]
    expected = [part.count(label) if here else 0 for part, label, here in zip(seen, ids, real, strict=True)]
    assert presentations(torch.tensor([ids]), torch.tensor([real])).tolist() == [expected]


def test_accuracy_by_presentation():
    hits = torch.tensor([[0, 1, 0, 1, 0], [1, 1, 1, 0, 0]])
    assert accuracy_by_presentation(hits, Y, most=3).tolist() == pytest.approx([2 / 5, 2 / 4, 1])
    assert accuracy_by_presentation(hits, Y, most=3, real=REAL).tolist() == pytest.approx([1 / 5, 2 / 3, 1])
    assert accuracy_by_presentation(hits, Y, most=5)[3:].isnan().all()


@settings(max_examples=20, deadline=None)
@given(hits=st.lists(st.booleans(), min_size=1, max_size=9), window=st.integers(1, 12))
def test_running_accuracy_is_a_mean_of_the_last_steps(hits, window):
    got = running_accuracy(torch.tensor([hits]), window)[0].tolist()
    for step in range(len(hits)):
        last = hits[max(0, step + 1 - window) : step + 1]
        assert got[step] == pytest.approx(sum(last) / len(last))


def test_padding_has_no_part_in_running_accuracy():
    hits = torch.tensor([[1, 0, 0]])
    assert running_accuracy(hits, 2, torch.tensor([[True, False, True]])).tolist() == [[1.0, 1.0, 0.0]]


def test_average_precision_by_hand():
    # Ranked: step 4 (known, right), 0 (new), 1 (known, wrong), 3 (known, right), 2 (new): 1/1 and 2/4, of 3 known.
    unknown = torch.tensor([[0.2, 0.3, 0.9, 0.4, 0.1]])
    hits = torch.tensor([[1, 0, 1, 1, 1]])
    assert average_precision(unknown, hits, ~first_sights(Y[:1])).item() == pytest.approx((1 + 2 / 4) / 3)


def test_average_precision_of_the_perfect_and_the_hopeless():
    new = first_sights(Y)
    assert average_precision(new.float(), torch.ones_like(Y), ~new) == 1
    assert average_precision(new.float(), torch.zeros_like(Y), ~new) == 0


def test_padding_has_no_rank():
    unknown, hits, known = torch.tensor([[[0.1, 0.0]], [[1, 0]], [[1, 0]]])
    assert average_precision(unknown, hits, known.bool()) == 0.5
    assert average_precision(unknown, hits, known.bool(), torch.tensor([[True, False]])) == 1


def test_shapes_must_agree():
    with pytest.raises(ShapeError, match=r"hits, y: expected one shape \(T, S\)"):
        accuracy_by_presentation(Y[:1], Y)
    with pytest.raises(ShapeError, match="expected one shape"):
        average_precision(Y[0], Y[0], Y[0] > 0)


def test_average_precision_does_not_depend_on_the_order_of_equals():
    """Two steps that cannot be ranked are half right together, whichever comes first."""
    known = torch.ones(1, 2, dtype=torch.bool)
    for hits in ([[1, 0]], [[0, 1]]):
        assert average_precision(torch.zeros(1, 2), torch.tensor(hits), known).item() == pytest.approx(1 / 4)


def test_scores_that_are_no_numbers_rank_nothing():
    with pytest.raises(DataError, match="unknown: expected numbers, got NaN"):
        average_precision(torch.full((1, 2), torch.nan), torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool))
    nothing = torch.zeros(1, 0)
    assert average_precision(nothing, nothing, nothing.bool()) == 0


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_gaps_are_counted_as_by_hand(ids):
    expected = [next((gap for gap in range(1, at + 1) if ids[at - gap] == ids[at]), 0) for at in range(len(ids))]
    assert gaps_of(torch.tensor([ids])).tolist() == [expected]


def test_padding_has_no_gap():
    assert gaps_of(torch.tensor([[1, 1, 1]]), torch.tensor([[True, True, False]])).tolist() == [[0, 1, 0]]
