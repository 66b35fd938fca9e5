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
        (torch.full((2, 7), -1), "delay: expected 0 to 7 steps for each label, got -1"),
        (torch.full((2, 7), 8), "delay: expected 0 to 7 steps for each label, got 8"),
        ("3", "delay: expected whole steps, got '3'"),
        (True, "delay: expected whole steps, got True"),
        (torch.ones(2, 7).bool(), r"delay: expected whole steps, got torch.bool"),
        (2.5, "delay: expected whole steps, got 2.5"),
        (torch.ones(2, 7), r"delay: expected whole steps, got torch\.float32"),
    ],
    ids=["long", "shape", "negative", "late", "text", "truth", "truths", "fraction", "fractions"],
)
def test_delays_that_cannot_be_are_refused(delay, sentence):
    with pytest.raises(ShapeError, match=sentence):
        Stream(Examples(torch.zeros(2, 7, 3), torch.zeros(2, 7, 1)), delay)


def test_an_empty_stream_is_refused():
    with pytest.raises(ShapeError, match="expected at least one step, got an empty stream"):
        Stream(Examples(torch.zeros(2, 0, 3), torch.zeros(2, 0, 1)))


def drawn(seed, steps=12, classes=3):
    random = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (2, steps), generator=random)
    mask = torch.arange(steps) < torch.tensor([steps, steps - 3])[:, None]
    delays = torch.randint(0, 5, (2, steps), generator=random)
    return Stream(Examples(torch.arange(2.0 * steps).view(2, steps, 1), y, mask), delays, unknown=classes)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_told_is_counted_as_by_hand(seed):
    stream = drawn(seed)
    for task in range(2):
        for step in range(stream.steps):
            real, y = stream.examples.real[task], stream.examples.y[task]
            came = [
                earlier
                for earlier in range(step)
                if real[earlier] and y[earlier] == y[step] and 0 < stream.delays[task, earlier] <= step - earlier
            ]
            assert int(stream.told[task, step]) == len(came) * int(real[step])
            if real[step]:
                assert int(stream.asked.y[task, step]) == (int(y[step]) if came else 3)


def test_what_is_told_at_once_is_what_has_been_presented():
    stream = drawn(0)
    at_once, one_late = (Stream(stream.examples, delay) for delay in (1, torch.ones(2, 12, dtype=torch.long)))
    assert torch.equal(at_once.told, one_late.told)


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_a_stream_bring_all_its_labels(seed):
    stream = drawn(seed)
    came = [stream.arriving(step) for step in range(stream.steps)]
    for first, last in ((0, 12), (0, 5), (5, 9), (9, 12), (11, 12)):
        part, earlier = stream.part(slice(first, last))
        assert part.steps - earlier == last - first
        assert torch.equal(part.examples.x[:, earlier:], stream.examples.x[:, first:last])
        for step in range(last - first):
            got, expected = part.arriving(earlier + step), came[first + step]
            found = [[] if each is None else each.x[each.real].tolist() for each in (got, expected)]
            assert found[0] == found[1]


def test_parts_that_are_none_are_refused():
    for steps in (slice(5, 5), slice(20, 30), slice(0, 8, 2)):
        with pytest.raises(ShapeError, match="steps: expected some of the 12 steps"):
            drawn(0).part(steps)


def test_an_unknown_class_is_a_class():
    for y, unknown in ((torch.zeros(1, 4, 1), 3), (torch.zeros(1, 4, dtype=torch.long), -1)):
        with pytest.raises(ShapeError, match="unknown: expected the id of a class"):
            Stream(Examples(torch.zeros(1, 4, 1), y), unknown=unknown)
