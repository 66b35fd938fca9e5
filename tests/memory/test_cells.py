"""Recurrent cells: they are the cells of torch, they scan as they step, and padding changes nothing."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.func import vmap

from metaprior.memory import Carried, Cell
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
