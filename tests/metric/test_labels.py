"""Labelled examples as rows of numbers."""

import pytest
import torch

from metaprior.errors import ShapeError
from metaprior.metric.labels import added, memberships, nothing, outcomes
from metaprior.tasks import Examples


def test_padding_belongs_to_no_class_whatever_its_label():
    mask = torch.tensor([[True, False]])
    rows = memberships(Examples(torch.zeros(1, 2, 1), torch.tensor([[1, 7]]), mask), 2, torch.float64)
    assert rows.tolist() == [[[0, 1], [0, 0]]]
    assert rows.dtype == torch.float64


@pytest.mark.parametrize("y", [None, torch.zeros(1, 2, 1)], ids=["no labels", "values"])
def test_refuses_what_is_no_class(y):
    with pytest.raises(ShapeError, match="expected class ids"):
        memberships(Examples(torch.zeros(1, 2, 1), y), 2, torch.float32)


def test_values_are_as_they_are_but_for_padding():
    examples = Examples(torch.zeros(1, 2, 1), torch.tensor([[[2.0], [torch.nan]]]), torch.tensor([[True, False]]))
    assert outcomes(examples, 1, torch.float32).flatten().tolist() == [2.0, 0.0]


def test_what_was_seen_grows_in_examples_and_in_classes():
    first = Examples(torch.ones(2, 3, 4), torch.tensor([[0, 1, 0], [1, 1, 0]]))
    later = Examples(torch.ones(2, 1, 4), torch.tensor([[2], [7]]), torch.tensor([[True], [False]]))
    state = added(added(nothing(2, 2, torch.zeros(())), first), later)
    assert state.targets.shape == (2, 4, 3)
    assert state.targets.sum((0, 1)).tolist() == [3, 3, 1]
    assert state.real.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert state.features[1, 3].tolist() == [0, 0, 0, 0]
    assert state.classes.tolist() == [True, True]
    with pytest.raises(ShapeError, match="expected T = 2 tasks"):
        added(state, first[:1])
