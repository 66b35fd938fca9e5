import pytest
import torch

from metaprior.errors import ShapeError
from metaprior.tasks import Examples, Stream


def test_a_stream_knows_its_axes():
    stream = Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), delay=2, shifts=torch.zeros(2, 7))
    assert (stream.tasks, stream.steps, stream.delay) == (2, 7, 2)
    assert stream[:1].tasks == 1
    assert stream[:1].delay == 2
    assert stream.to(torch.float64).examples.x.dtype == torch.float64


def test_a_stream_has_labels():
    with pytest.raises(ShapeError, match="expected labelled examples"):
        Stream(Examples(torch.zeros(2, 7, 3)))


def test_a_label_cannot_come_before_the_prediction():
    with pytest.raises(ShapeError, match="delay: expected 1 to 7 steps, as many as the stream has, got 0"):
        Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), delay=0)


def test_shifts_share_the_axes_of_the_examples():
    with pytest.raises(ShapeError, match=r"shifts: expected shape \(T, S\) = \(2, 7\), got \(2, 6\)"):
        Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), shifts=torch.zeros(2, 6))


def test_labels_may_come_in_any_order_or_never():
    x = torch.arange(8.0).view(2, 4, 1)
    stream = Stream(Examples(x, x), torch.tensor([[3, 1, 0, 1], [1, 1, 1, 1]]))
    came = [stream.arriving(step) for step in range(4)]
    assert [part.x.flatten(1).tolist() for part in came] == [
        [[0.0], [4.0]],
        [[1.0], [5.0]],
        [[0.0], [6.0]],
        [[3.0], [7.0]],
    ]
    assert [part.mask.flatten().tolist() for part in came] == [[False, True], [True, True], [True, True], [True, True]]
    assert Stream(Examples(x, x), torch.zeros(2, 4, dtype=torch.long)).arriving(0) is None


@pytest.mark.parametrize(
    ("delay", "sentence"),
    [
        (8, "delay: expected 1 to 7 steps, as many as the stream has, got 8"),
        (torch.ones(2, 6).long(), r"delay: expected shape \(T, S\) = \(2, 7\), got \(2, 6\)"),
        (torch.full((2, 7), -1), "delay: expected 0 or more steps for each label, got -1"),
        (2.5, "delay: expected whole steps, got 2.5"),
        (torch.ones(2, 7), r"delay: expected whole steps, got torch\.float32"),
    ],
    ids=["long", "shape", "negative", "fraction", "fractions"],
)
def test_delays_that_cannot_be_are_refused(delay, sentence):
    with pytest.raises(ShapeError, match=sentence):
        Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), delay)


def test_an_empty_stream_is_refused():
    with pytest.raises(ShapeError, match="expected at least one step, got an empty stream"):
        Stream(Examples(torch.zeros(2, 0, 3), torch.zeros(2, 0, 1)))
