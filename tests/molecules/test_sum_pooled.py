"""Fitting sums over atoms: what elements explain exactly, and what only the geometry tells."""

import pytest
import torch

from metaprior.errors import MetapriorError, ShapeError
from metaprior.molecules.conformer_net import ConformerNet
from metaprior.molecules.conformers import Conformers, stacked
from metaprior.molecules.sum_pooled import SumPooled, composition


def triples(count: int = 120, seed: int = 0) -> tuple[Conformers, torch.Tensor]:
    """Three atoms at random places, some of them two; the target is the mean distance."""
    generator = torch.Generator().manual_seed(seed)
    places = 1.5 * torch.randn(count, 3, 3, generator=generator)
    molecules = stacked([([8, 1, 1][: 2 + at % 2], place[: 2 + at % 2].numpy()) for at, place in enumerate(places)])
    return molecules, (places[:, 0] - places[:, 1]).norm(dim=-1)


def net(seed: int = 0) -> ConformerNet:
    return ConformerNet(width=16, layers=2, elements=(1, 6, 8), seed=seed)


def test_what_elements_explain_needs_no_training():
    molecules, _ = triples(20)
    energy = composition(molecules, (1, 8)).double() @ torch.tensor([-10.0, -70.0]).double() + 3
    found = SumPooled(net(), steps=1, learning_rate=1e-9).fit(molecules, energy).predict(molecules)
    assert torch.allclose(found.double(), energy, atol=0.05)
    both = SumPooled(net(), steps=1, learning_rate=1e-9, composition=False).fit(molecules, energy).predict(molecules)
    assert torch.allclose(both.double(), energy.mean().expand(20), atol=1e-3)


def test_it_learns_a_distance_and_leaves_the_network_as_it_was():
    molecules, distance = triples()
    start = net()
    before = [parameter.clone() for parameter in start.parameters()]
    fitted = SumPooled(start, steps=250, learning_rate=5e-3).fit(molecules, distance)
    asked, expected = triples(60, seed=1)
    error = (fitted.predict(asked) - expected).abs().mean()
    assert error < 0.35 * (expected - distance.mean()).abs().mean()
    assert all(left.equal(right) for left, right in zip(start.parameters(), before, strict=True))


def test_it_repeats_with_the_seed_and_takes_several_targets():
    molecules, distance = triples(30)
    both = torch.stack([distance, 2 * distance], dim=1)
    first, second, other = (
        SumPooled(net(), steps=5, batch=8, seed=seed).fit(molecules, both).predict(molecules) for seed in (0, 0, 1)
    )
    assert first.shape == (30, 2)
    assert first.equal(second)
    assert not first.equal(other)


def test_wrong_arguments():
    molecules, distance = triples(5)
    with pytest.raises(ShapeError, match="y: expected a value for each of 5 molecules, got 4"):
        SumPooled(net()).fit(molecules, distance[:4])
    with pytest.raises(MetapriorError, match="predict: expected `fit`"):
        SumPooled(net()).predict(molecules)
    with pytest.raises(MetapriorError, match="net: expected a ConformerNet"):
        SumPooled(torch.nn.Linear(1, 1))
