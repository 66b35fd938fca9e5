"""Glyphs: enough characters in enough faces, none alike, none blank, and test scripts that are never seen."""

import sys
import unicodedata

import pytest
import torch

from metaprior import data
from metaprior.errors import DataError, MetapriorError
from metaprior.registry import build, describe
from metaprior.tasks import Glyphs, glyphs

pytest.importorskip("PIL", reason="needs the extra 'vision'")
pytest.importorskip("matplotlib", reason="needs the extra 'vision'")


@pytest.fixture(scope="module")
def pools():
    """The three splits."""
    return {split: Glyphs().pool(split) for split in ("train", "valid", "test")}


@pytest.fixture(scope="module")
def faces():
    """The faces and what each has."""
    return glyphs._faces()


def test_a_thousand_characters_in_eight_faces(pools, faces):
    assert len(faces) == 12
    names = [name for pool in pools.values() for name in pool.names]
    assert len(names) == len(set(names)) > 1700
    codes = [ord(unicodedata.lookup(name)) for name in names]
    having = torch.tensor([[code in covered for _, covered in faces] for code in codes])
    assert (having.sum(1) >= 8).all()
    assigned = glyphs._assign(having, torch.Generator().manual_seed(0))
    assert having.gather(1, assigned).all(), "no image is of a face that lacks the character"
    assert min(len(row.unique()) for row in assigned) >= 8
    assert max(int(row.bincount().max()) for row in assigned) <= 3, "faces take turns"


def test_images(pools):
    for pool in pools.values():
        assert pool.images.shape[1:] == (20, 1, 28, 28)
        assert pool.images.dtype == torch.uint8
        assert (pool.counts == 20).all()
        assert (pool.images.amax((-2, -1)) > 80).all(), "no image is blank"
        edge = torch.cat([pool.images[..., 0, :], pool.images[..., -1, :]], -1).float()
        assert edge.mean() < 5, "ink is light on a dark ground, and away from the edge"
        assert len({bytes(image) for image in pool.images.flatten(0, 1).numpy()}) == pool.images.shape[0] * 20


def test_splits_are_by_script(pools):
    scripts = {split: {name.split()[0] for name in pool.names} for split, pool in pools.items()}
    assert scripts["valid"] == {"CYRILLIC"}
    assert scripts["test"] == {"ARMENIAN", "GEORGIAN", "LAO"}
    assert not scripts["train"] & (scripts["valid"] | scripts["test"])
    assert {"LATIN", "GREEK", "BRAILLE", "BOX", "DIGIT"} <= scripts["train"]
    assert all(len(pool.names) >= least for pool, least in zip(pools.values(), (1400, 80, 180), strict=True))
    for pool in pools.values():
        assert len(pool.groups) == len(pool.names)
    of_script = {
        name.split()[0]: int(group) for name, group in zip(pools["test"].names, pools["test"].groups, strict=True)
    }
    assert len(set(of_script.values())) == 3


@pytest.mark.parametrize(
    ("kept", "dropped"),
    [
        ("LATIN CAPITAL LETTER A", "GREEK CAPITAL LETTER ALPHA"),
        ("LATIN CAPITAL LETTER A", "CYRILLIC CAPITAL LETTER A"),
        ("LATIN CAPITAL LETTER S", "LATIN SMALL LETTER S"),
        ("LATIN CAPITAL LETTER O", "ARMENIAN CAPITAL LETTER OH"),
        ("LATIN SMALL LETTER N", "ARMENIAN SMALL LETTER VO"),
        ("DIGIT TWO", "SUPERSCRIPT TWO"),
    ],
)
def test_characters_that_look_alike_are_in_one_split_at_most(pools, kept, dropped):
    names = {name for pool in pools.values() for name in pool.names}
    assert dropped not in names
    assert kept in names or kept == "LATIN CAPITAL LETTER O", "an O looks like the zero before it"


