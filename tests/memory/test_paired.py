"""Memory that an example enters with its label: a stream is the loop over predict and observe, whatever the delays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior import PairedMemory
from metaprior.errors import ShapeError
from metaprior.memory.feedback import arrivals
from metaprior.nets import MLP, Conv4, UNet
from metaprior.prior import Prior
from metaprior.tasks import Examples, Stream
from metaprior.tree import tensors

RANDOM = torch.Generator().manual_seed(0)
EXAMPLES = Examples(torch.rand(3, 9, 4, generator=RANDOM), torch.randint(3, (3, 9), generator=RANDOM))


def build(**arguments):
    return PairedMemory(MLP(4, 3, hidden=(8, 6)), (4,), 3, **arguments)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=9, max_size=9), min_size=3, max_size=3),
    st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=3, max_size=3),
    st.sampled_from([None, 1, 4]),
)
def test_a_stream_is_a_loop_whatever_the_delays(delays, real, size):
    prior = build(steps_at_once=size)
    stream = Stream(Examples(EXAMPLES.x, EXAMPLES.y, torch.tensor(real)), torch.tensor(delays))
    torch.testing.assert_close(prior.stream(stream), Prior.stream(prior, stream))


@pytest.mark.parametrize("cell", ["external", "dnc", "fast"])
def test_so_it_is_with_every_cell(cell):
    prior, stream = build(cell=cell, where="last"), Stream(EXAMPLES, 2)
    torch.testing.assert_close(prior.stream(stream), Prior.stream(prior, stream))


@pytest.mark.parametrize("delay", [1, 3])
@pytest.mark.parametrize("means", [False, True])
def test_so_it_is_with_images_and_masks(delay, means):
    images = Stream(Examples(torch.rand(2, 5, 1, 16, 16), torch.randint(3, (2, 5))), delay)
    prior = PairedMemory(Conv4(1, 16, 3, width=4, norm="group"), (1, 16, 16), 3, means=means)
    torch.testing.assert_close(prior.stream(images), Prior.stream(prior, images))
    masks = Stream(Examples(torch.rand(2, 5, 1, 8, 8), torch.randint(2, (2, 5, 8, 8))), delay)
    prior = PairedMemory(UNet(1, 2, widths=(4, 4)), (1, 8, 8), 2, means=means)
    torch.testing.assert_close(prior.stream(masks), Prior.stream(prior, masks))


def test_predicting_leaves_no_trace_and_needs_no_company():
    prior = build()
    state = prior.observe(prior.start(3), EXAMPLES)
    together = prior.predict(state, EXAMPLES.x)
    alone = torch.cat([prior.predict(state, EXAMPLES.x[:, step : step + 1]) for step in range(9)], dim=1)
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("size", [1, 2, 4, 9])
@pytest.mark.parametrize("save_memory", [False, True])
def test_the_schedule_does_not_matter(size, save_memory):
    reference, prior = build().double(), build(steps_at_once=size, save_memory=save_memory).double()
    stream = Stream(EXAMPLES, 2).to(torch.float64)
    expected = torch.autograd.grad(reference.stream_loss(stream), list(reference.parameters()))
    got = torch.autograd.grad(prior.stream_loss(stream), list(prior.parameters()))
    torch.testing.assert_close(got, expected)


def test_a_stream_can_be_interrupted():
    prior = build()
    whole, after = prior.follow(Stream(EXAMPLES))
    first, between = prior.follow(Stream(EXAMPLES.take(slice(0, 4))))
    second, end = prior.follow(Stream(EXAMPLES.take(slice(4, 9))), between)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    for part, expected in zip(tensors(end), tensors(after), strict=True):
        torch.testing.assert_close(part, expected)


def test_a_residual_keeps_what_a_block_gives():
    prior = build(residual=True)
    with torch.no_grad():
        for parameter in prior.cells.parameters():
            parameter.zero_()
    torch.testing.assert_close(prior.stream(Stream(EXAMPLES)), prior.net(EXAMPLES.x.flatten(0, 1)).unflatten(0, (3, 9)))
    assert not torch.equal(build(residual=False).stream(Stream(EXAMPLES)), build().stream(Stream(EXAMPLES)))


def test_arrivals_are_those_of_the_stream():
    delays = torch.randint(0, 10, (3, 9), generator=torch.Generator().manual_seed(1))
    stream = Stream(EXAMPLES, delays)
    order, come = arrivals(stream)
    for step in range(9):
        arrived = stream.arriving(step)
        count = 0 if arrived is None else arrived.real.sum(1)
        assert torch.equal(come[:, step + 1] - come[:, step], count + torch.zeros(3, dtype=torch.long))
        for row in range(3):
            mine = EXAMPLES.x[row, order[row, come[row, step] : come[row, step + 1]]]
            assert mine.numel() == 0 or torch.equal(mine, arrived.x[row][arrived.real[row]])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="expected class ids from 0 to 2, got 5"):
        build().observe(build().start(1), Examples(torch.rand(1, 2, 4), torch.tensor([[0, 5]])))
    with pytest.raises(ShapeError, match="state: expected memories of"):
        build().predict(build(where="last").start(1), torch.rand(1, 2, 4))
