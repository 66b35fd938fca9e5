"""Roaming streams: the statistics of the protocol, and what each step is asked."""

import pytest
import torch

from metaprior import data
from metaprior.errors import DataError
from metaprior.metrics import presentations
from metaprior.tasks import Roaming, Streams


def draw(source, tasks=40, seed=0, split="train"):
    return source.sample(tasks, torch.Generator().manual_seed(seed), split)


STREAM = draw(Roaming("strokes", steps=60, classes=20, contexts=5))


def test_classes_are_numbered_as_they_appear():
    y, real = STREAM.examples.y, STREAM.examples.real
    highest = y.cummax(1).values
    assert (y[:, 0] == 0).all()
    assert ((highest[:, 1:] - highest[:, :-1])[real[:, 1:]] <= 1).all()
    assert int(y.max()) < 20


def test_no_class_comes_more_often_than_allowed():
    assert int(presentations(STREAM.examples.y, STREAM.examples.mask).max()) == 6


def test_the_first_sight_of_a_class_is_asked_as_unknown():
    asked, y = STREAM.asked.y, STREAM.examples.y
    first = presentations(y, STREAM.examples.mask) == 1
    assert STREAM.unknown == 20
    assert (asked[first] == 20).all()
    assert torch.equal(asked[~first], y[~first])


def test_contexts_change_as_often_as_they_should():
    # One step in five draws a context, and one draw in five is the same again; empty contexts are left at once.
    stream = draw(Roaming("strokes", steps=150, classes=50, discount=0.0, strength=0.5), tasks=60)
    early = stream.shifts[:, 1:40].float().mean()
    assert early.item() == pytest.approx(0.2 * 0.8, abs=0.02)


def test_a_class_stays_in_its_context():
    stream = draw(Roaming("strokes", steps=60, classes=20, contexts=5, switch=0.0))
    # Without switches a context ends only when it is used up, so that none of its classes comes back.
    for y, shifts, real in zip(stream.examples.y, stream.shifts, stream.examples.real, strict=True):
        parts = (shifts.cumsum(0) * real)[real]
        owners = {}
        for label, part in zip(y[real].tolist(), parts.tolist(), strict=True):
            assert owners.setdefault(label, part) == part


def test_no_image_comes_twice_and_a_box_hides_a_part():
    stream = draw(Roaming("strokes", steps=60, classes=20, occluders=False))
    for images, real in zip(stream.examples.x, stream.examples.real, strict=True):
        assert len(images[real].flatten(1).unique(dim=0)) == int(real.sum())
    hidden = (STREAM.examples.x == 0.5).flatten(2).sum(-1)
    assert (hidden >= 9).all()


def test_more_classes_come_with_more_discount():
    def count(discount):
        stream = draw(Roaming("strokes", steps=100, classes=50, discount=discount), tasks=20)
        return stream.examples.y.amax(1).float().mean()

    assert count(0.6) > count(0.0) + 5


def test_streams_can_be_shorter_and_labels_late():
    late = draw(Streams(Roaming("strokes", steps=60, classes=20), delay=3, steps=40))
    assert (late.delay, late.steps, late.unknown, late.shifts.shape) == (3, 40, 20, (40, 40))


def test_the_spec_counts_the_unknown():
    spec = Roaming("strokes").spec
    assert (spec.outputs, spec.unknown, spec.x_shape) == (51, True, (1, 10, 10))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"characters": "runes"}, "characters: expected one of omniglot, glyphs, strokes; got 'runes'"),
        ({"classes": 52}, "classes, steps: expected multiples of the 5 contexts"),
        ({"switch": 2.0}, "discount, strength, switch: expected"),
        ({"discount": 1.0}, "discount, strength, switch: expected"),
        ({"steps": 0}, "steps: expected a positive number, got 0"),
    ],
)
def test_what_cannot_be_is_refused(settings, sentence):
    with pytest.raises(DataError, match=sentence):
        Roaming(**({"characters": "strokes"} | settings))


def test_too_few_characters_or_images_are_refused():
    with pytest.raises(DataError, match="classes: expected at most 50, as many as there are, got 100"):
        draw(Roaming("strokes", classes=100, steps=100), tasks=1, split="valid")
    with pytest.raises(DataError, match="most: expected at most the 20 images of a character, got 30"):
        draw(Roaming("strokes", classes=20, most=30), tasks=1)


@pytest.mark.skipif(
    data.find("omniglot", "images_background.npz", "images_background.zip") is None, reason="no Omniglot"
)
def test_omniglot_gives_contexts_characters_of_the_same_alphabets():
    source = Roaming()
    pool = source._source.resident("train")
    chosen = source._characters(pool, torch.Generator().manual_seed(0))
    assert chosen.shape == (5, 10)
    assert all(len(column.unique()) == 1 for column in pool.groups[chosen].T)
    assert draw(source, tasks=2).examples.x.shape == (2, 150, 1, 28, 28)
