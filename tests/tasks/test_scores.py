import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import ShapeError
from metaprior.tasks import Examples, restrict, task_losses, task_scores


def classes(*ids: int, mask: list[bool] | None = None) -> Examples:
    return Examples(torch.zeros(1, len(ids), 1), torch.tensor([ids]), None if mask is None else torch.tensor([mask]))


def test_cross_entropy_by_hand():
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, math.log(3)]]])
    assert task_losses(logits, classes(1, 0)).item() == pytest.approx((-math.log(3 / 4) - math.log(1 / 4)) / 2)
    assert task_scores(logits, classes(1, 0)).item() == 0.5


def test_squared_error_by_hand():
    targets = Examples(torch.zeros(2, 2, 1), torch.zeros(2, 2, 2))
    values = torch.tensor([[[1.0, 3.0], [1.0, 1.0]], [[0.0, 0.0], [2.0, 0.0]]])
    assert task_losses(values, targets).tolist() == [3.0, 1.0]
    assert task_scores(values, targets).tolist() == [3.0, 1.0]


@given(st.lists(st.booleans(), min_size=1, max_size=5), st.integers(-3, 99))
def test_padding_never_counts(mask, garbage):
    ids = torch.arange(len(mask))[None] % 2
    logits = torch.randn(1, len(mask), 2, generator=torch.Generator().manual_seed(len(mask)))
    real = torch.tensor(mask)
    padded = Examples(torch.zeros(1, len(mask), 1), ids.where(real, garbage), real[None])
    for function in (task_losses, task_scores):
        got = function(logits.where(real[:, None], torch.inf), padded).item()
        if not real.any():
            assert got == 0
        else:
            alone = Examples(torch.zeros(1, int(real.sum()), 1), ids[:, real])
            assert got == pytest.approx(function(logits[:, real], alone).item(), abs=1e-6)


def test_padding_sends_no_gradient():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    task_losses(logits, classes(0, 1, mask=[True, False])).sum().backward()
    assert logits.grad[0, 1].tolist() == [0, 0]
    assert logits.grad[0, 0].any()


def test_classes_that_a_task_does_not_have_take_no_probability():
    logits = torch.tensor([[[0.0, 0.0, 50.0]], [[0.0, 0.0, 50.0]]])
    ids = Examples(torch.zeros(2, 1, 1), torch.zeros(2, 1, dtype=torch.long))
    losses = task_losses(logits, ids, torch.tensor([2, 3]))
    assert losses[0].item() == pytest.approx(math.log(2))
    assert losses[1].item() == pytest.approx(50)
    assert task_scores(logits, ids, torch.tensor([2, 3])).tolist() == [1, 0]
    assert restrict(logits, None) is logits


@pytest.mark.parametrize(
    ("prediction", "examples", "sentence"),
    [
        (torch.zeros(1, 3, 2), classes(0, 1), r"prediction: expected shape \(1, 2, 2\), got \(1, 3, 2\)"),
        (torch.zeros(1, 2, 2), Examples(torch.zeros(1, 2, 1), torch.zeros(1, 2, 3)), r"expected shape \(1, 2, 3\)"),
        (torch.zeros(1, 2, 2), Examples(torch.zeros(1, 2, 1)), "expected labelled examples, got y = None"),
        (torch.zeros(1, 2, 2), classes(0, 2), "y: expected class ids from 0 to 1, got 2"),
        (torch.zeros(1, 2, 2), classes(0, -1), "y: expected class ids from 0 to 1, got -1"),
    ],
)
def test_what_disagrees_is_named(prediction, examples, sentence):
    with pytest.raises(ShapeError, match=sentence):
        task_losses(prediction, examples)


def test_a_class_that_no_prediction_knows_is_a_miss():
    assert task_scores(torch.zeros(1, 2, 2), classes(0, 5)).item() == 0.5
