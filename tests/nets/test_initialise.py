"""Initial weights from a seed."""

import math

import pytest
import torch
from torch import nn

from metaprior.nets import MLP, Conv4, initialise, uninitialised


def test_variance_of_the_weights():
    net = MLP(400, 400, hidden=(400,))
    hidden, head = net.layers[0].weight, net.head.weight
    assert hidden.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert head.std().item() == pytest.approx(math.sqrt(1 / 400), rel=0.02)
    assert hidden.abs().max() <= math.sqrt(6 / 400)


def test_convolutions_are_laid_out_for_the_cpu():
    weight = Conv4(1, 16).blocks[1].conv.weight
    assert weight.movedim(1, -1).is_contiguous()
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    Conv4(1, 16, outputs=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_biases_become_zero():
    layer = uninitialised(nn.Conv2d, 1, 2, kernel_size=3)
    initialise(layer, seed=0)
    assert torch.equal(layer.bias, torch.zeros(2))
    assert isinstance(layer.weight, nn.Parameter)
