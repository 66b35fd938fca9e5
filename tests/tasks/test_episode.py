import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import ShapeError
from metaprior.tasks import Episode, Examples, TaskSpec

SIZES = st.integers(1, 4)


def examples(tasks: int, size: int, masked: bool = False) -> Examples:
    x = {"a": torch.arange(tasks * size * 2.0).view(tasks, size, 2), "b": torch.ones(tasks, size, dtype=torch.long)}
    mask = (torch.arange(tasks * size).view(tasks, size) % 3 > 0) if masked else None
    return Examples(x, torch.arange(tasks * size).view(tasks, size), mask)


@given(SIZES, SIZES, st.booleans(), st.data())
def test_slicing_by_task_and_concatenating_are_inverse(tasks, size, masked, data):
    at = data.draw(st.integers(0, tasks))
    whole = Episode(examples(tasks, size, masked), examples(tasks, size), torch.full((tasks,), 2))
    again = Episode.concatenate([whole[:at], whole[at:]])
    assert again.tasks == tasks
    assert torch.equal(again.support.x["a"], whole.support.x["a"])
    assert torch.equal(again.support.real, whole.support.real)
    assert torch.equal(again.ways, whole.ways)


@given(SIZES, SIZES, st.booleans(), st.booleans(), st.data())
def test_taking_positions_and_joining_are_inverse(tasks, size, left, right, data):
    at = data.draw(st.integers(0, size))
    whole = examples(tasks, size, left)
    parts = [whole.take(slice(0, at)), whole.take(slice(at, None))]
    if right and not left:
        parts[1] = dataclasses.replace(parts[1], mask=parts[1].real)
    joined = parts[0].joined(parts[1])
    assert (joined.tasks, joined.size) == (tasks, size)
    assert torch.equal(joined.x["a"], whole.x["a"])
    assert torch.equal(joined.real, whole.real)
    assert torch.equal(joined.y, whole.y)


def test_unlabelled_examples_have_no_targets():
    unlabelled = Examples(torch.zeros(2, 3, 1))
    assert unlabelled.y is None
    assert unlabelled.joined(unlabelled).y is None
    assert unlabelled.take(slice(0, 1)).size == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"x": torch.zeros(3)}, r"x: expected tensors of shape \(T, N, ...\), got \[\(3,\)\]"),
        ({"x": {}}, "x: expected tensors"),
        ({"x": {"a": torch.zeros(2, 3), "b": torch.zeros(2, 4)}}, r"x: expected leading axes \(T, N\) = \(2, 3\)"),
        ({"x": torch.zeros(2, 3, 1), "y": torch.zeros(2, 4, 1)}, r"y: expected leading axes .* got shape \(2, 4, 1\)"),
        (
            {"x": torch.zeros(2, 3, 1), "y": torch.zeros(2, 3)},
            r"y: expected targets of shape \(T, N, D\), got",
        ),
        ({"x": torch.zeros(2, 3, 1), "y": torch.zeros(2, 3, 1, dtype=torch.long)}, "y: expected class ids of shape"),
        ({"x": torch.zeros(2, 3, 1), "mask": torch.ones(2, 2, dtype=torch.bool)}, "mask: expected leading axes"),
        ({"x": torch.zeros(2, 3, 1), "mask": torch.ones(2, 3)}, "mask: expected booleans"),
        (
            {"x": torch.zeros(2, 3, 1), "mask": torch.ones(2, 3, 1, dtype=torch.bool)},
            "mask: expected booleans",
        ),
    ],
)
def test_shapes_that_disagree_are_named(arguments, sentence):
    with pytest.raises(ShapeError, match=sentence):
        Examples(**arguments)


def test_an_episode_has_one_number_of_tasks():
    with pytest.raises(ShapeError, match="query: expected T = 2 tasks as in support, got 3"):
        Episode(examples(2, 1), examples(3, 1))


def test_values_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        examples(1, 1).y = None


def test_a_new_dtype_leaves_class_ids_and_masks_alone():
    moved = examples(2, 3, masked=True).to(torch.float64)
    assert moved.x["a"].dtype == torch.float64
    assert (moved.x["b"].dtype, moved.y.dtype, moved.mask.dtype) == (torch.int64, torch.int64, torch.bool)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_class_ids_may_be_of_any_integer_type(dtype):
    assert Examples(torch.zeros(1, 2, 1), torch.tensor([[0, 1]], dtype=dtype)).y.dtype == torch.int64


def test_images_are_told_by_their_shape():
    assert TaskSpec("classification", (1, 28, 28), 5).is_image
    assert not TaskSpec("regression", (4,), 1).is_image
