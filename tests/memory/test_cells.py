"""Recurrent cells: they are the cells of torch, they scan as they step, and padding changes nothing."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.func import functional_call, grad, vmap

from metaprior.memory import Carried, Cell
from metaprior.memory.cells import _class_means
from metaprior.memory.dnc import DNC
from metaprior.memory.external import ExternalMemory
from metaprior.memory.fast import FastWeights
from metaprior.tree import map_tensors

SHAPES = pytest.mark.parametrize("shape", [(3,), (3, 4, 5)], ids=["vector", "map"])


def build(shape, feedback=2):
    return Cell(shape, feedback, torch.Generator().manual_seed(0)).double()


def steps(shape, tasks=2, count=5, feedback=2):
    random = torch.Generator().manual_seed(1)
    x = torch.randn(tasks, count, *shape, generator=random, dtype=torch.float64)
    return x, torch.randn(tasks, count, feedback, generator=random, dtype=torch.float64)


def test_a_vector_cell_is_torchs_own():
    cell, peer = build((3,), feedback=0), nn.LSTMCell(3, 3).double()
    with torch.no_grad():
        # torch's gates are input, forget, new, output, and ours add one to the forget gate.
        take, keep, show, new = range(4)
        for mine, theirs in ((cell.from_input, peer.weight_ih), (cell.from_output, peer.weight_hh)):
            theirs.copy_(torch.cat([mine.chunk(4)[gate] for gate in (take, keep, new, show)]))
        peer.bias_hh.zero_()
        peer.bias_ih.zero_()
        peer.bias_ih[3:6] = 1
    x, _ = steps((3,))
    outputs, carried = cell(x, cell.start(2))
    state = None
    for step in range(5):
        state = peer(x[:, step], state)
        torch.testing.assert_close(outputs[:, step], state[0])
    torch.testing.assert_close(carried, Carried(*state))


def test_a_map_of_one_place_is_a_vector():
    maps, vectors = build((3, 1, 1)), build((3,))
    with torch.no_grad():
        vectors.from_input.copy_(maps.from_input[..., 0, 0])
        vectors.from_output.copy_(maps.from_output[..., 1, 1])  # all other places are outside
        vectors.from_label.copy_(maps.from_label)
    x, told = steps((3,))
    expected, _ = vectors(x, vectors.start(2), told)
    got, _ = maps(x[..., None, None], maps.start(2), told)
    torch.testing.assert_close(got[..., 0, 0], expected)


@SHAPES
def test_steps_at_once_are_steps_one_by_one(shape):
    cell, (x, told) = build(shape), steps(shape)
    expected, last = cell(x, cell.start(2), told)
    carried = cell.start(2)
    for step in range(5):
        output, carried = cell(x[:, step : step + 1], carried, told[:, step : step + 1])
        torch.testing.assert_close(output[:, 0], expected[:, step])
    torch.testing.assert_close(carried, last)


@SHAPES
def test_padding_changes_nothing(shape):
    cell, (x, told) = build(shape), steps(shape)
    real = torch.tensor([[True, False, True, True, False], [False, True, True, True, True]])
    _, carried = cell(x.masked_fill(~real.view(2, 5, *[1] * len(shape)), 99.0), cell.start(2), told, real)
    for task in range(2):
        kept = real[task]
        _, alone = cell(x[task : task + 1, kept], cell.start(1), told[task : task + 1, kept])
        torch.testing.assert_close(map_tensors(lambda leaf, task=task: leaf[task : task + 1], carried), alone)


@SHAPES
def test_derivatives(shape):
    cell = build((2, *shape[1:]))
    x, told = steps((2, *shape[1:]), tasks=1, count=2)
    x.requires_grad_()
    assert gradcheck(lambda x: cell(x, cell.start(1), told)[0], (x,))


@SHAPES
def test_streams_can_be_mapped_over(shape):
    cell, (x, told) = build(shape), steps(shape)
    each = vmap(lambda x, told: cell(x[None], cell.start(1), told[None])[0][0])(x, told)
    torch.testing.assert_close(each, cell(x, cell.start(2), told)[0])


@SHAPES
def test_what_is_carried_stays_bounded(shape):
    cell = build(shape)
    x, told = steps(shape, count=200)
    outputs, _ = cell(10 * x, cell.start(2), told)
    assert outputs.abs().max() <= 1


def masks(count=5, tasks=2):
    """Shares of three classes in 4 x 5 places, for each step."""
    return torch.rand(tasks, count, 3, 4, 5, generator=torch.Generator().manual_seed(7)).double().softmax(2)


def told_masks(means, feedback=3):
    return Cell((3, 4, 5), feedback, torch.Generator().manual_seed(0), means).double()


def test_a_mask_that_is_the_same_everywhere_is_a_label():
    cell, (x, told) = told_masks("none"), steps((3, 4, 5), feedback=3)
    everywhere = told[..., None, None].expand(-1, -1, -1, 4, 5)
    expected, got = (cell(x, cell.start(2), each) for each in (told, everywhere))
    torch.testing.assert_close(got, expected)


def test_a_mask_matters_where_it_is_and_around_it_later():
    cell, (x, _) = told_masks("none"), steps((3, 4, 5))
    changed = masks()
    changed[:, 1, :, 0, 0] = changed[:, 1, [1, 2, 0], 0, 0]
    differ = [cell(x, cell.start(2), each)[0] for each in (masks(), changed)]
    where = (differ[0] - differ[1]).abs().amax((0, 2)) > 1e-12
    assert not where[0].any()
    assert where[1].nonzero().tolist() == [[0, 0]]
    assert where[2].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize("means", ["before", "now"])
def test_the_mean_over_a_class_reaches_every_place(means):
    cell, (x, _) = told_masks(means), steps((3, 4, 5))
    changed = masks()
    changed[:, 1, :, 0, 0] = changed[:, 1, [1, 2, 0], 0, 0]
    first, second = (cell(x, cell.start(2), each)[0] for each in (masks(), changed))
    assert ((first - second).abs().amax((0, 2))[1] > 1e-12).all()
    means = _class_means(torch.arange(4.0).view(1, 1, 2, 2), torch.tensor([[[[1.0, 0], [0, 1]], [[0, 0], [0, 0]]]]))
    assert means.flatten().tolist() == [1.5, 0], "of places 0 and 3; of none"


@pytest.mark.parametrize("means", ["none", "before", "now"])
def test_cells_told_masks_take_steps_one_by_one_and_ignore_padding(means):
    cell, (x, _), told = told_masks(means), steps((3, 4, 5)), masks()
    real = torch.tensor([[True, False, True, True, False], [False, True, True, True, True]])
    _, last = cell(x, cell.start(2), told, real)
    carried = cell.start(2)
    for step in range(5):
        part = slice(step, step + 1)
        _, carried = cell(x[:, part], carried, told[:, part], real[:, part])
    torch.testing.assert_close(carried, last)
    _, alone = cell(x[:1, real[0]], cell.start(1), told[:1, real[0]])
    torch.testing.assert_close(map_tensors(lambda leaf: leaf[:1], last), alone)
    x = x[:1, :2].requires_grad_()
    assert gradcheck(lambda x: cell(x, cell.start(1), told[:1, :2])[0], (x,))


def test_means_change_no_other_weight():
    plain, more = told_masks("none").state_dict(), told_masks("before").state_dict()
    assert set(more) - set(plain) == {"from_means"}
    assert all(torch.equal(more[name], plain[name]) for name in plain)
    assert told_masks(means=True, feedback=0).from_means is None


@pytest.mark.parametrize("kind", [Cell, ExternalMemory, DNC, FastWeights])
def test_a_trace_is_what_is_carried_after_each_step(kind):
    cell = kind((6,), 2, torch.Generator().manual_seed(0))
    x, told = steps((6,))
    x, told, real = x.float(), told.float(), torch.rand(2, 5, generator=torch.Generator().manual_seed(1)) > 0.3
    outputs, every = cell.trace(x, cell.start(2), told, real)
    torch.testing.assert_close(outputs, cell(x, cell.start(2), told, real)[0])
    for step in range(5):
        after = cell(x[:, : step + 1], cell.start(2), told[:, : step + 1], real[:, : step + 1])[1]
        torch.testing.assert_close(map_tensors(lambda leaf, step=step: leaf[:, step], every), after)


@pytest.mark.parametrize("kind", [Cell, ExternalMemory, DNC, FastWeights], ids=lambda kind: kind.__name__)
def test_every_cell_transforms(kind):
    """Gradients of each stream alone, and derivatives of derivatives, from memories of nothing on."""
    cell, (x, told) = kind((3,), 2, torch.Generator().manual_seed(0)).double(), steps((3,), count=3)
    weights = dict(cell.named_parameters())

    def loss(weights, x, told):
        outputs, _ = functional_call(cell, weights, (x[None], cell.start(1), told[None]))
        return outputs.square().sum()

    each = vmap(grad(loss), (None, 0, 0))(weights, x, told)
    alone = [grad(loss)(weights, x[task], told[task]) for task in range(2)]
    for name, found in each.items():
        torch.testing.assert_close(found, torch.stack([one[name] for one in alone]))
    squares = grad(lambda weights: sum(part.square().sum() for part in grad(loss)(weights, x[0], told[0]).values()))
    assert all(part.isfinite().all() for part in squares(weights).values())
