"""Support and query: stratified, without overlap, at most as many as there are."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.molecules.dealing import QUERY, SUPPORT, deal


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    st.lists(st.lists(st.sampled_from([0, 1]), min_size=6, max_size=20), min_size=1, max_size=4),
    st.integers(2, 5),
    st.data(),
)
def test_support_is_stratified_and_shares_nothing_with_the_query(tasks, shots, draw):
    width = max(map(len, tasks))
    labels = torch.tensor([row + [-1] * (width - len(row)) for row in tasks])
    queries = draw.draw(st.sampled_from([None, 1, 3]))
    (support, first), (query, second) = deal(labels, torch.full((len(tasks),), shots), generator(), queries)
    for at, row in enumerate(tasks):
        chosen, asked = support[at][first[at]].tolist(), query[at][second[at]].tolist()
        assert len(chosen) == shots
        assert len({*chosen, *asked}) == shots + len(asked)
        assert len(asked) == min(len(row) - shots, queries or len(row))
        assert max([*chosen, *asked]) < len(row), "padding is never drawn"
        active = sum(row[position] for position in chosen)
        if 0 < sum(row) < len(row):
            wanted = min(max(round(shots * sum(row) / len(row)), 1), shots - 1)
            assert abs(active - wanted) <= 1
            assert 0 < active < shots or min(sum(row), len(row) - sum(row)) == 0


def test_balanced_supports_and_roles():
    labels = torch.tensor([[1] * 10 + [0] * 30])
    (support, _), _ = deal(labels, torch.tensor([8]), generator(), balanced=True)
    assert labels[0][support[0]].sum() == 4
    roles = torch.tensor([[SUPPORT, QUERY] * 20])
    (support, _), (query, _) = deal(labels, torch.tensor([8]), generator(), roles=roles)
    assert (roles[0][support[0]] == SUPPORT).all()
    assert (roles[0][query[0]] == QUERY).all()
    assert query.shape == (1, 20)
