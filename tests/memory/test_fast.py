"""Fast weights: what is stored under a key is found there, and streams are learned from without a plateau."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import vmap

from metaprior import DistributedMemory, PairedMemory, acquire, follow
from metaprior.errors import MetapriorError
from metaprior.memory import Fast, FastWeights
from metaprior.nets import MLP
from metaprior.tasks import Streams, Strokes
from metaprior.tree import map_tensors


def build(shape=(4,), feedback=3, width=4):
    cell = FastWeights(shape, feedback, torch.Generator().manual_seed(0), width).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return cell


def steps(shape=(4,), count=5):
    random = torch.Generator().manual_seed(2)
    x = torch.randn(2, count, *shape, generator=random, dtype=torch.float64)
    return x, torch.randn(2, count, 3, generator=random, dtype=torch.float64)


def test_under_keys_at_right_angles_is_found_exactly_what_was_stored():
    cell = build()
    with torch.no_grad():
        cell.from_input.weight.zero_()
        cell.from_input.bias.zero_()
        cell.from_input.weight[:4] = torch.eye(4)
        cell.from_input.bias[-1] = 100.0  # a strength of one
        cell.output.weight.copy_(torch.eye(4))
        cell.output.bias.zero_()
    x, told = 3 * torch.eye(4, dtype=torch.float64)[None], torch.randn(1, 4, 3, dtype=torch.float64)
    first, carried = cell(x, cell.start(1), told)
    again, after = cell(x, carried, told)
    assert not first.any(), "nothing is there before it is stored"
    torch.testing.assert_close(again, told @ cell.from_label.T)
    torch.testing.assert_close(after, carried)


def test_a_step_is_one_of_gradient_descent():
    # Of half the squared distance between what is found and the value, as Widrow and Hoff had it.
    cell, (x, told) = build(), steps(count=1)
    before = Fast(torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True))
    key, value, strength = cell.from_input(x[:, 0]).split([4, 4, 1], dim=-1)
    key, value = key / key.norm(dim=-1, keepdim=True), value + told[:, 0] @ cell.from_label.T
    loss = (strength.sigmoid()[:, 0] * 0.5 * ((before.weights @ key[..., None])[..., 0] - value).square().sum(-1)).sum()
    expected = before.weights - torch.autograd.grad(loss, before.weights)[0]
    torch.testing.assert_close(cell(x, before, told)[1].weights, expected)


def test_maps_are_told_the_same_everywhere_and_padding_changes_nothing():
    cell, (x, told) = build((2, 3, 3)), steps((2, 3, 3))
    real = torch.tensor([[True, False, True, True, False], [False, True, True, True, True]])
    outputs, carried = cell(x, cell.start(2), told, real)
    assert outputs.shape == x.shape
    assert torch.equal(outputs, outputs[..., :1, :1].expand_as(outputs))
    _, alone = cell(x[:1, real[0]], cell.start(1), told[:1, real[0]])
    torch.testing.assert_close(map_tensors(lambda leaf: leaf[:1], carried), alone)


def test_derivatives_and_mapping_over_streams():
    cell, (x, told) = build(), steps(count=3)
    assert gradcheck(lambda x, told: cell(x, cell.start(2), told)[0], (x.requires_grad_(), told.requires_grad_()))
    each = vmap(lambda x, told: cell(x[None], cell.start(1), told[None])[0][0])(x, told)
    torch.testing.assert_close(each, cell(x, cell.start(2), told)[0])


def test_it_has_no_plateau():
    streams = Streams(Strokes(ways=3, shots=10, queries=1), steps=10)
    net, shape = MLP(100, 3, hidden=(64, 64)), (1, 10, 10)
    scores = {}
    for prior in (PairedMemory(net, shape, 3, cell="fast"), DistributedMemory(net, shape, 3)):
        acquire(prior, streams, steps=80, tasks_per_step=32, clip=1.0, validations=0)
        scores[type(prior).__name__] = follow(prior, streams, streams=200).by_presentation()[3]
    assert scores["PairedMemory"] > scores["DistributedMemory"] + 0.25, scores


def test_without_a_residual_nothing_would_pass():
    with pytest.raises(MetapriorError, match="residual: expected True where the cell is 'fast'"):
        PairedMemory(MLP(4, 3), (4,), 3, cell="fast", residual=False)
