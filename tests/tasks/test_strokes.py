"""Strokes: the same characters every time, different ones in every split, alike within and unlike between."""

import pytest
import torch

from metaprior.errors import DataError
from metaprior.tasks import Strokes


def test_characters_are_the_same_every_time_and_others_in_every_split():
    pools = {split: Strokes().pool(split).images for split in ("train", "valid", "test")}
    assert {split: len(images) for split, images in pools.items()} == {"train": 20, "valid": 50, "test": 100}
    assert torch.equal(pools["test"], Strokes().pool("test").images)
    assert not torch.equal(pools["test"], Strokes(seed=1).pool("test").images)
    assert not torch.equal(pools["valid"][:20], pools["train"])


def test_images_of_a_character_are_alike():
    images = Strokes().pool("test").images.float().flatten(2)
    means = images.mean(1)
    within = (images - means[:, None]).square().mean()
    between = (means - means.mean(0)).square().mean()
    assert between > 3 * within > 0


def test_every_image_has_ink():
    images = Strokes().pool("train").images.float() / 255
    assert images.amax((2, 3, 4)).min() > 0.5
    assert images.mean() < 0.5


def test_sizes_are_checked():
    with pytest.raises(DataError, match="train_classes: expected a positive number, got 0"):
        Strokes(train_classes=0)
