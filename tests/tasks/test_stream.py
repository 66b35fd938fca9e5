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
    with pytest.raises(ShapeError, match="delay: expected at least 1 step, got 0"):
        Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), delay=0)


def test_shifts_share_the_axes_of_the_examples():
    with pytest.raises(ShapeError, match=r"shifts: expected shape \(T, S\) = \(2, 7\), got \(2, 6\)"):
        Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), shifts=torch.zeros(2, 6))
