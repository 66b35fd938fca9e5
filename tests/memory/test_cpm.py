"""Contextual prototypical memory: a prototypical network without its context; what the context changes."""

import torch

from metaprior import CPM, ProtoNet, acquire, follow
from metaprior.nets import MLP
from metaprior.prior import Prior
from metaprior.tasks import Examples, Roaming, Stream, Streams, Strokes, TaskSpec

RANDOM = torch.Generator().manual_seed(0)
X, Y = torch.rand(3, 9, 4, generator=RANDOM), torch.randint(3, (3, 9), generator=RANDOM)


def test_with_a_silent_context_it_is_a_prototypical_network():
    net = MLP(4, hidden=(8,))
    prior, plain = CPM(net, 3, unseen="alike"), ProtoNet(net, 3, unseen="alike")
    with torch.no_grad():
        prior.read.weight.zero_()
        prior.read.bias[8:16] = torch.tensor(1.0).expm1().log()
    stream = Stream(Examples(X, Y))
    torch.testing.assert_close(prior.stream(stream), plain.stream(stream), atol=1e-4, rtol=1e-4)


def test_the_same_input_means_something_else_elsewhere():
    prior = CPM(MLP(4, hidden=(8,)), 3)
    state = prior.observe(prior.start(3), Examples(X[:, :4], Y[:, :4]))
    turned = prior.observe(prior.start(3), Examples(X[:, :4].flip(1), Y[:, :4].flip(1)))
    assert not torch.allclose(prior.predict(state, X), prior.predict(turned, X))


def test_one_pass_equals_the_loop_at_every_delay():
    prior = CPM(MLP(4, hidden=(8,)), 3, unseen="last")
    for delay in (1, 4):
        stream = Stream(Examples(X, Y), delay)
        torch.testing.assert_close(prior.stream(stream), Prior.stream(prior, stream))


def test_networks_have_no_batch_norm():
    prior = CPM.for_tasks(TaskSpec("classification", (1, 16, 16), 3))
    assert prior.net.norm == "group"


def test_it_learns_to_name_what_it_has_seen_and_to_call_the_rest_unknown():
    source = Streams(Roaming("strokes", steps=40, classes=20, contexts=4))
    prior = CPM.for_tasks(source.spec, MLP(100, hidden=(64,)), hidden=32)
    before = follow(prior, source, streams=20).average_precision()
    acquire(prior, source, steps=60, learning_rate=3e-3, tasks_per_step=4, validations=0, seed=0)
    log = follow(prior, source, streams=20)
    assert 1 - log.average_precision() < (1 - before) / 3
    assert log.unknown.shape == (20, 40)


def test_closed_streams_need_no_unknown():
    log = follow(CPM(MLP(100, hidden=(16,)), 3), Streams(Strokes(ways=3, shots=4, queries=1)), streams=5)
    assert log.average_precision() is None
