import pytest
import torch

from metaprior.errors import DataError, UnknownNameError
from metaprior.fields import AnalyticScene, Field, HyperFieldNet, HyperFields, Rays, Scenes, save_field
from metaprior.fields.field import STEP
from metaprior.fields.scenes import every, held_out
from metaprior.fields.text import words_of


def scenes(**more):
    return Scenes(
        **{"shapes": 2, "colours": 3, "held_out": 1, "size": 8, "views": 5, "shots": 4, "queries": 50, "text": "words"}
        | more
    )


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


def test_depth_is_told_of_training_rays():
    source = scenes(depth=True)
    episode = source.sample(3, torch.Generator().manual_seed(0))
    assert episode.about["depth"].shape == (3, 50)
    for task in range(3):
        rays = Rays(episode.query.x[task, :, :3], episode.query.x[task, :, 3:])
        traced = [AnalyticScene(prompt).trace(rays).depth for prompt in source.prompts()]
        assert min((episode.about["depth"][task] - depth).abs().max() for depth in traced) < 1e-4
    assert "depth" not in source.sample(3, torch.Generator().manual_seed(0), "test").about
    assert "depth" not in scenes().sample(3, torch.Generator().manual_seed(0)).about


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
    # A picture of each scene that was drawn, and of no other.
    assert 1 <= len(list(tmp_path.glob("scene-*.safetensors"))) <= 6


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
    named = scenes(scenes=source.scenes, unseen=("a blue box", "a shiny red torus"))
    assert named.prompts("test") == ["a glossy red torus", "a blue box"]
    assert named.prompts() == ["a green ball", "a pink star"]


def test_fields_and_posed_pictures_teach_too(tmp_path, blender):
    field = Field(width=8, hidden=1)
    save_field(
        tmp_path / "field.safetensors", field, field.initial(1, torch.Generator().manual_seed(0)), prompt="a fog"
    )
    posed = blender(AnalyticScene("a blue box"), tmp_path / "toy-box", size=20)
    source = scenes(scenes=(str(tmp_path), str(posed), "a red ball"), held_out=0)
    assert source.prompts() == ["a fog", "a toy box", "a red ball"]
    assert source.pictures("a toy box").colour.shape == (1, 8, 8, 3)
    episode = source.sample(6, torch.Generator().manual_seed(0))
    assert episode.query.x.shape == (6, 50, 6)
    prior = HyperFields(HyperFieldNet(64, cells=6, width=8, hidden=1), "words", samples=8)
    assert torch.isfinite(prior.loss(episode))
    assert prior.preview(source).picture.startswith(b"\x89PNG")
    with pytest.raises(DataError, match=r"points are known of prompts and fields alone; '.*toy-box' has pictures"):
        scenes(scenes=source.scenes, held_out=0, teaches="points").sample(1, torch.Generator())
    with pytest.raises(DataError, match=r"depth: '.*toy-box' has pictures, which do not know it"):
        scenes(scenes=source.scenes, held_out=0, depth=True).sample(9, torch.Generator())


def test_fields_teach_depth_and_points(tmp_path):
    field = Field(width=8, hidden=1)
    save_field(
        tmp_path / "field.safetensors", field, field.initial(1, torch.Generator().manual_seed(0)), prompt="a fog"
    )
    settings = {"scenes": (str(tmp_path), "a red ball"), "held_out": 0}
    assert scenes(**settings, depth=True).sample(2, torch.Generator()).about["depth"].shape == (2, 50)
    assert scenes(**settings, teaches="points").sample(2, torch.Generator()).query.x.shape == (2, 50, 6)


def test_a_field_that_was_fitted_again_is_drawn_again(tmp_path):
    field = Field(width=8, hidden=1)
    seen = []
    for seed in (0, 1):
        weights = field.initial(1, torch.Generator().manual_seed(seed))
        save_field(tmp_path / "field.safetensors", field, weights, prompt="a fog")
        seen.append(scenes(scenes=(str(tmp_path),), held_out=0).pictures("a fog").colour)
    assert not torch.equal(*seen)


