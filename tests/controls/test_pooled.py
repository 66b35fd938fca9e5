"""Pooled pre-training and what follows it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from metaprior import FineTune, Frozen, acquire, evaluate
from metaprior.errors import MetapriorError
from metaprior.nets import MLP, UNet
from metaprior.nets import apply as apply_net
from metaprior.tasks import ClassPool, ClassSource, Episode, Examples
from metaprior.testing import ToyTasks


class Blobs(ClassSource):
    """Classes that are noise around patterns of their own, the patterns of all splits from one distribution."""

    def __init__(self, ways=3, shots=2, queries=3):
        self.ways, self.shots, self.queries = ways, shots, queries

    def pool(self, split):
        generator = torch.Generator().manual_seed(["train", "valid", "test"].index(split))
        patterns = torch.randint(256, (20, 1, 1, 4, 4), generator=generator)
        noise = torch.randint(-40, 41, (20, 10, 1, 4, 4), generator=generator)
        return ClassPool.full((patterns + noise).clamp(0, 255).to(torch.uint8))


@pytest.mark.parametrize("cls", [FineTune, Frozen])
def test_pretraining_is_ordinary_classification_of_the_whole_pool(cls):
    episode = Blobs().sample(4, torch.Generator().manual_seed(0))
    prior = cls(MLP(inputs=16, hidden=(8,)), outputs=3, pool=20)
    classes = torch.cat([episode.labels.gather(1, part.y) for part in (episode.support, episode.query)], 1)
    x = torch.cat([episode.support.x, episode.query.x], 1)
    features = apply_net(prior.net, x).flatten(0, 1)
    logits = prior.head(functional.batch_norm(features, None, None, training=True))
    expected = functional.cross_entropy(logits, classes.flatten())
    torch.testing.assert_close(prior.loss(episode), expected)


@pytest.mark.parametrize("cls", [FineTune, Frozen])
def test_pretraining_helps_on_new_classes(cls):
    source = Blobs()
    prior = cls(MLP(inputs=16, hidden=(32,)), outputs=3, pool=20, steps=20)
    acquire(prior, source, steps=150, validations=0)
    result = evaluate(prior, source, episodes=50)
    assert result.mean - result.interval > 0.5, "chance is 1/3"


def test_before_any_example_classes_are_alike_and_a_shared_head_is_not():
    x = torch.rand(2, 4, 5)
    assert (
        FineTune(MLP(5, hidden=(6,)), outputs=3, pool=9).predict(FineTune(MLP(5, hidden=(6,)), 3, 9).start(2), x) == 0
    ).all()
    shared = Frozen(MLP(5, hidden=(6,)), outputs=1)
    assert (shared.predict(shared.start(2), x) != 0).any()


def test_frozen_features_stay():
    prior = Frozen(MLP(inputs=3, hidden=(6,)), outputs=2, pool=4)
    state = prior.observe(prior.start(1), Examples(torch.rand(1, 4, 3), torch.tensor([[0, 1, 0, 1]])))
    assert sorted(state.weights) == ["bias", "weight"]


def test_says_what_is_missing():
    with pytest.raises(MetapriorError, match="an attribute `features`"):
        Frozen(nn.Linear(2, 2), outputs=2)
    examples = Examples(torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(MetapriorError, match="expected `labels`"):
        FineTune(MLP(3), outputs=2, pool=4).loss(Episode(examples, examples))


@pytest.mark.parametrize("cls", [FineTune, Frozen])
def test_pixels_are_labelled_by_one_head_that_carries_over(cls):
    episode = ToyTasks("segmentation", (2, 4, 4), outputs=3).sample(2, torch.Generator().manual_seed(0))
    prior = cls(UNet(2, widths=(4, 8)), outputs=3, steps=0)
    x = torch.cat([episode.support.x, episode.query.x], 1).flatten(0, 1)
    y = torch.cat([episode.support.y, episode.query.y], 1).flatten(0, 1)
    torch.testing.assert_close(prior.loss(episode), functional.cross_entropy(prior.head(prior.net(x)), y))
    expected = prior.head(prior.net(episode.query.x.flatten(0, 1))).unflatten(0, episode.query.y.shape[:2])
    torch.testing.assert_close(prior.predict(prior.start(2), episode.query.x), expected)
    with pytest.raises(MetapriorError, match="pool: expected None for a network that labels pixels, got 9"):
        cls(UNet(2, widths=(4, 8)), outputs=3, pool=9)
