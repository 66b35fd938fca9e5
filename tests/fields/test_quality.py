import pytest
import torch

from metaprior.errors import ShapeError
from metaprior.fields import psnr, ssim

pytest.importorskip("skimage")


def test_equal_pictures_are_best():
    pictures = torch.rand(2, 16, 16, 3)
    assert psnr(pictures, pictures).tolist() == [100.0, 100.0]
    assert ssim(pictures, pictures).tolist() == pytest.approx([1.0, 1.0])


def test_pictures_too_small_for_structure_are_refused():
    with pytest.raises(ShapeError, match="truth: expected pictures of at least 11 x 11 pixels, got 12 x 8"):
        ssim(torch.zeros(1, 8, 12, 3), torch.zeros(1, 8, 12, 3))


def test_quality_falls_with_noise_view_by_view():
    truth = torch.rand(1, 16, 16, 3).expand(3, -1, -1, -1)
    noise = torch.randn(16, 16, 3)
    pictures = torch.stack([truth[0] + size * noise for size in (0.01, 0.1, 0.3)])
    assert psnr(pictures, truth)[0].item() == pytest.approx(40, abs=0.5)
    for measure in (psnr, ssim):
        values = measure(pictures, truth)
        assert (values.diff() < 0).all()
