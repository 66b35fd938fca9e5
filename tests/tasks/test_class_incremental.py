"""Class after class: the order of a trajectory, the ids of training and test, and what is to be remembered."""

import pytest
import torch

from metaprior import data
from metaprior.errors import DataError, ShapeError
from metaprior.tasks import ClassIncremental, Episode, Examples


def draw(split, tasks=3, seed=0, **settings):
    source = ClassIncremental("strokes", **({"ways": 20, "train_ways": 4, "remember": 300} | settings))
    return source.sample(tasks, torch.Generator().manual_seed(seed), split), source


def test_a_test_sequence_is_one_class_after_another():
    episode, _ = draw("test")
    assert torch.equal(episode.support.y, torch.arange(20).repeat_interleave(15).expand(3, -1))
    assert torch.equal(episode.query.y, torch.arange(20).repeat_interleave(5).expand(3, -1))
    assert (episode.ways == 20).all()
    assert episode.remember is None


def test_no_image_is_both_learned_and_held_out():
    episode, _ = draw("test", tasks=1)
    images = torch.cat([episode.support.x[0], episode.query.x[0]])
    assert len(images.flatten(1).unique(dim=0)) == 20 * 20


def test_a_training_trajectory_is_short_and_has_any_ids():
    episode, source = draw("train", tasks=200, train_shots=2)
    assert episode.support.size == 4 * 2
    y = episode.support.y
    assert torch.equal(y[:, ::2], y[:, 1::2])
    counts = y[:, ::2].flatten().bincount(minlength=20)
    # 800 ids of 20, each 40 times.
    assert ((counts - 40).abs() < 4 * 40**0.5).all()
    assert (episode.ways == source.spec.outputs).all()


def test_labels_are_the_pools_own_ids():
    episode, source = draw("train")
    pool = source._short.resident("train").images / 255
    for part in (episode.support, episode.query):
        of = episode.labels.gather(1, part.y)
        known = (pool[of] == part.x[:, :, None]).flatten(3).all(-1).any(-1)
        assert known.all()
    assert ((episode.labels >= 0).sum(1) == 4).all()


def test_what_to_remember_is_of_the_whole_pool_with_its_own_ids():
    episode, source = draw("train")
    pool = source._short.resident("train").images / 255
    assert episode.remember.x.shape == (3, 300, 1, 10, 10)
    assert (pool[episode.remember.y] == episode.remember.x[:, :, None]).flatten(3).all(-1).any(-1).all()
    assert len(episode.remember.y.unique()) > 190
    assert draw("train", remember=0)[0].remember is None
    assert draw("valid")[0].remember is None


def test_the_splits_share_no_character():
    drawn = [draw(split, tasks=20)[0].support.x.flatten(0, 1).flatten(1) for split in ("train", "valid", "test")]
    for left, right in ((0, 1), (0, 2), (1, 2)):
        assert not (drawn[left][:, None] == drawn[right][::15]).all(-1).any()


def test_an_episode_is_sliced_and_moved_with_what_it_remembers():
    episode, _ = draw("train")
    assert episode[1:2].remember.tasks == 1
    assert episode.to(torch.float64).remember.x.dtype == torch.float64
    with pytest.raises(ShapeError, match="remember: expected T = 3 tasks as in support, got 1"):
        Episode(episode.support, episode.query, remember=Examples(torch.zeros(1, 2, 1, 10, 10)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"characters": "runes"}, "characters: expected one of omniglot, glyphs, strokes; got 'runes'"),
        ({"train_ways": 30}, "train_ways: expected at most the 20 ways of a test sequence, got 30"),
        ({"remember": -1}, "remember: expected 0 or more, got -1"),
        ({"shots": 0}, "shots: expected a positive number, got 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, sentence):
    with pytest.raises(DataError, match=sentence):
        ClassIncremental(**({"characters": "strokes", "ways": 20} | settings))
    with pytest.raises(DataError, match="ways: the test split has 100 classes, too few for tasks of 101"):
        draw("test", ways=101)


@pytest.mark.skipif(
    data.find("omniglot", "images_background.npz", "images_background.zip") is None, reason="no Omniglot"
)
def test_omniglot_has_600_new_characters():
    source = ClassIncremental(train_ways=2, remember=3)
    assert (source.spec.pool, source.spec.outputs) == (963, 600)
    episode = source.sample(1, torch.Generator().manual_seed(0), "test")
    assert episode.support.x.shape == (1, 9000, 1, 28, 28)
    assert len(episode.labels.unique()) == 600
    assert len(source._short.resident("valid").images) == 59
