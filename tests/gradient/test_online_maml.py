"""MAML on streams: a step on each example, differentiated through many of them in bounded memory."""

import pytest
import torch
from torch import Tensor

from metaprior import MAML, OnlineMAML, acquire, evaluate, follow
from metaprior.errors import MetapriorError
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Examples, Roaming, Stream, Streams, Strokes

RANDOM = torch.Generator().manual_seed(0)
STREAM = Stream(
    Examples(torch.rand(2, 60, 4, generator=RANDOM, dtype=torch.float64), torch.randint(3, (2, 60), generator=RANDOM))
)


def build(kind=OnlineMAML, **arguments):
    return kind(MLP(4, 3, hidden=(8,)), **({"step_size": 0.1} | arguments)).double()


def test_each_example_is_a_step_of_maml():
    online, maml = build(), build(MAML)
    state = maml.start(2)
    for step in range(5):
        state = maml.observe(state, STREAM.examples.take(slice(step, step + 1)))
    got = online.observe(online.start(2), STREAM.examples.take(slice(0, 5)))
    torch.testing.assert_close(got.weights, state.weights)


def test_saving_memory_over_sixty_steps_changes_no_gradient():
    gradients = [
        torch.autograd.grad(prior.stream_loss(STREAM), list(prior.parameters()))
        for prior in (build(), build(save_memory=True))
    ]
    torch.testing.assert_close(*gradients)


def test_the_gradient_is_the_derivative():
    prior = build(save_memory=True)
    weight = prior.net.layers[0].weight
    (gradient,) = torch.autograd.grad(prior.stream_loss(STREAM), weight)
    way = torch.randn(weight.shape, generator=RANDOM, dtype=torch.float64)
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * 1e-6 * way)
            losses.append(prior.stream_loss(STREAM).item())
            weight.sub_(sign * 1e-6 * way)
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx((gradient * way).sum().item(), rel=1e-5)


def test_memory_is_a_copy_of_the_weights_a_step():
    def stored(steps: int, save: bool) -> int:
        seen: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        prior = OnlineMAML(Conv4(1, 16, 3, width=4, norm="group"), save_memory=save)
        images = Examples(torch.rand(1, steps, 1, 16, 16), torch.zeros(1, steps, dtype=torch.long))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            prior.observe(prior.start(1), images)
        return sum(seen.values())

    growth = {save: (stored(12, save) - stored(4, save)) / 8 for save in (False, True)}
    numbers = sum(parameter.numel() for parameter in Conv4(1, 16, 3, width=4, norm="group").parameters())
    assert growth[True] < 4 * numbers * 2 + 4000
    assert growth[True] < 0.3 * growth[False]


def test_acquired_on_streams_it_learns_within_them():
    source = Streams(Strokes(ways=3, shots=5, queries=1))
    prior = OnlineMAML.for_tasks(source.spec, MLP(100, 3, hidden=(32,)), step_size=0.3)
    assert prior.save_memory
    before = evaluate(prior, source, episodes=100).mean
    acquire(prior, source, steps=60, learning_rate=1e-2, tasks_per_step=4, validations=0)
    # Measured: 0.58, 0.72; of 1,500 predictions.
    assert evaluate(prior, source, episodes=100).mean > before + 0.07
    assert follow(prior, Streams(source, delay=3), streams=20).by_presentation()[5] > 0.7


def test_it_follows_roaming_streams():
    source = Roaming("strokes", steps=20, classes=10)
    prior = OnlineMAML.for_tasks(source.spec, MLP(100, 11, hidden=(16,)))
    acquire(prior, source, steps=1, tasks_per_step=2, validations=0)
    assert follow(prior, Streams(source, latest=4), streams=4).average_precision() is not None


def test_its_network_sees_single_examples():
    with pytest.raises(MetapriorError, match="net: expected one without batch norm"):
        OnlineMAML(Conv4(1, 16, 3))
    assert OnlineMAML.for_tasks(Strokes(size=16).spec).net.norm == "group"
