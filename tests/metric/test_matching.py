"""The matching network against its formula; that it learns."""

import torch
from torch import nn

from metaprior import Matching, acquire, evaluate
from metaprior.nets import MLP
from metaprior.tasks import Examples, Streams, Strokes

RANDOM = torch.Generator().manual_seed(0)


def test_attention_by_hand():
    x, y = torch.rand(2, 6, 3, generator=RANDOM), torch.randint(2, (2, 6), generator=RANDOM)
    queries = torch.rand(2, 4, 3, generator=RANDOM)
    prior = Matching(nn.Identity(), sharpness=7.0)
    got = prior.predict(prior.observe(prior.start(2), Examples(x, y)), queries).exp()
    cosines = torch.cosine_similarity(queries[:, :, None], x[:, None], dim=-1)
    expected = (7 * cosines).softmax(-1) @ nn.functional.one_hot(y, 2).float()
    torch.testing.assert_close(got, expected)


def test_what_is_told_comes_back():
    x = torch.eye(4)[None]
    prior = Matching(nn.Identity(), ways=4, sharpness=50.0)
    state = prior.observe(prior.start(1), Examples(x, torch.tensor([[2, 0, 3, 1]])))
    assert prior.predict(state, x).argmax(-1).tolist() == [[2, 0, 3, 1]]


def test_a_store_of_limited_capacity_answers_to_order():
    assert Matching(nn.Identity()).order_free
    assert not Matching(nn.Identity(), capacity=5).order_free


def test_acquisition_on_streams_helps():
    source = Streams(Strokes(ways=3, shots=4, queries=1, jitter=0.06, train_classes=200))
    prior = Matching(MLP(100, hidden=(64,)), ways=3, unseen="alike")
    before = evaluate(prior, source, episodes=200).mean
    acquire(prior, source, steps=150, seed=0)
    assert evaluate(prior, source, episodes=200).mean > before + 0.03
