"""Labels of what was measured more than once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprior.molecules.replicates import merged


@pytest.mark.filterwarnings("ignore:file")
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=30))
def test_one_label_for_each_structure_of_an_assay(rows):
    owner, molecule, values = (np.array(part) for part in zip(*rows, strict=True))
    for kind in ("regression", "classification"):
        found = list(zip(*merged(owner, molecule, values.astype(float), kind), strict=True))
        assert len({one[:2] for one in found}) == len(found)
        for mine, structure, value in found:
            own = values[(owner == mine) & (molecule == structure)]
            assert value == (np.median(own) if kind == "regression" else round(own.mean()))
        if kind == "regression":
            assert {one[:2] for one in found} == {row[:2] for row in rows}


def test_two_classes_that_are_as_frequent_are_none():
    arguments = np.zeros(5, int), np.array([1, 1, 2, 2, 2]), np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    with pytest.warns(
        UserWarning, match="file: 2 structures have several .* most counts, and 1 whose classes are as freq"
    ):
        assert [part.tolist() for part in merged(*arguments, "classification")] == [[0], [2], [1.0]]