def test_no_blank_or_lone_accent(pools):
    names = {name for pool in pools.values() for name in pool.names}
    assert "BRAILLE PATTERN BLANK" not in names
    assert "OBJECT REPLACEMENT CHARACTER" not in names
    assert "CEDILLA" not in names
    assert "MODIFIER LETTER SMALL H" not in names


def test_braille_is_told_apart_by_the_place_of_its_dots(pools):
    """Each of the eight patterns of one dot is a class, and its ink lies where the dot does."""
    pool = pools["train"]
    means = [pool.images[pool.names.index(f"BRAILLE PATTERN DOTS-{dot}")].float().mean((0, 1)) for dot in range(1, 9)]
    line = torch.arange(28.0)
    across = [float((mean.sum(0) * line).sum() / mean.sum()) for mean in means]
    down = [float((mean.sum(1) * line).sum() / mean.sum()) for mean in means]
    assert max(across[index] for index in (0, 1, 2, 6)) < min(across[index] for index in (3, 4, 5, 7)) - 3
    assert down[0] < down[1] - 3 < down[2] - 6 < down[6] - 9


def test_tasks_within_a_script(pools):
    source = Glyphs(ways=20, queries=1, within=True)
    for split, count in (("test", 3), ("train", 8)):
        groups = pools[split].groups
        episode = source.sample(60, torch.Generator().manual_seed(0), split)
        owners = groups[episode.labels]
        assert (owners == owners[:, :1]).all()
        assert len(owners.unique()) >= count


def test_a_class_is_recognised_by_its_pixels_more_often_than_by_chance():
    episode = Glyphs(queries=5).sample(100, torch.Generator().manual_seed(0), "test")
    support, query = (
        torch.nn.functional.normalize(part.x.flatten(2), dim=2) for part in (episode.support, episode.query)
    )
    hits = (torch.cdist(query, support).argmin(-1) == episode.query.y).float().mean()
    assert 0.4 < hits < 0.8, "above chance (0.2), and there is something left to learn"


def test_another_size_has_the_same_classes_and_bends(pools):
    stored = data.cached("glyphs-28-v1", lambda: pytest.fail("rendered twice"))
    small = glyphs._render(14)
    assert small["images"].shape[1:] == (20, 1, 14, 14)
    for part in ("codes", "groups", "splits"):
        assert torch.equal(small[part], stored[part]), "the classes do not depend on the size"
    shrunk = stored["images"].float().view(-1, 14, 2, 14, 2).mean((2, 4))
    close = torch.nn.functional.cosine_similarity(small["images"].float().flatten(2), shrunk.view(-1, 20, 196), dim=2)
    assert close.mean() > 0.9, "nor do the bends"


def test_a_source_renders_nothing_before_it_is_used(monkeypatch):
    monkeypatch.setattr(glyphs, "_render", lambda size: pytest.fail("renders"))
    source = Glyphs(ways=3, within=True, size=29)
    assert source.inputs == {"kind": "images", "channels": 1, "height": 29, "width": 29, "dark_on_light": True}
    assert build(describe(source)).size == 29


def test_a_size_that_holds_no_character_is_refused():
    with pytest.raises(DataError, match="size: expected at least 8 pixels, got 0"):
        Glyphs(size=0).sample(1, torch.Generator())


def test_test_sets():
    source = Glyphs(ways=5, shots=1)
    assert source.test_set(20, seed=0).hash == Glyphs(ways=5, shots=1).test_set(20, seed=0).hash
    assert source.test_set(20, seed=0).hash != source.test_set(20, seed=1).hash
    assert source.spec.x_shape == (1, 28, 28)
    assert source.spec.pool > 1400


@pytest.mark.parametrize("package", ["matplotlib", "fontTools.ttLib", "PIL"])
def test_a_missing_package_is_answered_by_the_command_that_installs_it(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MetapriorError, match=r'rendering glyphs needs .* pip install "metaprior\[vision\]"'):
        glyphs._render(8)
