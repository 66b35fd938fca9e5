"""The differentiable neural computer: allocation against its definition, links, padding, gradients."""

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.memory.dnc import DNC, free_first

RANDOM = torch.Generator().manual_seed(0)


def cell(**settings):
    given = {"rows": 6, "width": 4, "heads": 2} | settings
    return DNC((5,), 3, torch.Generator().manual_seed(0), **given)


@settings(max_examples=30, deadline=None)
@given(usage=st.lists(st.integers(0, 100).map(lambda percent: percent / 100), min_size=1, max_size=6, unique=True))
def test_allocation_is_that_of_the_paper(usage):
    order = sorted(range(len(usage)), key=lambda row: usage[row])
    expected, left = [0.0] * len(usage), 1.0
    for row in order:
        expected[row] = (1 - usage[row]) * left
        left *= usage[row]
    got = free_first(torch.tensor([usage], dtype=torch.float64))[0]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=1e-4, rtol=0)


def test_weights_stay_within_bounds():
    memory = cell()
    carried = memory.start(3)
    for _ in range(12):
        _, carried = memory(3 * torch.randn(3, 1, 5, generator=RANDOM), carried, torch.rand(3, 1, 3, generator=RANDOM))
        assert carried.usage.min() >= 0
        assert carried.usage.max() <= 1 + 1e-6
        assert carried.writes.sum(-1).max() <= 1 + 1e-5
        assert carried.reads.sum(-1).max() <= 1 + 1e-5
        assert carried.links.sum(-1).max() <= 1 + 1e-5
        assert carried.links.sum(-2).max() <= 1 + 1e-5
        assert carried.links.diagonal(dim1=1, dim2=2).abs().max() == 0


def test_links_follow_the_order_of_writing():
    memory = cell(heads=1)
    with torch.no_grad():
        memory.interface.bias[-2:] = 50.0  # always allocate, always write
        memory.interface.bias[4] = -50.0  # never free
    carried, rows = memory.start(1), []
    for _ in range(4):
        _, carried = memory(torch.rand(1, 1, 5, generator=RANDOM), carried, torch.zeros(1, 1, 3))
        rows.append(int(carried.writes.argmax()))
    assert len(set(rows)) == 4
    for before, after in pairwise(rows):
        assert carried.links[0, after, before] > 0.9


def test_steps_can_be_taken_together_or_apart_and_padding_changes_nothing():
    memory, x, told = cell(), torch.rand(1, 7, 5, generator=RANDOM), torch.rand(1, 7, 3, generator=RANDOM)
    together, carried = memory(x, memory.start(1), told)
    first, between = memory(x[:, :4], memory.start(1), told[:, :4])
    second, _ = memory(x[:, 4:], between, told[:, 4:])
    torch.testing.assert_close(together, torch.cat([first, second], dim=1))
    real = torch.arange(7)[None] < 4
    torch.testing.assert_close(memory(x, memory.start(1), told, real)[1].links, between.links)
    assert not torch.equal(carried.links, between.links)


def test_gradients_agree_with_finite_differences():
    memory = cell(rows=3, width=2, heads=1).double()
    x = torch.rand(1, 2, 5, dtype=torch.float64, generator=RANDOM).requires_grad_()
    told = torch.rand(1, 2, 3, dtype=torch.float64, generator=RANDOM)
    assert torch.autograd.gradcheck(lambda x: memory(x, memory.start(1), told)[0], x, atol=1e-4)
