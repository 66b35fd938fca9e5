import pytest
import torch

from metaprior.fields.encoders import ENCODERS, DenseGrid, Frequency, HashGrid, TriPlane

SMALL = [
    TriPlane(cells=5, channels=2),
    DenseGrid(cells=(3, 5), channels=2),
    Frequency(octaves=3),
    HashGrid(levels=3, log_table=6, coarsest=2, finest=8),
]


def initial(encoder, scenes):
    own = [encoder.initial(torch.Generator().manual_seed(scene)) for scene in range(scenes)]
    return {name: torch.stack([one[name] for one in own]) for name in own[0]}


@pytest.mark.parametrize("encoder", SMALL, ids=lambda encoder: type(encoder).__name__)
def test_scenes_do_not_see_each_other_and_may_share(encoder):
    points = torch.rand(3, 7, 3) * 2 - 1
    weights = initial(encoder, 3)
    together = encoder(weights, points)
    assert together.shape == (3, 7, encoder.features)
    for scene in range(3):
        alone = encoder({name: value[scene : scene + 1] for name, value in weights.items()}, points[scene : scene + 1])
        torch.testing.assert_close(together[scene], alone[0])
    shared = {name: value[:1] for name, value in weights.items()}
    copied = {name: value[:1].expand(3, *value.shape[1:]) for name, value in weights.items()}
    torch.testing.assert_close(encoder(shared, points), encoder(copied, points))


@pytest.mark.parametrize("encoder", SMALL, ids=lambda encoder: type(encoder).__name__)
def test_features_are_continuous_and_have_gradients(encoder):
    weights = {name: value.double().requires_grad_() for name, value in initial(encoder, 1).items()}
    points = (torch.rand(1, 50, 3, dtype=torch.float64) * 1.8 - 0.9).requires_grad_()
    features = encoder(weights, points)
    near = encoder(weights, points + 1e-6)
    assert (features - near).abs().max() < 1e-4
    (slope,) = torch.autograd.grad(features.sum(), points, retain_graph=True)
    assert slope.isfinite().all()
    assert slope.abs().sum() > 0
    for value in weights.values():
        assert torch.autograd.grad(features.square().sum(), value, retain_graph=True)[0].abs().sum() > 0


def test_a_plane_is_read_where_it_should_be():
    encoder = TriPlane(cells=3, channels=1)
    planes = torch.zeros(1, 3, 1, 3, 3)
    planes[0, 0, 0, 2, 0] = 1.0  # plane xy: x = -1, y = 1
    points = torch.tensor([[[-1.0, 1.0, 0.3], [1.0, 1.0, 0.3], [-1.0, 0.5, -0.9]]])
    assert encoder({"planes": planes}, points)[0].tolist() == [[1, 0, 0], [0, 0, 0], [0.5, 0, 0]]


def test_grids_reproduce_a_linear_function():
    encoder = DenseGrid(cells=(4,), channels=1)
    place = torch.linspace(-1, 1, 4)
    z, y, x = torch.meshgrid(place, place, place, indexing="ij")
    points = torch.rand(1, 20, 3) * 2 - 1
    found = encoder({"grid_4": (x + 2 * y + 3 * z)[None, None]}, points)
    torch.testing.assert_close(found[..., 0], points @ torch.tensor([1.0, 2.0, 3.0]))


def test_every_encoder_has_a_name():
    assert {type(encoder) for encoder in SMALL} == set(ENCODERS.values())
