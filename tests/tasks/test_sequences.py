"""Sequences of tasks: every digit once, every permutation a permutation."""

import pytest
import torch
from sklearn.datasets import load_digits

from metaprior.errors import DataError
from metaprior.tasks.sequences import permuted_glyphs, split_digits


def test_every_digit_is_in_one_task():
    episodes, digits = split_digits(), load_digits().data
    images = torch.cat([torch.cat([episode.support.x, episode.query.x], dim=1)[0] for episode in episodes])
    assert sorted(map(tuple, (images * 16).tolist())) == sorted(map(tuple, digits.tolist()))
    assert all(
        set(part.y.flatten().tolist()) == {0, 1} for episode in episodes for part in (episode.support, episode.query)
    )


def test_no_image_is_both_learned_and_asked():
    for episode in split_digits():
        learned = {tuple(image) for image in episode.support.x[0].tolist()}
        assert not learned & {tuple(image) for image in episode.query.x[0].tolist()}


def test_tasks_are_one_in_pixels_put_differently():
    first, second, third = permuted_glyphs(tasks=3, classes=4, shots=5, seed=1)
    assert first.query.x.shape == (1, 60, 784)
    assert torch.equal(first.query.y, third.query.y)
    assert torch.equal(first.support.x.sort(-1).values, second.support.x.sort(-1).values)
    assert not torch.equal(second.support.x, third.support.x)
    # One order for all images of a task: pixels that were equal in every image still are.
    columns = {tuple(column) for column in first.support.x[0].T.tolist()}
    assert columns == {tuple(column) for column in second.support.x[0].T.tolist()}


def test_more_shots_than_images_are_refused():
    with pytest.raises(DataError, match="shots: expected at most 19"):
        permuted_glyphs(shots=20)
    with pytest.raises(DataError, match="tasks: expected a positive number"):
        permuted_glyphs(tasks=0)
