"""Labels as feedback: each arrives when it should, once, and padding arrives never."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import ShapeError
from metaprior.memory.feedback import arriving, encode, nothing, previous, resized
from metaprior.tasks import Examples, Stream

LIKE = torch.zeros(())


def examples(y, mask=None):
    y = torch.as_tensor(y)
    return Examples(torch.zeros(*y.shape[:2], 1), y, mask)


def test_no_label_is_a_class_of_its_own():
    assert nothing(2, 3, LIKE).tolist() == [[0, 0, 0, 1]] * 2
    assert encode(Examples(torch.zeros(1, 2, 1)), 3, LIKE).tolist() == [[[0, 0, 0, 1]] * 2]


def test_padding_and_targets():
    told = encode(examples([[2, 9]], torch.tensor([[True, False]])), 3, LIKE)
    assert told.tolist() == [[[0, 0, 1, 0], [0, 0, 0, 1]]]
    assert encode(examples([[[0.5]]]), 1, LIKE).tolist() == [[[0.5, 0.0]]]


@pytest.mark.parametrize("y", [[[0, 3]], [[[0.1, 0.2]]], [[-1, 0]]])
def test_what_does_not_fit_is_refused(y):
    with pytest.raises(ShapeError, match="y: expected"):
        encode(examples(y), 3, LIKE)


@settings(max_examples=30, deadline=None)
@given(real=st.lists(st.booleans(), min_size=1, max_size=8))
def test_the_label_before_is_that_of_the_last_real_example(real):
    mask = torch.tensor([real])
    labels = torch.arange(1.0, len(real) + 1)[None, :, None]
    feedback, pending = previous(labels, torch.zeros(1, 1), mask)
    last = 0.0
    for step, here in enumerate(real):
        assert feedback[0, step].item() == last
        last = step + 1.0 if here else last
    assert pending.item() == last


@settings(max_examples=30, deadline=None)
@given(data=st.data(), steps=st.integers(1, 7))
def test_each_label_arrives_once_and_in_time(data, steps):
    ids = data.draw(st.lists(st.integers(0, 2), min_size=steps, max_size=steps))
    delays = data.draw(st.lists(st.integers(0, steps), min_size=steps, max_size=steps))
    stream = Stream(examples([ids]), torch.tensor([delays]))
    pending = nothing(1, 3, LIKE)
    feedback, after = arriving(stream, 3, pending)
    feedback = torch.cat([feedback, after[:, None]], dim=1)[0]
    for step in range(steps + 1):
        due = [ids[sent] for sent in range(steps) if delays[sent] and sent + delays[sent] == step]
        expected = [float(due.count(label)) for label in range(3)] + [0.0 if due else 1.0]
        assert feedback[step].tolist() == expected


def test_a_fixed_delay_is_a_shift():
    stream = Stream(examples([[0, 1, 2, 0]]), delay=2)
    feedback, after = arriving(stream, 3, nothing(1, 3, LIKE))
    assert feedback.argmax(-1).tolist() == [[3, 3, 0, 1]]
    assert after.argmax(-1).tolist() == [2]


def test_what_arrived_before_the_stream_comes_first():
    before = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    feedback, _ = arriving(Stream(examples([[0, 1]]), torch.tensor([[1, 1]])), 3, before)
    assert feedback.argmax(-1).tolist() == [[1, 0]]


BLANK = nothing(1, 2, LIKE, (2, 3))


def mask_examples(*ids, mask=None):
    """One stream of masks, each of one id in the first of 2 x 3 places and 0 elsewhere."""
    y = torch.zeros(1, len(ids), 2, 3, dtype=torch.long)
    y[0, :, 0, 0] = torch.tensor(ids)
    return Examples(torch.zeros(1, len(ids), 1, 2, 3), y, mask)


def test_masks_are_told_place_by_place():
    told = encode(mask_examples(1, 0, mask=torch.tensor([[True, False]])), 2, BLANK)
    assert told.shape == (1, 2, 3, 2, 3)
    assert (told.sum(2) == 1).all()
    assert told[0, 0, :, 0, 0].tolist() == [0, 1, 0]
    assert told[0, 0, :, 1, 2].tolist() == [1, 0, 0]
    torch.testing.assert_close(told[0, 1], BLANK[0], msg="padding says that no mask came")
    assert BLANK.argmax(1).unique().tolist() == [2]


@pytest.mark.parametrize("delay", [1, 2, torch.tensor([[1, 3, 0, 1]])])
def test_masks_arrive_as_labels_do(delay):
    ids = (1, 0, 1, 0)
    feedback, after = arriving(Stream(mask_examples(*ids), delay), 2, BLANK)
    labels = Stream(examples([ids]), delay)
    expected = arriving(labels, 2, nothing(1, 2, LIKE))
    torch.testing.assert_close(feedback[..., 0, 0], expected[0])
    torch.testing.assert_close(after[..., 0, 0], expected[1])


def test_the_mask_before_is_that_of_the_last_real_example():
    mask = torch.tensor([[True, False, True]])
    told = encode(mask_examples(1, 1, 0, mask=mask), 2, BLANK)
    feedback, pending = previous(told, BLANK, mask)
    assert feedback[0, :, :, 0, 0].argmax(-1).tolist() == [2, 1, 1]
    assert pending[0, :, 0, 0].argmax().item() == 0


def test_masks_are_averaged_over_areas():
    told = torch.rand(2, 3, 4, 8, 6, generator=torch.Generator().manual_seed(0))
    small = resized(told, (4, 2))
    torch.testing.assert_close(small, told.unflatten(4, (2, 3)).unflatten(3, (4, 2)).mean((4, 6)))
    torch.testing.assert_close(resized(told, ()), told.mean((3, 4)))
    torch.testing.assert_close(resized(told, (8, 6)), told)
    assert torch.equal(resized(told[..., 0, 0], (4, 2)), told[..., 0, 0])


@pytest.mark.parametrize(
    ("labels", "like", "sentence"),
    [
        (mask_examples(1), nothing(1, 2, LIKE, (4, 4)), r"y: expected masks of 4 x 4 places, got shape \(1, 1, 2, 3\)"),
        (mask_examples(2), BLANK, "y: expected class ids from 0 to 1, got 2"),
        (examples([[0]]), BLANK, "y: expected masks of 2 x 3 places"),
        (mask_examples(1), nothing(1, 2, LIKE), "y: expected one class id an example"),
    ],
)
def test_masks_that_do_not_fit_are_refused(labels, like, sentence):
    with pytest.raises(ShapeError, match=sentence):
        encode(labels, 2, like)
