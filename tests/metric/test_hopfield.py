"""The modern Hopfield network: it settles on patterns, is attention at no updates, and learns."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from metaprior import Hopfield, acquire, evaluate
from metaprior.errors import MetapriorError
from metaprior.metric.hopfield import settle
from metaprior.nets import MLP
from metaprior.tasks import Examples, Streams, Strokes

RANDOM = torch.Generator().manual_seed(0)


@settings(max_examples=20, deadline=None)
@given(which=st.integers(0, 7), noise=st.floats(0, 0.3))
def test_a_spoilt_pattern_is_retrieved(which, noise):
    patterns = functional.normalize(torch.randn(8, 32, generator=torch.Generator().manual_seed(which)), dim=-1)
    spoilt = patterns[which] + noise * functional.normalize(torch.ones(32), dim=0)
    found = settle(spoilt[None], patterns, torch.ones(8, dtype=torch.bool), sharpness=40.0, updates=3)
    torch.testing.assert_close(found[0], patterns[which], atol=1e-3, rtol=0)


def test_energy_falls_with_every_update():
    # Ramsauer et al. 2021, eq. 2 and theorem 1: E = -lse(sharpness, X xi) + |xi|^2 / 2 never rises.
    patterns, query = torch.randn(6, 5, generator=RANDOM), torch.randn(1, 5, generator=RANDOM)

    def energy(xi):
        return (-(2.0 * xi @ patterns.T).logsumexp(-1) / 2.0 + xi.square().sum(-1) / 2).item()

    real = torch.ones(6, dtype=torch.bool)
    path = [energy(settle(query, patterns, real, 2.0, updates)) for updates in range(6)]
    assert all(after <= before + 1e-6 for before, after in pairwise(path))
    assert path[-1] < path[0] - 0.1


def test_padding_attracts_nothing_and_nothing_stays_put():
    patterns, query = torch.tensor([[1.0, 0.0], [9.0, 9.0]]), torch.tensor([[0.2, 0.1]])
    assert settle(query, patterns, torch.tensor([True, False]), 1.0, 1).tolist() == [[1, 0]]
    assert settle(query, patterns, torch.tensor([False, False]), 1.0, 3).tolist() == query.tolist()


def test_nothing_stored_has_gradients():
    patterns = torch.randn(2, 3, 4, generator=RANDOM).requires_grad_()
    query = torch.randn(2, 1, 4, generator=RANDOM).requires_grad_()
    settle(query, patterns, torch.tensor([[True, True, False], [False] * 3]), 1.0, 2).square().sum().backward()
    assert patterns.grad.isfinite().all()
    assert patterns.grad[0, :2].abs().min() > 0
    assert patterns.grad[1].abs().max() == patterns.grad[0, 2].abs().max() == 0
    torch.testing.assert_close(query.grad[1], 2 * query[1].detach())


def test_one_update_is_attention():
    net = MLP(4, hidden=(8,))
    prior = Hopfield(net, heads=1)
    x, y = torch.rand(2, 6, 4, generator=RANDOM), torch.randint(2, (2, 6), generator=RANDOM)
    queries = torch.rand(2, 3, 4, generator=RANDOM)
    got = prior.predict(prior.observe(prior.start(2), Examples(x, y)), queries).exp()
    weight = prior.of_query[0]
    left, right = (
        functional.layer_norm(net(part.flatten(0, 1)), (8,)).unflatten(0, (2, -1)) @ weight for part in (queries, x)
    )
    expected = (left @ right.transpose(1, 2) / math.sqrt(8)).softmax(-1) @ functional.one_hot(y, 2).float()
    torch.testing.assert_close(got, expected)


def test_updates_are_positive():
    with pytest.raises(MetapriorError, match="updates: expected a positive number, got 0"):
        Hopfield(MLP(4, hidden=(8,)), updates=0)


def test_acquisition_on_streams_helps():
    source = Streams(Strokes(ways=3, shots=4, queries=1, jitter=0.06, train_classes=200))
    prior = Hopfield(MLP(100, hidden=(64,)), ways=3, unseen="alike")
    before = evaluate(prior, source, episodes=200).mean
    acquire(prior, source, steps=150, seed=0)
    assert evaluate(prior, source, episodes=200).mean > before + 0.03
