"""Spoilt supports: queries stay clean, spoils are as large as asked, and what cannot be spoilt is refused."""

import pytest
import torch

from metaprior.errors import DataError
from metaprior.tasks import Sinusoid
from metaprior.tasks.corrupted import Corrupted, _turned
from metaprior.testing import ToyTasks

IMAGES = ToyTasks("classification", (1, 16, 16), outputs=5, shots=5)


def draw(source, tasks=40):
    return source.sample(tasks, torch.Generator().manual_seed(0), "test")


@pytest.mark.parametrize("spoil", [{}, {"noise": 0.3}, {"wrong_labels": 0.2}, {"rotation": 30.0}], ids=str)
def test_only_the_supports_are_spoilt(spoil):
    clean, spoilt = draw(IMAGES), draw(Corrupted(IMAGES, **spoil))
    assert torch.equal(clean.query.x, spoilt.query.x)
    assert torch.equal(clean.query.y, spoilt.query.y)
    assert torch.equal(clean.support.x, spoilt.support.x) == ("noise" not in spoil and "rotation" not in spoil)
    assert torch.equal(clean.support.y, spoilt.support.y) == ("wrong_labels" not in spoil)


def test_later_tasks_are_those_of_the_source():
    clean, spoilt = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    IMAGES.sample(3, clean)
    Corrupted(IMAGES, noise=1.0).sample(3, spoilt)
    assert torch.equal(IMAGES.sample(3, clean).query.x, IMAGES.sample(3, spoilt).query.x)


def test_noise_has_the_spread_asked_for():
    clean, spoilt = draw(IMAGES), draw(Corrupted(IMAGES, noise=0.3))
    assert (spoilt.support.x - clean.support.x).std().item() == pytest.approx(0.3, rel=0.02)


def test_so_many_labels_are_wrong_and_all_are_classes_of_the_task():
    clean, spoilt = draw(IMAGES), draw(Corrupted(IMAGES, wrong_labels=0.4))
    wrong = spoilt.support.y != clean.support.y
    assert wrong.double().mean().item() == pytest.approx(0.4, abs=0.05)
    assert spoilt.support.y.min() >= 0
    assert (spoilt.support.y < clean.ways[:, None]).all()
    others = (spoilt.support.y - clean.support.y)[wrong] % 5
    assert set(others.tolist()) == {1, 2, 3, 4}


def test_everything_wrong_is_never_right():
    clean, spoilt = draw(IMAGES), draw(Corrupted(IMAGES, wrong_labels=1.0))
    assert (spoilt.support.y != clean.support.y).all()


def test_a_turn_moves_what_is_off_the_centre():
    clean, spoilt = draw(IMAGES), draw(Corrupted(IMAGES, rotation=90.0))
    middle = (slice(None), slice(None), 0, slice(7, 9), slice(7, 9))
    moved = (spoilt.support.x - clean.support.x).abs()
    assert moved[middle].mean() < moved.mean()
    tiny = draw(Corrupted(IMAGES, rotation=1e-4)).support.x
    torch.testing.assert_close(tiny, clean.support.x, rtol=0, atol=1e-3)


def test_a_turned_square_stays_a_square_in_an_oblong_image():
    image = torch.zeros(1, 1, 1, 20, 60)
    image[..., 5:15, 25:35] = 1
    turned = _turned(image, 90.0, torch.Generator().manual_seed(1))
    heights, widths = (turned[0, 0, 0] > 0.5).nonzero().T
    assert abs(int(heights.max() - heights.min()) - int(widths.max() - widths.min())) <= 2
    assert turned.sum().item() == pytest.approx(100, rel=0.1)


def test_what_cannot_be_spoilt_is_refused():
    with pytest.raises(DataError, match="wrong_labels: expected classification tasks, got Sinusoid"):
        Corrupted(Sinusoid(), wrong_labels=0.1)
    with pytest.raises(DataError, match=r"rotation: expected images, got inputs of shape \(1,\)"):
        Corrupted(Sinusoid(), rotation=10)
    with pytest.raises(DataError, match=r"and a probability for wrong_labels; got 0.0, 1.5"):
        Corrupted(IMAGES, wrong_labels=1.5)
