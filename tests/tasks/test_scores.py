import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import ShapeError
from metaprior.tasks import Examples, restrict, task_losses, task_scores
from metaprior.tasks.scores import KINDS, kind_of, metric_of


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
        (
            torch.zeros(1, 1, 2, 2, 3),
            Examples(torch.zeros(1, 1, 1), torch.zeros(1, 1, 2, 2, dtype=torch.long)),
            r"prediction: expected shape \(1, 1, 2, 2, 2\), got \(1, 1, 2, 2, 3\)",
        ),
        (
            torch.zeros(1, 1, 2, 1, 1),
            Examples(torch.zeros(1, 1, 1), torch.full((1, 1, 1, 1), 7)),
            "y: expected class ids from 0 to 1, got 7",
        ),
    ],
)
def test_what_disagrees_is_named(prediction, examples, sentence):
    with pytest.raises(ShapeError, match=sentence):
        task_losses(prediction, examples)


def test_a_class_that_no_prediction_knows_is_a_miss():
    assert task_scores(torch.zeros(1, 2, 2), classes(0, 5)).item() == 0.5
    unknown = masks([[[1, 5]]])
    assert task_scores(torch.tensor([[[[[0.0, 0.0]], [[1.0, 1.0]]]]]), unknown).item() == pytest.approx((1 / 2 + 0) / 2)


def masks(ids, mask=None) -> Examples:
    y = torch.tensor(ids)[None]
    return Examples(torch.zeros(*y.shape[:2], 1, *y.shape[2:]), y, None if mask is None else torch.tensor([mask]))


def said(ids, classes=3) -> torch.Tensor:
    """Logits `(1, Q, C, H, W)` that choose the ids."""
    return torch.nn.functional.one_hot(torch.tensor(ids)[None], classes).movedim(-1, 2).float()


def test_intersection_over_union_by_hand():
    truth = [[[1, 1, 0], [2, 0, 0]], [[1, 0, 0], [0, 0, 0]]]
    guess = [[[1, 0, 0], [2, 2, 0]], [[1, 1, 0], [0, 0, 0]]]
    # Class 1 meets in two places of four, over both queries together; class 2 in one of two.
    assert task_scores(said(guess), masks(truth)).item() == pytest.approx((2 / 4 + 1 / 2) / 2)
    assert task_scores(said(truth), masks(truth)).item() == 1


def test_classes_that_are_nowhere_have_no_part_in_it():
    assert task_scores(said([[[1, 0]]]), masks([[[1, 1]]])).item() == 0.5
    assert task_scores(said([[[0, 0]]]), masks([[[0, 0]]])).item() == 1, "nothing was missed"
    assert task_scores(said([[[0, 2]]]), masks([[[0, 0]]])).item() == 0
    kept = task_scores(said([[[1, 2]]]), masks([[[1, 1]]]), ways=torch.tensor([2]))
    assert kept.item() == 0.5, "a class that the task does not have is not chosen"


def test_cross_entropy_of_pixels_is_that_of_all_of_them():
    random = torch.Generator().manual_seed(0)
    logits, ids = torch.randn(2, 3, 4, 5, 6, generator=random), torch.randint(4, (2, 3, 5, 6), generator=random)
    flat = Examples(torch.zeros(2, 90, 1), ids.flatten(1))
    expected = task_losses(logits.movedim(2, -1).flatten(1, 3), flat)
    torch.testing.assert_close(task_losses(logits, Examples(torch.zeros(2, 3, 1, 5, 6), ids)), expected)


@given(st.lists(st.booleans(), min_size=1, max_size=4).filter(any), st.integers(-3, 99))
def test_padded_masks_never_count(real, garbage):
    random = torch.Generator().manual_seed(len(real))
    logits, ids = torch.randn(1, len(real), 3, 4, 4, generator=random), torch.randint(3, (len(real), 4, 4))
    mask = torch.tensor(real)
    padded = masks(torch.where(mask[:, None, None], ids, garbage).tolist(), real)
    for function in (task_losses, task_scores):
        got = function(logits.where(mask[:, None, None, None], torch.inf), padded)
        torch.testing.assert_close(got, function(logits[:, mask], masks(ids[mask].tolist())))


def test_every_kind_has_a_metric_of_its_own():
    assert [metric_of(kind).name for kind in KINDS] == ["accuracy", "mse", "iou"]
    assert all(metric_of(metric_of(kind).name) is metric_of(kind) for kind in KINDS)
    targets = (torch.zeros(1, 1, dtype=torch.int8), torch.zeros(1, 1, 1), masks([[[0]]]).y)
    assert [kind_of(y) for y in targets] == list(KINDS)
