import torch

from metaprior.fields import Field, TriPlane, frozen
from metaprior.fields.field import OCCUPANCY, occupied
from metaprior.fields.occupancy import cell_points, densities, mask_of

FIELD = Field(TriPlane(cells=4, channels=2), width=8, hidden=1)


def made(scenes=1):
    return FIELD.initial(scenes, torch.Generator().manual_seed(0))


def test_a_mask_keeps_what_is_dense():
    weights = frozen(FIELD, made(2), cells=16, threshold=2.0, margin=0)
    points = cell_points(32).expand(2, -1, -1)
    dense = densities(FIELD, weights, cell_points(32)) > 2.0
    inside = occupied(weights[OCCUPANCY], points)
    assert (inside | ~dense).all()
    assert 0 < inside.float().mean() < 0.5


def test_points_lie_in_their_cells():
    grid = torch.arange(27).view(1, 3, 3, 3)
    for generator in (None, torch.Generator().manual_seed(0)):
        points = cell_points(3, generator)
        assert occupied(grid, points[None])[0].tolist() == list(range(27))


def test_a_margin_grows_the_mask():
    density = torch.zeros(1, 5, 5, 5)
    density[0, 2, 2, 2] = 1.0
    assert [int(mask_of(density, 0.5, margin).sum()) for margin in (0, 1, 2)] == [1, 27, 125]


def test_freezing_again_looks_everywhere():
    empty = made() | {OCCUPANCY: torch.zeros(1, 4, 4, 4, dtype=torch.bool)}
    assert frozen(FIELD, empty, cells=8)[OCCUPANCY].any()


def test_what_lies_between_centres_is_found_near_them():
    field = Field(TriPlane(cells=16, channels=2), width=8, hidden=1, blob=9.0, blob_radius=0.3)
    weights = field.initial(2, torch.Generator().manual_seed(1))
    mask = frozen(field, weights, cells=12, threshold=5.0, points=27)[OCCUPANCY]
    everywhere = densities(field, weights, cell_points(36)).unflatten(1, (12, 3, 12, 3, 12, 3))
    wanted = everywhere.amax((2, 4, 6)) > 5.0
    centres = frozen(field, weights, cells=12, threshold=5.0, points=1)[OCCUPANCY]
    assert (mask == wanted).all()
    assert centres.sum() < mask.sum() < mask.numel() // 2
