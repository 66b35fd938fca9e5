"""Labels of molecules, assay by assay, and how many of them a support may have."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.molecules.assay_split import Assays, gathered
from metaprior.molecules.dealing import QUERY, SUPPORT
from metaprior.molecules.rows import SparseRows


def split(owner, roles=None, values=None) -> Assays:
    count = len(owner)
    rows = SparseRows.of([([at], [1.0]) for at in range(count)], width=max(count, 1))
    every = np.arange(count)
    names = [f"assay {at}" for at in range(max(owner) + 1)]
    return gathered(rows, [f"{at}" for at in every], np.array(owner), every, every % 2, values, names, roles)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, SUPPORT, QUERY])), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_support_leaves_something_to_ask_about(drawn):
    owner, roles = ([one[at] for one in drawn] for at in (0, 1))
    part = split(owner, np.array(roles))
    for assay, most in enumerate(part.supports.tolist()):
        own = [role for at, role in drawn if at == assay]
        able, asked = (sum(role != other for role in own) for other in (QUERY, SUPPORT))
        assert most == (min(able, len(own) - 1) if asked else -1)


def test_labels_of_an_assay_are_next_to_each_other():
    part = split([1, 0, 1, 0, 1])
    assert part.counts.tolist() == [2, 3]
    assert part.molecule.tolist() == [1, 3, 0, 2, 4]
    assert part.supports.tolist() == [1, 2]


def test_what_was_not_measured_is_no_value():
    part = split([0, 0, 1, 1, 1], values=np.array([1.0, np.nan, 2.0, 3.0, np.nan])).measured()
    assert part.counts.tolist() == [1, 2]
    assert part.values.equal(torch.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="kind: these tasks have classes alone; expected 'classification'"):
        split([0]).measured()
