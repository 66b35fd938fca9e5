import pytest
import torch

from metaprior.errors import DataError
from metaprior.fields import AnalyticScene, Rays, Scenes
from metaprior.fields.scenes import every, held_out


def scenes(**more):
    return Scenes(**{"shapes": 2, "colours": 3, "held_out": 1, "size": 8, "views": 5, "shots": 4, "queries": 50} | more)


def test_targets_are_what_the_prompts_look_like():
    source = scenes(size=16)
    episode = source.sample(4, torch.Generator().manual_seed(0))
    for task in range(4):
        rays = Rays(episode.query.x[task, :, :3], episode.query.x[task, :, 3:])
        place = next(
            place
            for place, tokens in enumerate(source._text.tokens)
            if torch.equal(tokens, episode.about["tokens"][task])
        )
        seen = AnalyticScene(source._prompts[place]).trace(rays)
        # Pictures are means over pixels, so that edges differ.
        sure = (episode.query.y[task, :, 3] - seen.hit.float()).abs() < 0.01
        assert sure.float().mean() > 0.7
        assert (episode.query.y[task, :, :3] - seen.colour)[sure].abs().mean() < 0.03


def test_prompts_of_the_protocol():
    source = Scenes()
    seen, unseen = held_out()
    assert sorted(source.prompts("train")) == sorted(source.prompts("valid")) == sorted(seen)
    assert sorted(source.prompts("test")) == sorted(unseen)
    assert sorted(seen + unseen) == sorted(every())


def test_splits_have_other_views():
    source = scenes()
    directions = {}
    for split in ("train", "valid", "test"):
        x = source.sample(20, torch.Generator().manual_seed(0), split).query.x
        directions[split] = {tuple(row) for row in x.flatten(0, 1)[:, :3].tolist()}
    assert directions["valid"] == directions["test"]
    assert not directions["train"] & directions["test"]


def test_tasks_repeat_and_are_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("METAPRIOR_CACHE", str(tmp_path))
    assert scenes().test_set(3).hash == scenes().test_set(3).hash != scenes().test_set(3, seed=1).hash
    assert len(list(tmp_path.glob("scenes-*.safetensors"))) == 1


def test_scenes_of_ones_own():
    source = scenes(scenes=("a shiny red torus", "a blue box", "a green ball", "a pink star"), held_out=0)
    assert (
        source.prompts()
        == source.prompts("test")
        == [
            "a glossy red torus",
            "a blue box",
            "a green ball",
            "a pink star",
        ]
    )
    assert scenes(scenes=source.scenes, held_out=1).prompts("test") == ["a pink star"]
    assert source.sample(2, torch.Generator()).tasks == 2


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"shapes": 99}, "shapes: expected 1 to 15, got 99"),
        ({"held_out": 3}, "held_out: expected 0 to 2"),
        ({"views": 4}, "views: expected at least 5"),
        ({"size": 0}, "size: expected a positive number"),
        ({"scenes": ("a red torsu",)}, "did you mean 'torus'"),
    ],
)
def test_wrong_settings(settings, error):
    with pytest.raises(DataError, match=error):
        scenes(**settings).sample(1, torch.Generator())
