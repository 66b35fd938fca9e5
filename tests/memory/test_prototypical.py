"""Memory that is read out by class means: at first a prototypical network, and always the loop over its steps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior import ProtoNet, PrototypicalMemory
from metaprior.errors import MetapriorError, ShapeError
from metaprior.nets import MLP, Conv4, UNet
from metaprior.prior import Prior
from metaprior.tasks import Examples, Stream, TaskSpec

RANDOM = torch.Generator().manual_seed(0)
EXAMPLES = Examples(torch.rand(3, 9, 4, generator=RANDOM), torch.randint(3, (3, 9), generator=RANDOM))


def build(**arguments):
    return PrototypicalMemory(MLP(4, hidden=(8, 6)), (4,), 3, **arguments)


def moved(prior):
    """Return a prior whose cells say something, as after acquisition."""
    with torch.no_grad():
        for weight in prior.cells.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return prior


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 12), min_size=9, max_size=9), min_size=3, max_size=3),
    st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=3, max_size=3),
    st.sampled_from([None, 1, 4]),
    st.sampled_from(["impossible", "alike", "last"]),
)
def test_a_stream_is_a_loop_whatever_the_delays(delays, real, size, unseen):
    prior = moved(build(steps_at_once=size, unseen=unseen))
    stream = Stream(Examples(EXAMPLES.x, EXAMPLES.y, torch.tensor(real)), torch.tensor(delays))
    torch.testing.assert_close(prior.stream(stream), Prior.stream(prior, stream))


def test_so_it_is_with_images():
    images = Stream(Examples(torch.rand(2, 5, 1, 16, 16), torch.randint(3, (2, 5))), 2)
    prior = moved(PrototypicalMemory(Conv4(1, 16, width=4, norm="group"), (1, 16, 16), 3))
    torch.testing.assert_close(prior.stream(images), Prior.stream(prior, images))


@pytest.mark.parametrize("unseen", ["impossible", "alike", "last"])
def test_it_begins_as_a_prototypical_network(unseen):
    """Fast weights give nothing at first, whatever is stored in them."""
    prior = build(unseen=unseen)
    plain = ProtoNet(prior.net, ways=3, unseen=unseen)
    some = Examples(EXAMPLES.x[:, :4], EXAMPLES.y[:, :4])
    got = prior.predict(prior.observe(prior.start(3), some), EXAMPLES.x)
    torch.testing.assert_close(got, plain.predict(plain.observe(plain.start(3), some), EXAMPLES.x))


def test_what_was_seen_changes_features_once_cells_have_learned():
    prior = moved(build())
    some = Examples(EXAMPLES.x[:, :4], EXAMPLES.y[:, :4])
    plain = ProtoNet(prior.net, ways=3, unseen="alike")
    got = prior.predict(prior.observe(prior.start(3), some), EXAMPLES.x)
    assert not torch.allclose(got, plain.predict(plain.observe(plain.start(3), some), EXAMPLES.x), atol=1e-2)


def test_gradients_reach_network_cells_and_novelty():
    prior = build()
    with torch.no_grad():
        prior.cells[0].output.weight.normal_(generator=RANDOM)
    loss = torch.nn.functional.cross_entropy(prior.stream(Stream(EXAMPLES)).flatten(0, 1), EXAMPLES.y.flatten())
    loss.backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in prior.parameters())
    assert prior.cells[0].from_label.grad.abs().max() > 0


def test_it_is_built_for_tasks():
    spec = TaskSpec("classification", (1, 28, 28), 5)
    assert PrototypicalMemory.for_tasks(spec).unseen == "alike"
    assert PrototypicalMemory.for_tasks(TaskSpec("classification", (1, 28, 28), 5, unknown=True)).unseen == "last"
    assert PrototypicalMemory.for_tasks(spec, unseen="impossible").novelty is None


def test_wrong_inputs():
    prior = build()
    with pytest.raises(ShapeError, match="class ids from 0 to 2, got 3"):
        prior.observe(prior.start(1), Examples(torch.zeros(1, 1, 4), torch.tensor([[3]])))
    other = PrototypicalMemory(MLP(4, hidden=(8, 5)), (4,), 3)
    with pytest.raises(ShapeError, match="state: expected memories of"):
        prior.predict(other.start(1), torch.zeros(1, 1, 4))
    with pytest.raises(MetapriorError, match="net: expected"):
        PrototypicalMemory(UNet(1, 2, widths=(4, 4)), (1, 8, 8), 2)