def test_points_are_those_of_the_scenes():
    source = scenes(teaches="points", queries=2000)
    episode = source.sample(2, torch.Generator().manual_seed(0))
    assert episode.about["points"].tolist() == [True, True]
    assert "points" not in source.sample(1, torch.Generator(), "valid").about
    for task in range(2):
        place = next(
            place
            for place, tokens in enumerate(source._text.tokens)
            if torch.equal(tokens, episode.about["tokens"][task])
        )
        scene = AnalyticScene(source._prompts[place])
        points, y = episode.query.x[task, :, :3], episode.query.y[task]
        distance = scene.distances(points).amin(-1)
        sure = distance.abs() > 0.04
        assert torch.equal(y[sure, 3] > 0.5, distance[sure] < 0)
        assert (distance.abs() < 0.1).float().mean() > 0.4  # most are near surfaces
        assert (y[:, :3] <= y[:, 3:] + 1e-3).all()


def test_points_of_shining_things_have_directions():
    scene = AnalyticScene("an iridescent red ball")
    points, steps, seen = scene.sample(500, torch.Generator().manual_seed(0))
    distance = scene.distances(points)[:, 0]
    assert ((steps * points).sum(-1) <= 1e-5).all()  # from outside
    torch.testing.assert_close(steps.norm(dim=-1), distance.clamp(min=STEP))
    shell = (distance.abs() < 0.02).nonzero()[:, 0]
    directions = torch.nn.functional.normalize(steps[shell], dim=-1)
    thing = torch.zeros(len(shell), dtype=torch.int64)
    colour = scene.radiance(points[shell], scene.normals(points[shell]), directions, thing)
    torch.testing.assert_close(seen[shell, :3], colour * seen[shell, 3:])


def test_prompts_drawn_from_the_grammar():
    source = scenes(shapes=4, materials=2, drawn=30, held_out=1)
    train, test = source.prompts(), source.prompts("test")
    assert (len(train), len(test)) == (27, 3)
    assert not {*train} & {*test}
    assert any(" on " in prompt or " of " in prompt for prompt in train)
    assert all(len(AnalyticScene(prompt).description.things) <= 2 for prompt in train)
    assert scenes(shapes=4, materials=2, drawn=30, held_out=1).prompts() == train
    assert source.sample(2, torch.Generator(), "test").tasks == 2


@pytest.mark.parametrize(
    "settings", [{}, {"drawn": 300, "materials": 5}, {"drawn": 170, "things": 1, "shapes": 15, "colours": 12}]
)
def test_its_words_are_those_of_its_prompts(settings):
    source = Scenes(**{"shapes": 2, "colours": 3, "held_out": 1} | settings)
    said = {word for prompt in source.prompts() for word in words_of(prompt)}
    assert source.words - said <= {"an"}
    assert said <= source.words


def test_pictures_of_a_prompt():
    source = scenes()
    view = source.pictures("a red ball")
    exact = AnalyticScene("a red ball").views(view.cameras)
    assert (view.colour - exact.colour).abs().max() < 0.01
    with pytest.raises(UnknownNameError, match="unknown prompt 'a blue torus'"):
        source.pictures("a blue torus")


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"shapes": 99}, "shapes: expected 1 to 15, got 99"),
        ({"held_out": 3}, "held_out: expected 0 to 2"),
        ({"drawn": 99, "shapes": 1, "colours": 1, "held_out": 0, "things": 1}, "drawn: expected at most"),
        ({"views": 4}, "views: expected at least 5"),
        ({"size": 0}, "size: expected a positive number"),
        ({"scenes": ("a red torsu",)}, "did you mean 'torus'"),
        ({"depth": True, "teaches": "points"}, "depth: expected scenes that teach by pictures"),
        ({"scenes": ("a shiny red ball", "a glossy red ball")}, "are both called 'a glossy red ball'"),
        ({"unseen": ("a red ball",)}, "unseen: expected scenes to hold these out of"),
        ({"scenes": ("a red ball",), "unseen": ("a red ball",)}, "expected fewer than all 1 scenes, got 1"),
    ],
)
def test_wrong_settings(settings, error):
    with pytest.raises(DataError, match=error):
        scenes(**settings).sample(1, torch.Generator())


def test_held_out_scenes_are_among_the_scenes():
    with pytest.raises(UnknownNameError, match="unknown scene of unseen 'a red bal': did you mean 'a red ball'"):
        scenes(scenes=("a red ball", "a blue box"), unseen=("a red bal",)).prompts()
