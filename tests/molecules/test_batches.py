"""However molecules are divided, each has its own result, in its own place."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.molecules.batches import by_size
from metaprior.molecules.token_featurisers import tokens_of


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=9), at_once=st.integers(1, 10))
def test_results_are_in_order_and_batches_have_no_needless_padding(sizes, at_once):
    rows = torch.stack([(torch.arange(8) < size) * (1.0 + at) for at, size in enumerate(sizes)])

    def total(part, index):
        assert part.ids.shape[1] == int(part.sizes.max())
        assert len(part.ids) <= at_once
        assert part.ids.equal(rows[index, : part.ids.shape[1]].long())
        return part.ids.sum(1)

    assert by_size(total, tokens_of(rows), at_once).equal(rows.long().sum(1))
