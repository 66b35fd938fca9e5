"""Where the noise is known exactly, going backwards draws from the distribution that it was added to."""

import torch

from metaprior.molecules.noise import centred, polynomial
from metaprior.molecules.reverse import reverse

MASK = torch.arange(4) < torch.tensor([4, 3])[:, None]


def test_one_molecule_is_found_again():
    """All data are one molecule, so that the noise is what is not it."""
    schedule = polynomial(50)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64), torch.rand(2, 4, 2, dtype=torch.float64)
    place = centred(data[0], MASK), data[1] * MASK[..., None]

    def known(x, h, mask, time):
        level = (time[0] * 50).round().long()
        signal, noise = schedule.signal(level), schedule.noise(level)
        return tuple((noised - signal * clean) / noise for noised, clean in zip((x, h), place, strict=True))

    for steps in (None, 7):
        found = reverse(known, schedule, MASK, 2, generator, steps, torch.float64)
        for one, other in zip(found, place, strict=True):
            assert torch.allclose(one, other, atol=1e-6)


def test_a_normal_distribution_is_drawn_with_its_spread():
    """Data of variance v have, at a level, noise of mean noise * noised / (signal² v + noise²)."""
    schedule, variance = polynomial(200), 4.0
    mask = torch.ones(3000, 2, dtype=torch.bool)

    def known(x, h, mask, time):
        level = (time[0] * 200).round().long()
        signal, noise = schedule.signal(level), schedule.noise(level)
        share = (noise / (signal.square() * variance + noise.square())).to(x)
        return share * x, share * h

    x, h = reverse(known, schedule, mask, 1, torch.Generator().manual_seed(0))
    assert abs(float(h.var()) / variance - 1) < 0.06
    # Of two atoms about their centre, half of the variance is left.
    assert abs(float(x.var()) / (variance / 2) - 1) < 0.06
    assert x.sum(1).abs().max() < 1e-4


def test_padding_stays_empty():
    def nothing(x, h, mask, time):
        return x, h

    x, h = reverse(nothing, polynomial(5), MASK, 2, torch.Generator().manual_seed(0))
    assert not x[~MASK].any()
    assert not h[~MASK].any()
