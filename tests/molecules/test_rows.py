"""Sparse rows equal the dense ones that they stand for."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.molecules.rows import SparseRows, tanimoto


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6), st.data())
def test_rows_are_those_given(matrix, data):
    dense = torch.tensor(matrix, dtype=torch.float32)
    rows = SparseRows.of([(np.flatnonzero(row), row[row > 0]) for row in dense.numpy()], width=5)
    index = torch.tensor(data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=5)), dtype=torch.long)
    assert rows.dense(index).equal(dense[index])
    assert rows.take(index).dense(torch.arange(len(index))).equal(dense[index])
    if len(index) >= 2:
        assert rows.dense(index[:2].view(2, 1)).equal(dense[index[:2]][:, None])


def test_similarity_is_that_of_sets():
    rows = SparseRows.of([([0, 1], [1.0, 5.0]), ([1, 2], [1.0, 1.0]), ([], [])], width=4)
    found = tanimoto(rows, torch.arange(3), torch.arange(3))
    assert torch.allclose(found, torch.tensor([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]))
