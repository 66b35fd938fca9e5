"""The cell with an external memory: what it writes where, against the equations; that it can find it again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.memory.external import ExternalMemory, addressed

RANDOM = torch.Generator().manual_seed(0)


def cell(**settings):
    given = {"rows": 6, "width": 4, "heads": 2} | settings
    return ExternalMemory((5,), 3, torch.Generator().manual_seed(0), **given)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), sharpness=st.floats(1, 50))
def test_rows_are_read_in_shares(seed, sharpness):
    random = torch.Generator().manual_seed(seed)
    keys, rows = torch.randn(2, 3, 4, generator=random), torch.randn(2, 6, 4, generator=random)
    shares = addressed(keys, rows, torch.full((2, 3), sharpness))
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 3))
    nearest = torch.cosine_similarity(keys[:, :, None], rows[:, None], dim=-1).argmax(-1)
    assert torch.equal(shares.argmax(-1), nearest)


def test_a_row_is_found_by_its_content():
    rows = torch.eye(4)[None]
    assert addressed(2.5 * rows, rows, torch.full((1, 4), 60.0)).round().tolist() == rows.tolist()


def test_steps_can_be_taken_together_or_apart():
    memory, x, told = cell(), torch.rand(3, 7, 5, generator=RANDOM), torch.rand(3, 7, 3, generator=RANDOM)
    together, carried = memory(x, memory.start(3), told)
    first, between = memory(x[:, :4], memory.start(3), told[:, :4])
    second, after = memory(x[:, 4:], between, told[:, 4:])
    torch.testing.assert_close(together, torch.cat([first, second], dim=1))
    torch.testing.assert_close(carried.rows, after.rows)


def test_the_least_used_row_is_emptied_and_written():
    memory, told = cell(heads=1), torch.zeros(1, 1, 3)
    with torch.no_grad():
        memory.interface.bias[-1] = -50.0  # the gate: always to the least used row
    carried, least = memory.start(1), []
    for _ in range(6):
        least.append(int(carried.usage.argmin()))
        _, after = memory(torch.rand(1, 1, 5, generator=RANDOM), carried, told)
        changed = (after.rows - carried.rows).abs().sum(-1)[0] > 1e-6
        assert changed.nonzero().flatten().tolist() == [least[-1]]
        carried = after
    assert least[0] == 0
    assert len(set(least[:3])) == 3


def test_padding_changes_nothing():
    memory, x, told = cell(), torch.rand(1, 3, 5, generator=RANDOM), torch.rand(1, 3, 3, generator=RANDOM)
    _, before = memory(x[:, :2], memory.start(1), told[:, :2])
    _, after = memory(x, memory.start(1), told, torch.tensor([[True, True, False]]))
    for left, right in zip(before[1:], after[1:], strict=True):
        assert torch.equal(left, right)


def test_maps_are_taken_as_vectors():
    memory = ExternalMemory((2, 3, 3), 3, torch.Generator().manual_seed(0), rows=4, width=4, heads=1)
    outputs, _ = memory(torch.rand(2, 5, 2, 3, 3), memory.start(2), torch.zeros(2, 5, 3))
    assert outputs.shape == (2, 5, 2, 3, 3)


def test_gradients_agree_with_finite_differences():
    memory = cell(rows=3, width=2, heads=1).double()
    x = torch.rand(1, 3, 5, dtype=torch.float64, generator=RANDOM).requires_grad_()
    told = torch.rand(1, 3, 3, dtype=torch.float64, generator=RANDOM)
    assert torch.autograd.gradcheck(lambda x: memory(x, memory.start(1), told)[0], x)


@pytest.mark.parametrize("told", [0, 3])
def test_it_may_be_told_nothing(told):
    memory = ExternalMemory((5,), told, torch.Generator().manual_seed(0))
    outputs, _ = memory(torch.rand(1, 2, 5), memory.start(1), None)
    assert outputs.shape == (1, 2, 5)
