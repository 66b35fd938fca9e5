"""Class ids as rows of zeros and ones."""

import pytest
import torch

from metaprior.errors import ShapeError
from metaprior.metric.labels import memberships
from metaprior.tasks import Examples


def test_padding_belongs_to_no_class_whatever_its_label():
    mask = torch.tensor([[True, False]])
    rows = memberships(Examples(torch.zeros(1, 2, 1), torch.tensor([[1, 7]]), mask), 2, torch.float64)
    assert rows.tolist() == [[[0, 1], [0, 0]]]
    assert rows.dtype == torch.float64


@pytest.mark.parametrize("y", [None, torch.zeros(1, 2, 1)], ids=["no labels", "values"])
def test_refuses_what_is_no_class(y):
    with pytest.raises(ShapeError, match="expected class ids"):
        memberships(Examples(torch.zeros(1, 2, 1), y), 2, torch.float32)
