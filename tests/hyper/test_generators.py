"""Generators: every shape, the plain network's spread at the beginning, one derivative for every code."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.func import vmap

from metaprior.hyper import Hypernetwork
from metaprior.hyper.generators import GENERATORS, Chunked, LowRank
from metaprior.nets import MLP, Conv4

EVERY = pytest.mark.parametrize("generator", list(GENERATORS))


def build(generator, net, code=16, hidden=32, seed=0):
    return GENERATORS[generator](dict(net.named_parameters()), code, hidden, seed)


def written(generator, seed=0):
    return generator(generator.initial_code(seed))


@EVERY
@settings(max_examples=20, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4),
    code=st.integers(1, 5),
    hidden=st.integers(1, 5),
)
def test_parameters_of_every_shape(generator, shapes, code, hidden):
    initial = {f"part{index}": torch.randn(shape) for index, shape in enumerate(shapes)}
    writer = GENERATORS[generator](initial, code, hidden, 0)
    parameters = written(writer)
    assert {name: value.shape for name, value in parameters.items()} == {k: v.shape for k, v in initial.items()}
    assert all(value.isfinite().all() for value in parameters.values())


@EVERY
@pytest.mark.parametrize("net", [MLP(32, 5, hidden=(64, 64)), Conv4(1, 28, 5, norm="none")], ids=["mlp", "conv4"])
def test_the_spread_of_the_plain_network_is_kept(generator, net):
    plain = dict(net.named_parameters())
    # Weights share hidden units, so that one draw of a narrow generator tells little.
    draws = [written(build(generator, net, hidden=64, seed=seed), seed) for seed in range(10)]
    for name, value in plain.items():
        if value.ndim > 1:
            spread = torch.stack([draw[name].square().mean() for draw in draws]).mean().sqrt()
            assert spread.item() == pytest.approx(value.std().item(), rel=0.15), name
        else:
            assert max(draw[name].abs().max().item() for draw in draws) < 0.1, name


@pytest.mark.parametrize("generator", ["low_rank", "factorised", "multiplicative", "chunked"])
def test_vectors_that_vary_keep_their_spread(generator):
    net = nn.Linear(30, 400)
    draws = [written(build(generator, net, hidden=64, seed=seed), seed)["bias"] for seed in range(10)]
    spread = torch.stack(draws).square().mean().sqrt()
    assert spread.item() == pytest.approx(net.bias.std().item(), rel=0.15)


@EVERY
def test_a_generator_has_the_precision_of_the_network(generator):
    hypernetwork = Hypernetwork(MLP(3, 2).double(), generator)
    assert hypernetwork(torch.rand(4, 3).double()).dtype == torch.float64


@EVERY
def test_what_passes_through_neither_fades_nor_grows(generator):
    net = MLP(64, 64, hidden=(64,) * 5)
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(0))
    expected = net(x).std().item()
    found = []
    for seed in range(10):
        parameters = written(build(generator, net, hidden=64, seed=seed), seed)
        found.append(torch.func.functional_call(net, parameters, x).std().item())
    assert 0.5 * expected < sum(found) / len(found) < 2 * expected


@EVERY
@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 8), nn.LayerNorm((3, 4, 5))], ids=str)
def test_constant_parameters_begin_around_their_constant(generator, norm):
    parameters = written(GENERATORS[generator](dict(norm.named_parameters()), 4, 8, 0))
    assert (parameters["weight"] - 1).abs().max() < 0.1
    assert parameters["bias"].abs().max() < 0.1


@EVERY
def test_derivatives(generator):
    writer = build(generator, MLP(2, 2, hidden=(3,)), code=2, hidden=2).double()
    code = writer.initial_code(0).double().requires_grad_()
    assert gradcheck(lambda code: tuple(writer(code).values()), (code,))


@EVERY
def test_many_codes_at_once(generator):
    writer = build(generator, MLP(3, 2, hidden=(4,)))
    codes = torch.stack([writer.initial_code(seed) for seed in range(5)])
    together = vmap(writer)(codes)
    for index, code in enumerate(codes):
        for name, value in writer(code).items():
            torch.testing.assert_close(together[name][index], value)


@EVERY
def test_the_seed_decides(generator):
    net = MLP(3, 2)
    first, same, other = (written(build(generator, net, seed=seed))["head.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other) or generator in ("linear", "multiplicative")


@EVERY
def test_the_global_random_state_stays(generator):
    before = torch.get_rng_state()
    written(build(generator, MLP(3, 2)))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_low_rank_correction_has_low_rank():
    writer = build("low_rank", MLP(8, 8, hidden=(8,)), hidden=3)
    codes = torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    heads = torch.stack([writer(code)["head.weight"].flatten() for code in codes])
    assert torch.linalg.matrix_rank(heads - writer.base[-72:-8]) == 3


def test_factors_of_a_kernel_are_its_correction():
    net = Conv4(4, 16, 2, width=6, norm="none")
    writer = build("factorised", net, hidden=3)
    codes = torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    kernels = torch.stack([writer(code)["blocks.0.conv.weight"] for code in codes])
    corrections = kernels - writer.base[: 6 * 4 * 9].view(6, 3, 3, 4).permute(0, 3, 1, 2)
    assert torch.equal(torch.linalg.matrix_rank(corrections.flatten(2)), torch.full((20,), 4))
    assert writer.heads.shape[0] < build("low_rank", net, hidden=3).heads.shape[0]


def test_a_linear_generator_begins_at_the_plain_network():
    net = Conv4(1, 16, 2, width=4)
    for name, value in written(build("linear", net)).items():
        assert torch.equal(value, dict(net.named_parameters())[name])


def test_chunks_take_the_fewest_parameters():
    net = MLP(64, 64, hidden=(64, 64))
    plain, chunked, low_rank = (
        sum(parameter.numel() for parameter in module.parameters())
        for module in (net, build("chunked", net), build("low_rank", net))
    )
    assert chunked < plain < low_rank
    assert isinstance(build("chunked", net), Chunked)
    assert isinstance(build("low_rank", net), LowRank)


@EVERY
def test_kernels_lie_in_memory_as_convolutions_want_them(generator):
    kernel = written(build(generator, Conv4(3, 16, 2, width=4)))["blocks.1.conv.weight"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)
