from dataclasses import replace

import pytest
import torch
from torch import nn

from metaprior import ProtoNet, Scratch, acquire, evaluate
from metaprior.errors import ShapeError
from metaprior.nets import MLP, Conv4
from metaprior.tasks import Episode, Examples, Omniglot
from metaprior.testing import ToyTasks


def points(*values: float, labels: list[int] | None = None, mask: list[bool] | None = None) -> Examples:
    y = None if labels is None else torch.tensor([labels])
    return Examples(
        torch.tensor([values], dtype=torch.float32)[..., None], y, None if mask is None else torch.tensor([mask])
    )


def test_a_class_is_the_mean_of_its_examples():
    prior = ProtoNet(nn.Flatten())
    state = prior.observe(prior.start(1), points(0, 2, 10, labels=[0, 0, 1]))
    assert state.sums.flatten().tolist() == [2, 10]
    assert state.counts.tolist() == [[2, 1]]
    assert prior.predict(state, points(3).x).flatten().tolist() == [-4, -49]


def test_the_loss_by_hand():
    prior = ProtoNet(nn.Flatten())
    loss = prior.loss(Episode(points(0, 1, labels=[0, 1]), points(1, labels=[1])))
    assert loss.item() == pytest.approx(torch.tensor([-1.0, 0.0]).log_softmax(0)[1].neg().item())


def test_distances_are_those_in_feature_space():
    prior = ProtoNet(MLP(3, 5, hidden=(7,)), ways=4).double()
    x = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(12).expand(2, 12) % 4
    features = torch.stack([prior.net(x[task]) for task in range(2)])
    centres = features.unflatten(1, (3, 4)).mean(1)
    got = prior.predict(prior.observe(prior.start(2), Examples(x, y)), x)
    assert torch.allclose(got, -torch.cdist(features, centres).square())


def test_examples_may_come_one_by_one():
    prior = ProtoNet(nn.Flatten())
    state = prior.start(1)
    for value, label in ((0.0, 0), (10.0, 1), (2.0, 0)):
        state = prior.observe(state, points(value, labels=[label]))
    at_once = prior.observe(prior.start(1), points(0, 2, 10, labels=[0, 0, 1]))
    assert torch.equal(state.sums, at_once.sums)
    assert torch.equal(state.counts, at_once.counts)


def test_room_is_made_for_more_classes_than_expected():
    prior = ProtoNet(nn.Flatten(), ways=2)
    state = prior.observe(prior.start(1), points(0, 1, labels=[0, 1]))
    state = prior.observe(state, points(5, labels=[3]))
    prediction = prior.predict(state, points(4.9).x)
    assert prediction.shape == (1, 1, 4)
    assert prediction.argmax().item() == 3
    assert prediction.softmax(-1)[0, 0, 2].item() == 0  # never seen


def test_classes_without_examples_are_equal_and_finite():
    prior = ProtoNet(nn.Flatten(), ways=3)
    nothing = prior.predict(prior.start(2), torch.ones(2, 4, 1)).softmax(-1)
    assert torch.allclose(nothing, torch.full((2, 4, 3), 1 / 3))


def test_tasks_may_differ_in_ways_and_shots():
    prior = ProtoNet(nn.Flatten(), ways=3)
    x = torch.tensor([[0.0, 1.0, 2.0, 99.0], [5.0, 7.0, 99.0, 99.0]])[..., None]
    y = torch.tensor([[0, 1, 2, 0], [0, 1, 2, -1]])
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    state = prior.observe(prior.start(2), Examples(x, y, mask))
    assert state.counts.tolist() == [[1, 1, 1], [1, 1, 0]]
    query = Examples(torch.tensor([[2.2], [6.9]])[..., None], torch.tensor([[2], [1]]))
    episode = Episode(Examples(x, y, mask), query, ways=torch.tensor([3, 2]))
    assert prior.predict(state, query.x).argmax(-1).tolist() == [[2], [1]]
    assert prior.loss(episode).isfinite()


def test_padding_makes_no_room():
    prior = ProtoNet(nn.Flatten(), ways=2)
    state = prior.observe(prior.start(1), points(0, 1, 2, labels=[0, 1, 7], mask=[True, True, False]))
    assert state.counts.shape == (1, 2)


def test_unlabelled_examples_are_refused():
    prior = ProtoNet(nn.Flatten())
    with pytest.raises(ShapeError, match="expected class ids, got y of dtype None"):
        prior.observe(prior.start(1), points(0, 1))


def test_any_network_will_do():
    empty = nn.Sequential()
    assert ProtoNet.for_tasks(ToyTasks().spec, empty).net is empty
    assert ProtoNet.for_tasks(ToyTasks().spec).ways == 3


def test_a_class_without_examples_is_never_the_nearest():
    """However far away the others are."""
    prior = ProtoNet(nn.Flatten(), ways=3)
    for scale in (1e-3, 1.0, 1e3, 1e6):
        support = Examples(torch.tensor([[[0.0], [scale]]]), torch.tensor([[0, 1]]))
        state = prior.observe(prior.start(1), support)
        logits = prior.predict(state, torch.tensor([[[0.4 * scale], [50 * scale]]]))
        assert logits.argmax(-1).tolist() == [[0, 1]]
        assert logits.isfinite().all()
        assert logits.softmax(-1)[..., 2].max() == 0


def test_padding_has_no_part_in_what_is_learnt():
    """Batch norms of the network must see real examples alone, in the support and in the queries."""
    source = ToyTasks("classification", (1, 16, 16))
    episode = source.sample(3, torch.Generator().manual_seed(0)).to(torch.float64)

    def padded(part):
        more = Examples(torch.full_like(part.x, 100), part.y, torch.zeros_like(part.y, dtype=torch.bool))
        return part.joined(more)

    results = []
    for tasks in (episode, replace(episode, support=padded(episode.support), query=padded(episode.query))):
        prior = ProtoNet(Conv4(1, 16, width=4), ways=3).double().train()
        results.append([prior.loss(tasks), prior.net.blocks[0].norm.running_mean])
    for alone, together in zip(*results, strict=True):
        assert torch.allclose(alone, together)


@pytest.mark.slow
def test_what_is_acquired_on_omniglot_tells_new_characters_apart():
    """Two minutes of acquisition, against the same method on raw pixels and a network trained from scratch."""
    train, tests = Omniglot(ways=20, queries=5), Omniglot(ways=5).test_set(200)
    prior = ProtoNet.for_tasks(train.spec)
    acquire(prior, train, steps=300, tasks_per_step=2, validations=0)
    acquired, pixels = evaluate(prior, tests), evaluate(ProtoNet(nn.Flatten()), tests)
    scratch = evaluate(Scratch.for_tasks(Omniglot(ways=5).spec), tests)
    assert acquired.mean > 0.93
    for control in (pixels, scratch):
        assert acquired.mean - acquired.interval > control.mean + control.interval + 0.1
