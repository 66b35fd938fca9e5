"""Cells behind the blocks of a network: where they are, who is told labels, and what cannot be built."""

import pytest
import torch
from torch import nn

from metaprior import DistributedMemory, PairedMemory
from metaprior.errors import MetapriorError, ShapeError, UnknownNameError
from metaprior.nets import MLP, Conv4, ResNet12
from metaprior.tasks import Examples, Stream

KINDS = [DistributedMemory, PairedMemory]


def build(kind, **arguments):
    return kind(MLP(4, 3, hidden=(8, 6)), (4,), 3, **arguments)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("net", "shape", "cells"),
    [
        (MLP(4, 3, hidden=(8, 6)), (4,), {"rectifiers.0": (8,), "rectifiers.1": (6,)}),
        (
            Conv4(1, 28, 3, width=8, norm="group"),
            (1, 28, 28),
            {"blocks.0": (8, 14, 14), "blocks.1": (8, 7, 7), "blocks.2": (8, 3, 3), "blocks.3": (8, 1, 1)},
        ),
        (
            ResNet12(3, 3, widths=(8, 8, 8, 16), norm="group"),
            (3, 32, 32),
            {"blocks.0": (8, 16, 16), "blocks.1": (8, 8, 8), "blocks.2": (8, 4, 4), "blocks.3": (16, 2, 2)},
        ),
    ],
    ids=["mlp", "conv4", "resnet12"],
)
def test_a_cell_stands_behind_every_block(kind, net, shape, cells):
    prior = kind(net, shape, 3)
    assert {name: tuple(carried.memory.shape[1:]) for name, carried in prior.start(2).cells.items()} == cells
    stream = Stream(Examples(torch.rand(2, 3, *shape), torch.randint(3, (2, 3))))
    assert prior.stream(stream).shape == (2, 3, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_where_it_sits_and_who_is_told_are_settings(kind):
    last = build(kind, where="rectifiers.1")
    assert list(last.start(1).cells) == ["rectifiers.1"]
    told = {
        name: [cell.from_label is not None for cell in build(kind, feedback=name).cells]
        for name in ("all", "last", "none")
    }
    assert told == {"all": [True, True], "last": [False, True], "none": [False, False]}


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_built_is_refused(kind):
    with pytest.raises(MetapriorError, match="net: expected one without batch norm"):
        kind(Conv4(1, 16, 3), (1, 16, 16), 3)
    with pytest.raises(MetapriorError, match="net: expected one without batch norm"):
        kind(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), (4,), 3)
    with pytest.raises(MetapriorError, match=r"where: expected a regular expression, got '\('"):
        build(kind, where="(")
    with pytest.raises(ShapeError, match=r"x_shape: the network does not take inputs of \(5,\)"):
        kind(MLP(4, 3), (5,), 3)
    with pytest.raises(ShapeError, match="outputs: expected 3, as the network has, got 5"):
        kind(MLP(4, 3), (4,), 5)
    shared = nn.ReLU()
    with pytest.raises(MetapriorError, match="where: expected blocks that run once, but '1' runs more often"):
        kind(nn.Sequential(nn.Linear(4, 4), shared, nn.Linear(4, 3), shared), (4,), 3, where="1")
    with pytest.raises(MetapriorError, match="where: expected a pattern that matches one of layers"):
        build(kind, where="nothing")
    with pytest.raises(UnknownNameError, match="did you mean 'last'"):
        build(kind, feedback="lst")
    with pytest.raises(MetapriorError, match="steps_at_once: expected a positive number, got 0"):
        build(kind, steps_at_once=0)


@pytest.mark.parametrize("kind", [DistributedMemory, PairedMemory])
@pytest.mark.parametrize(("streams", "steps"), [(1, 100), (16, 50)])
def test_saving_memory_keeps_less_than_half(kind, streams, steps):
    """Of what is kept for the backward pass; with no groups asked for, the network has some of its own."""
    kept = []
    for save_memory in (False, True):
        prior = kind(MLP(6, 3, hidden=(16, 16)), (6,), 3, save_memory=save_memory)
        stream, sizes = Stream(Examples(torch.rand(streams, steps, 6), torch.zeros(streams, steps).long())), []

        def pack(tensor, sizes=sizes):
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            prior.stream_loss(stream)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2
    assert prior._group(streams, steps) ** 2 < 2 * steps
