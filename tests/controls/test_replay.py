"""Replay: a fair sample of the past, exact resumption, and less forgetting than without."""

import pytest
import torch

from metaprior import Replay, ReplayScratch, acquire, follow, load_state, retention, save_state
from metaprior.errors import MetapriorError, ShapeError, UnknownNameError
from metaprior.nets import MLP, Conv4
from metaprior.tasks import ClassIncremental, Examples, Roaming, Stream, Streams, Strokes
from metaprior.tree import nbytes, tensors

RANDOM = torch.Generator().manual_seed(0)
X = torch.rand(2, 30, 4, generator=RANDOM)
Y = torch.randint(3, (2, 30), generator=RANDOM)


def build(**arguments):
    return ReplayScratch(MLP(4, hidden=(8,)), **({"outputs": 3, "buffer": 5, "replayed": 3} | arguments))


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_without_replay_it_is_the_optimiser_of_torch(optimiser):
    prior = build(replayed=0, steps=2, learning_rate=0.05, optimiser=optimiser).double()
    x, y = X[:1].double(), Y[:1]
    state = prior.observe(prior.start(1), Examples(x, y))
    body, head = MLP(4, hidden=(8,)).double(), prior.head
    kind = torch.optim.Adam if optimiser == "adam" else torch.optim.SGD
    own = kind([*body.parameters(), *head.parameters()], lr=0.05)
    for step in range(30):
        for _ in range(2):
            own.zero_grad()
            torch.nn.functional.cross_entropy(head(body(x[0, step : step + 1])), y[0, step : step + 1]).backward()
            own.step()
    torch.testing.assert_close(state.weights["2.weight"][0], head.weight.detach())
    torch.testing.assert_close(state.weights["0.layers.0.weight"][0], body.layers[0].weight.detach())


def test_the_buffer_is_a_fair_sample():
    # Each of 20 examples is kept with probability 5 / 20; a seed of the net is a seed of the numbers.
    kept = torch.zeros(20)
    x = torch.arange(20.0)[None, :, None].expand(1, 20, 4)
    for seed in range(60):
        prior = ReplayScratch(MLP(4, hidden=(2,), seed=seed), outputs=3, buffer=5, replayed=1, optimiser="sgd")
        kept[prior.observe(prior.start(1), Examples(x, Y[:1, :20])).x[0, :, 0].long()] += 1
    expected, spread = 60 / 4, (60 / 4 * 3 / 4) ** 0.5
    assert kept.sum() == 300
    assert ((kept - expected).abs() < 4 * spread).all()
    assert ((kept - expected) / spread).square().sum() < 50


def test_until_it_is_full_the_buffer_holds_everything_with_its_labels():
    prior = build(buffer=40)
    state = prior.observe(prior.start(2), Examples(X, Y))
    assert torch.equal(state.x[:, :30], X)
    assert torch.equal(state.y[:, :30], Y)
    assert state.seen.tolist() == [30, 30]


def test_nothing_is_kept_that_is_never_replayed():
    prior = build(replayed=0)
    state = prior.observe(prior.start(2), Examples(X, Y))
    assert state.x.shape[:2] == (2, 0)
    assert nbytes(state) < nbytes(build().observe(build().start(2), Examples(X, Y)))


def test_what_is_replayed_matters_and_comes_from_the_buffer():
    states = [build(replayed=count).observe(build().start(2), Examples(X, Y)) for count in (0, 3)]
    assert not torch.equal(states[0].weights["2.weight"], states[1].weights["2.weight"])
    # A buffer of the example itself adds nothing to a batch of it.
    x, y = X[:, :1].expand(-1, 30, -1), Y[:, :1].expand(-1, 30)
    states = [build(replayed=count).observe(build().start(2), Examples(x, y)) for count in (0, 3)]
    torch.testing.assert_close(states[0].weights, states[1].weights)


def test_a_stream_goes_on_from_disk_to_the_bit(tmp_path):
    prior = build()
    whole = prior.stream(Stream(Examples(X, Y)))
    between = prior.observe(prior.start(2), Examples(X[:, :12], Y[:, :12]))
    save_state(prior, between, tmp_path / "state.safetensors")
    again = load_state(prior, tmp_path / "state.safetensors")
    assert torch.equal(prior.stream(Stream(Examples(X[:, 12:], Y[:, 12:])), again), whole[:, 12:])


def test_a_belief_is_left_as_it_was():
    prior = build()
    state = prior.observe(prior.start(2), Examples(X[:, :8], Y[:, :8]))
    before = [leaf.clone() for leaf in tensors(state)]
    prior.observe(state, Examples(X[:, 8:], Y[:, 8:]))
    assert all(torch.equal(was, now) for was, now in zip(before, tensors(state), strict=True))


def test_padding_is_no_example():
    prior = build()
    mask = torch.arange(30) % 3 != 1
    padded = prior.observe(prior.start(2), Examples(X, Y, mask.expand(2, -1)))
    plain = prior.observe(prior.start(2), Examples(X[:, mask], Y[:, mask]))
    torch.testing.assert_close(padded, plain)


def test_replay_keeps_what_is_lost_without_it():
    source = ClassIncremental("strokes", ways=20)
    net = MLP(100, hidden=(128, 128))
    with_it, without = (
        retention(ReplayScratch(net, outputs=20, replayed=count), source, sequences=1).held_out.mean()
        for count in (8, 0)
    )
    # Measured: 1.00 and 0.43.
    assert with_it > without + 0.25


def test_pre_training_is_of_the_pool():
    source = Strokes(ways=3, shots=3, queries=3)
    prior = Replay.for_tasks(source.spec, MLP(100, hidden=(32,)))
    start = prior.start(1).weights["0.layers.0.weight"].clone()
    acquire(prior, source, steps=3, validations=0)
    assert prior.pool == 20
    assert not torch.equal(prior.start(1).weights["0.layers.0.weight"], start)
    with pytest.raises(MetapriorError, match="acquired on episodes, and follows streams later"):
        acquire(prior, Streams(source), steps=1, validations=0)
    assert follow(prior, Streams(source, delay=2), streams=5).state_bytes > 0


def test_it_follows_roaming_streams():
    source = Roaming("strokes", steps=20, classes=10)
    log = follow(ReplayScratch.for_tasks(source.spec, MLP(100, hidden=(16,))), Streams(source, delay=3), streams=4)
    assert log.average_precision() is not None


def test_what_cannot_be_is_refused():
    with pytest.raises(UnknownNameError, match="unknown optimiser 'adma'"):
        build(optimiser="adma")
    with pytest.raises(MetapriorError, match="replayed: expected 0 or more, got -1"):
        build(replayed=-1)
    with pytest.raises(MetapriorError, match="buffer: expected a positive number, got 0"):
        build(buffer=0)
    with pytest.raises(MetapriorError, match="net: expected one without batch norm"):
        ReplayScratch(Conv4(1, 16), outputs=3)
    with pytest.raises(ShapeError, match="expected labelled examples"):
        build().observe(build().start(2), Examples(X))
    begun = build().observe(build().start(2), Examples(X, Y))
    with pytest.raises(ShapeError, match=r"inputs of shape \(4,\), as those before, got \(3,\)"):
        build().observe(begun, Examples(X[..., :3], Y))
    with pytest.raises(ShapeError, match="y: expected class ids from 0 to 2, got 7"):
        build().observe(build().start(1), Examples(X[:1, :1], torch.tensor([[7]])))
