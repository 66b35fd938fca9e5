"""What hand-written functions over large maps share."""

import pytest
import torch
from torch.func import grad
from torch.nn import functional

from metaprior.nets import pieces


@pytest.mark.parametrize(("examples", "sizes"), [(5, [5]), (20, [20]), (45, [20, 20, 5])])
def test_pieces_of_several_tensors_go_together(monkeypatch, examples, sizes):
    monkeypatch.setattr(pieces, "PIECE", 200)
    maps, values = torch.zeros(examples, 10), torch.arange(examples)
    parts = list(pieces.split(maps, maps, values))
    assert [len(part) for part, _ in parts] == sizes
    assert torch.equal(torch.cat([part for _, part in parts]), values)


def test_an_example_larger_than_a_piece_is_a_piece():
    assert pieces.examples_in_piece(torch.empty(3, 2 * pieces.PIECE, device="meta")) == 1


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (2, 3, 5, 7)])
def test_maxima_are_spread_as_pooling_does(shape):
    maps = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    pooled, places = functional.max_pool2d(maps, 2, return_indices=True)
    gradient = torch.randn_like(pooled)
    expected = torch.autograd.grad(pooled, maps, gradient)[0]
    assert torch.equal(pieces.spread_maxima(gradient, maps, places), expected)


def test_a_derivative_of_a_derivative():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    fixed = torch.tensor(2.0)
    first, nothing = pieces.differentiate(torch.mul, (x.pow(3), fixed), (), torch.ones(2))
    assert nothing is None
    cubed = x.pow(3)
    (first,) = pieces.differentiate(torch.square, (cubed,), (), torch.ones(2))
    torch.testing.assert_close(torch.autograd.grad(first.sum(), cubed)[0], torch.full((2,), 2.0))


def test_transforms_use_definitions():
    seen = []
    grad(lambda x: (seen.append(pieces.by_hand(x)), x.sum())[1])(torch.zeros(2))
    assert seen == [False]
    assert pieces.by_hand(torch.zeros(2))
    assert not pieces.by_hand(torch.zeros(2, device="meta"))
