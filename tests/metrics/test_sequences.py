"""Scores of sequences of tasks, on logs short enough to score by hand."""

import pytest
import torch

from metaprior.errors import ShapeError
from metaprior.metrics import (
    backward_transfer,
    forward_contrast,
    forward_transfer,
    performance_maintenance,
    sample_efficiency,
    stability,
)

AFTER = torch.tensor([[0.9, 0.4, 0.5], [0.8, 0.9, 0.7], [0.6, 1.0, 0.9]])


def test_transfer_backward_and_forward():
    assert backward_transfer(AFTER).item() == pytest.approx(((0.6 - 0.9) + (1.0 - 0.9)) / 2)
    alone = torch.tensor([0.5, 0.5, 0.5])
    assert forward_transfer(AFTER, alone).item() == pytest.approx(((0.4 - 0.5) + (0.7 - 0.5)) / 2)


def test_a_dip_counts_though_it_is_made_up_for():
    accuracy = torch.tensor([[0.1, 0.0], [0.9, 0.1], [0.3, 0.5], [0.9, 0.8]])
    least, worst = stability(accuracy, torch.tensor([1, 3]))
    assert least.item() == pytest.approx(0.3)
    assert worst.item() == pytest.approx(0.8 / 2 + 0.3 / 2)


def test_what_was_learned_last_is_no_dip():
    """De Lange et al. count the evaluations strictly after a task was learned."""
    accuracy = torch.tensor([[0.5, 0.1], [0.9, 0.5], [0.8, 0.9]])
    assert stability(accuracy, torch.tensor([0, 2]))[0].item() == pytest.approx(0.8)
    with pytest.raises(ShapeError, match="learned: expected an evaluation after each task but the last"):
        stability(accuracy, torch.tensor([2, 2]))


def test_performance_maintenance_compares_with_when_it_was_learned():
    accuracy = torch.tensor([[0.5, 0.0], [0.9, 0.1], [0.7, 0.8], [0.6, 0.9]])
    expected = ((0.7 - 0.9 + 0.6 - 0.9) / 2 + (0.9 - 0.8)) / 2
    assert performance_maintenance(accuracy, torch.tensor([1, 2])).item() == pytest.approx(expected)


def test_sample_efficiency_is_speed_times_height():
    expert = torch.tensor([0.1, 0.2, 0.4, 0.8])
    assert sample_efficiency(expert, expert).item() == 1
    assert sample_efficiency(torch.tensor([0.4, 0.1]), expert).item() == pytest.approx(0.5 * 4)


@pytest.mark.parametrize("accuracy", [torch.zeros(2, 3), torch.zeros(1, 1), torch.zeros(4)], ids=str)
def test_a_sequence_is_a_square(accuracy):
    with pytest.raises(ShapeError, match=r"accuracy: expected shape \(K, K\)"):
        backward_transfer(accuracy)


def test_one_task_has_no_stability():
    with pytest.raises(ShapeError, match="accuracy: expected two tasks or more, got 1"):
        stability(torch.zeros(3, 1), torch.tensor([0]))


def test_what_helped_those_to_come_by_hand():
    """Of three tasks, the first doubled the second and the third from 0.2 to 0.6; the second did nothing."""
    rows = torch.tensor([[0.1, 0.2, 0.2], [0.9, 0.4, 0.6], [0.9, 0.9, 0.6], [0.8, 0.8, 0.9]])
    assert forward_contrast(rows).item() == pytest.approx((0.2 / 0.6 + 0.4 / 0.8 + 0) / 3)
    assert forward_contrast(torch.zeros(3, 2)) == 0
    with pytest.raises(ShapeError, match=r"accuracy: expected shape \(K \+ 1, K\)"):
        forward_contrast(torch.zeros(2, 2))


def test_scores_that_mean_nothing_are_refused():
    with pytest.raises(ShapeError, match="learned: expected the last task to be learned last"):
        stability(torch.rand(3, 2), torch.tensor([2, 1]))
    with pytest.raises(ShapeError, match="expert: expected a score above 0"):
        sample_efficiency(torch.ones(3), torch.zeros(3))
    with pytest.raises(ShapeError, match="curve, expert: expected one axis each, of one score or more"):
        sample_efficiency(torch.ones(0), torch.ones(3))
