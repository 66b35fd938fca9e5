"""Sampling of classes and images: shapes, masks, disjointness, seeds, fixed test sets, and what is refused."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.registry import arguments
from metaprior.tasks import ClassPool, ClassSource, Episode, Linear, Sinusoid
from metaprior.tasks.source import seeded

SIZES = {"train": (4, 3), "valid": (3, 2), "test": (4, 5)}  # groups, classes of each


class Numbered(ClassSource):
    """Images of two pixels: the number of the class (over all splits), and the number of the image in it."""

    def __init__(self, ways=3, shots=2, queries=3, within=False, least=8, most=8):
        self.ways = ways
        self.shots = shots
        self.queries = queries
        self.within = within
        self.least = least
        self.most = most

    def pool(self, split):
        groups, each = SIZES[split]
        first = sum(a * b for name, (a, b) in SIZES.items() if list(SIZES).index(name) < list(SIZES).index(split))
        number = torch.arange(groups * each)
        images = torch.stack(
            [(first + number)[:, None].expand(-1, self.most), torch.arange(self.most).expand(len(number), -1)], dim=-1
        )
        counts = self.least + number % (self.most - self.least + 1)
        names = tuple(f"class{first + index}" for index in range(len(number)))
        return ClassPool(images[:, :, None, :, None].to(torch.uint8), counts, number // each, names)


def draw(source, tasks=5, seed=0, split="train") -> Episode:
    return source.sample(tasks, torch.Generator().manual_seed(seed), split)


def pixels(examples):
    """The class and the image number of each example, (T, N)."""
    values = (examples.x * 255).round().long()
    return values[:, :, 0, 0, 0], values[:, :, 0, 1, 0]


def bounds(most):
    return st.tuples(st.integers(1, most), st.integers(1, most)).map(sorted).map(tuple)


@st.composite
def sources(draw):
    least = draw(st.integers(5, 8))
    return Numbered(
        ways=draw(st.one_of(st.integers(1, 3), bounds(3))),
        shots=draw(st.one_of(st.integers(1, 4), bounds(4))),
        queries=draw(st.integers(1, 6)),
        within=draw(st.booleans()),
        least=least,
        most=draw(st.integers(least, 9)),
    )


@settings(max_examples=60, deadline=None)
@given(sources(), st.integers(1, 6), st.integers(0, 2**31), st.sampled_from(["train", "test"]))
def test_every_episode_is_well_formed(source, tasks, seed, split):
    episode = draw(source, tasks, seed, split)
    pool = source.pool(split)
    (least_ways, ways), (least_shots, shots) = (
        (value, value) if isinstance(value, int) else value for value in (source.ways, source.shots)
    )
    queries = min(shots + source.queries, source.most) - shots

    assert episode.support.x.shape == (tasks, ways * shots, 1, 2, 1)
    assert episode.query.x.shape == (tasks, ways * queries, 1, 2, 1)
    assert episode.support.x.dtype == torch.float32
    assert episode.support.y.shape == episode.support.x.shape[:2]
    assert ((least_ways <= episode.ways) & (episode.ways <= ways)).all()
    assert episode.labels.shape == (tasks, ways)

    offset = int(pool.names[0].removeprefix("class"))
    for task in range(tasks):
        part, real = episode[task : task + 1], int(episode.ways[task])
        labels = part.labels[0]
        assert (labels[:real] >= 0).all()
        assert (labels[real:] == -1).all()
        assert len(set(labels[:real].tolist())) == real, "classes are drawn without replacement"
        if source.within:
            assert len(set(pool.groups[labels[:real]].tolist())) == 1
        used = set()
        for examples, expected in ((part.support, None), (part.query, queries)):
            mask, (number, image) = examples.real[0], pixels(examples)
            y = examples.y[0][mask]
            assert (y < real).all()
            assert torch.equal(number[0][mask], labels[y] + offset), "the label is the position of the class"
            for way in range(real):
                found = int((y == way).sum())
                if expected is None:
                    assert least_shots <= found <= shots
                else:
                    assert found == min(expected, int(pool.counts[labels[way]]) - shots)
            assert (image[0][mask] < pool.counts[labels[y]]).all(), "no padding is taken for an image"
            pairs = set(zip(number[0][mask].tolist(), image[0][mask].tolist(), strict=True))
            assert len(pairs) == int(mask.sum()), "images are drawn without replacement"
            assert not pairs & used, "no query is in the support"
            used |= pairs


def test_no_mask_where_nothing_is_padding():
    episode = draw(Numbered())
    assert episode.support.mask is None
    assert episode.query.mask is None


def test_a_range_is_drawn_to_both_its_ends():
    episode = draw(Numbered(ways=(2, 3), shots=(1, 3)), tasks=200)
    assert set(episode.ways.tolist()) == {2, 3}
    each = episode.support.real.sum(1) // episode.ways
    assert set(each.tolist()) == {1, 2, 3}


def test_every_class_and_image_is_drawn():
    number, image = pixels(draw(Numbered(), tasks=300).query)
    assert set(number.flatten().tolist()) == set(range(12))
    assert set(image.flatten().tolist()) == set(range(8))


def test_within_draws_every_group_that_is_large_enough():
    episode = draw(Numbered(within=True, ways=5), tasks=200, split="test")
    assert set((episode.labels // 5).flatten().tolist()) == {0, 1, 2, 3}
    assert (episode.labels // 5 == episode.labels[:, :1] // 5).all()


def test_splits_share_no_class():
    drawn = [set(pixels(draw(Numbered(), 200, split=split).query)[0].flatten().tolist()) for split in SIZES]
    assert not drawn[0] & drawn[1]
    assert not drawn[0] & drawn[2]
    assert not drawn[1] & drawn[2]


def test_a_seed_fixes_the_tasks_and_another_gives_others():
    first, again, other = (draw(Numbered(ways=(2, 3)), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.support.x, again.support.x)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.support.x, other.support.x)


def test_no_global_generator_is_read_or_set():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    draw(Numbered(within=True, ways=(1, 3)))
    Sinusoid().test_set(4)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


def test_a_test_set_is_fixed_by_its_seed_and_known_by_its_hash():
    source = Numbered()
    test = source.test_set(7, seed=3, batch=3)
    assert test.tasks == 7
    assert [episode.tasks for episode in test.episodes] == [3, 3, 1]
    assert len(test.hash) == 16
    assert test.hash == Numbered().test_set(7, seed=3, batch=3).hash
    others = [
        source.test_set(7, seed=4, batch=3),
        source.test_set(6, seed=3, batch=3),
        source.test_set(7, 3, "valid", 3),
    ]
    others += [Numbered(shots=1).test_set(7, seed=3, batch=3)]
    assert len({test.hash, *(other.hash for other in others)}) == 5


def test_the_hash_of_a_known_test_set_never_changes():
    assert Numbered().test_set(20, seed=0).hash == "6a0200150d2dc44a"


def test_the_data_hash_changes_with_the_data():
    assert Numbered().data_hash == Numbered().data_hash
    assert Numbered().data_hash != Numbered(most=9).data_hash


def test_the_specification():
    spec = Numbered(ways=(2, 3)).spec
    assert (spec.kind, spec.x_shape, spec.outputs, spec.pool) == ("classification", (1, 2, 1), 3, 12)
    assert spec.is_image


def test_with_shots_changes_the_shots_alone():
    source = Numbered(ways=2, within=True)
    assert arguments(source.with_shots(4)) == arguments(source) | {"shots": 4}
    assert draw(source.with_shots(4)).support.size == 8


def test_the_pool_of_a_split_is_made_once():
    calls = []

    class Counted(Numbered):
        def pool(self, split):
            calls.append(split)
            return super().pool(split)

    source = Counted()
    assert calls == [], "constructing reads nothing"
    for _ in range(3):
        draw(source)
        draw(source, split="test")
    assert calls == ["train", "test"]


@pytest.mark.parametrize(
    ("changes", "split", "message"),
    [
        ({"ways": 13}, "train", "ways: the train split has 12 classes, too few for tasks of 13"),
        ({"ways": (2, 7)}, "valid", "ways: the valid split has 6 classes, too few for tasks of 7"),
        ({"ways": 4, "within": True}, "train", "ways: the largest group of the train split has 3 classes"),
        (
            {"shots": 8},
            "train",
            "shots: class 'class0' of the train split has 8 images; 8 shots and at least one query",
        ),
        (
            {"shots": (1, 6), "least": 6},
            "test",
            "of the test split has 6 images; 6 shots and at least one query need 7",
        ),
        ({"ways": 0}, "train", r"ways: expected a positive number, or the least and most of it; got 0"),
        ({"shots": (3, 2)}, "train", r"shots: expected .* got \(3, 2\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, split, message):
    with pytest.raises(DataError, match=message):
        draw(Numbered(**changes), split=split)


def test_within_needs_groups():
    class Flat(Numbered):
        def pool(self, split):
            pool = super().pool(split)
            return ClassPool(pool.images, pool.counts, None, pool.names)

    assert draw(Flat()).tasks == 5
    with pytest.raises(DataError, match="largest group of the train split has 0 classes"):
        draw(Flat(within=True))


@pytest.mark.parametrize("source", [Sinusoid(), Linear()])
def test_the_splits_of_unlimited_tasks_are_drawn_apart(source):
    """From one generator, training would begin with the very tasks of the test."""
    drawn = [source.sample(20, seeded(0, split), split).query.y for split in ("train", "valid", "test")]
    assert torch.equal(drawn[2], source.test_set(20, seed=0).episodes[0].query.y)
    assert not any(torch.equal(drawn[one], drawn[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
    assert not torch.equal(source.test_set(20, seed=1, split="valid").episodes[0].query.y, drawn[0])
