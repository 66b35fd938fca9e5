"""Encoders of support sets: order, padding and parts do not matter; attention may weigh, a mean may not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import MetapriorError, UnknownNameError
from metaprior.hyper import SupportEncoder

EVERY = pytest.mark.parametrize("pooling", ["attention", "mean"])


def examples(size, tasks=3):
    random = torch.Generator().manual_seed(size)
    features = torch.randn(tasks, size, 4, generator=random, dtype=torch.float64)
    targets = torch.randn(tasks, size, 2, generator=random, dtype=torch.float64)
    return features, targets, torch.rand(tasks, size, generator=random) < 0.7


def build(pooling):
    return SupportEncoder(4, 2, code=5, hidden=8, heads=3, pooling=pooling).double()


def code(encoder, *parts):
    pool = encoder.empty(3)
    for part in parts:
        pool = encoder.add(pool, *part)
    return encoder.read(pool)


@EVERY
@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 9), cut=st.integers(0, 9), seed=st.integers(0, 99))
def test_order_and_parts_do_not_matter(pooling, size, cut, seed):
    encoder, whole = build(pooling), examples(size)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    shuffled = [leaf[:, order] for leaf in whole]
    parts = [leaf[:, :cut] for leaf in shuffled], [leaf[:, cut:] for leaf in shuffled]
    torch.testing.assert_close(code(encoder, *parts), code(encoder, whole))


@EVERY
def test_padding_may_hold_anything(pooling):
    encoder, (features, targets, real) = build(pooling), examples(6)
    spoilt = features.masked_fill(~real[..., None], torch.nan)
    torch.testing.assert_close(code(encoder, (spoilt, targets, real)), code(encoder, (features, targets, real)))


@EVERY
def test_no_example_says_nothing(pooling):
    encoder, (features, targets, real) = build(pooling), examples(6)
    assert torch.equal(code(encoder), torch.zeros(3, 5, dtype=torch.float64))
    assert torch.equal(code(encoder, (features, targets, real & False)), code(encoder))


def test_a_mean_counts_a_repeated_example_twice_and_so_does_attention_of_equal_weights():
    attention, mean = build("attention"), build("mean")
    features, targets, _ = examples(4)
    everything = torch.ones(3, 4, dtype=torch.bool)
    twice = [torch.cat([leaf, leaf], dim=1) for leaf in (features, targets, everything)]
    for encoder in (attention, mean):
        torch.testing.assert_close(code(encoder, twice), code(encoder, (features, targets, everything)))


def test_attention_can_listen_to_one_example_alone():
    encoder = build("attention")
    features, targets, _ = examples(4)
    everything = torch.ones(3, 4, dtype=torch.bool)
    with torch.no_grad():
        encoder.encode.head.weight.zero_()
        encoder.encode.head.bias.zero_()
        encoder.encode.layers[0].weight.zero_()
        encoder.encode.layers[0].weight[0, 0] = 1  # the first hidden unit says what the first feature is
        encoder.encode.head.weight[0, 0] = 1
        encoder.attend.weight.zero_()
        encoder.attend.weight[:, 0] = 50
        encoder.attend.bias.fill_(-200)
    features[:, 0] = 9
    loudest = [leaf[:, :1] for leaf in (features, targets, everything)]
    torch.testing.assert_close(code(encoder, (features, targets, everything)), code(encoder, loudest))


def test_what_cannot_be_built_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'mean'"):
        SupportEncoder(4, 2, code=5, pooling="men")
    with pytest.raises(MetapriorError, match="heads: expected a positive number, got 0"):
        SupportEncoder(4, 2, code=5, heads=0)
