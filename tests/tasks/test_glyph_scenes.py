"""Scenes of characters: the same every time, others in every split, and masks of what is to be found."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior import evaluate
from metaprior.controls import Scratch
from metaprior.errors import DataError
from metaprior.nets import UNet
from metaprior.registry import build, describe
from metaprior.tasks import Glyphs, GlyphScenes, Streams, glyph_scenes

pytest.importorskip("PIL", reason="needs the extra 'vision'")
pytest.importorskip("matplotlib", reason="needs the extra 'vision'")

CLEAN = {"size": 20, "clutter": 0, "noise": 0.0}


def draw(source, tasks=4, split="train", seed=0):
    return source.sample(tasks, torch.Generator().manual_seed(seed), split)


@settings(max_examples=10, deadline=None)
@given(
    ways=st.integers(1, 3),
    distractors=st.integers(0, 1),
    shots=st.integers(1, 3),
    clutter=st.integers(0, 2),
)
def test_shapes(ways, distractors, shots, clutter):
    source = GlyphScenes(shots, 2, ways, distractors, size=20, clutter=clutter)
    episode = draw(source, 2)
    assert episode.support.x.shape == (2, shots, *source.spec.x_shape)
    assert episode.query.y.shape == (2, 2, 20, 20)
    assert (episode.query.x >= 0).all()
    assert (episode.query.x <= 1).all()
    ids = torch.cat([episode.support.y, episode.query.y], 1)
    for task in range(2):
        for scene in ids[task]:
            assert scene.unique().tolist() == list(range(ways + 1)), "every character is in every scene"
    assert source.spec.outputs == ways + 1


def test_masks_lie_where_the_character_does():
    episode = draw(GlyphScenes(ways=1, distractors=0, **CLEAN), 8)
    ink = episode.support.x[:, :, 0] > glyph_scenes._INK
    assert (ink <= (episode.support.y == 1)).all(), "what is dark is of the one character"
    assert ((episode.support.y == 1) & (episode.support.x[:, :, 0] == 0)).sum() == 0


def test_others_are_in_the_scene_but_not_in_the_mask():
    episode = draw(GlyphScenes(ways=1, distractors=2, **CLEAN), 8)
    inside = episode.support.x[:, :, 0].where(episode.support.y == 1, 0).sum()
    assert 0.2 < inside / episode.support.x.sum() < 0.5


def test_characters_stand_elsewhere_each_time():
    y = draw(GlyphScenes(shots=80, **CLEAN), 1).support.y[0]
    rooms = y.unflatten(2, (2, 10)).unflatten(1, (2, 10)).amax((2, 4)).float().mean(0)
    assert rooms.sum() == 1
    assert rooms.min() > 0.1, "each of the four rooms is taken now and then"


def test_tasks_repeat_by_seed_and_splits_do_not_meet():
    source = GlyphScenes(**CLEAN)
    assert source.test_set(4, seed=1).hash == GlyphScenes(**CLEAN).test_set(4, seed=1).hash
    assert source.test_set(4, seed=1).hash != source.test_set(4, seed=2).hash
    drawn = {split: draw(source, 2, split).support.x for split in ("train", "valid", "test")}
    assert not torch.equal(drawn["train"], drawn["test"])
    names = {split: set(source._glyphs.resident(split).names) for split in drawn}
    assert not names["train"] & names["test"]
    assert not names["train"] & names["valid"]
    assert names["test"] == set(Glyphs().resident("test").names)


def test_noise_and_clutter_are_seen_but_not_labelled():
    source, spoilt = GlyphScenes(**CLEAN), GlyphScenes(size=20, clutter=3, noise=0.2)
    clean, noisy = draw(source).support, draw(spoilt).support
    assert (clean.x == 0).float().mean() > 0.5 > (noisy.x == 0).float().mean() + 0.05
    assert abs(clean.y.float().mean() - noisy.y.float().mean()) < 0.02


def test_streams_scores_and_descriptions():
    source = GlyphScenes(shots=4, **CLEAN)
    stream = Streams(source, delay=2).sample(3, torch.Generator().manual_seed(0))
    assert stream.examples.y.shape == (3, 4, 20, 20)
    assert build(describe(source)).test_set(2).hash == source.test_set(2).hash
    assert source.with_shots(2).shots == 2
    result = evaluate(Scratch(UNet(1, 2, (4, 8)), steps=1), source, episodes=3)
    assert result.metric == "iou"
    assert str(result).endswith("%")


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="glyph: expected 8 to 10 pixels, the room of each of 4 characters"):
        GlyphScenes(distractors=3, size=20, glyph=12)
    with pytest.raises(DataError, match="glyph: expected 8 to 5 pixels"):
        GlyphScenes(size=10)
    with pytest.raises(DataError, match="distractors, clutter, noise: expected 0 or more, got -1"):
        GlyphScenes(distractors=-1)
    with pytest.raises(DataError, match="ways: expected a positive number, got 0"):
        GlyphScenes(ways=0)
