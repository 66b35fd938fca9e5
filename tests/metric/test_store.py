"""A store of examples: what is put in, what is forgotten, how votes are counted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import ShapeError
from metaprior.metric.store import empty, put, votes
from metaprior.tasks import Examples


def store(features, labels, ways=3, mask=None, capacity=None):
    examples = Examples(torch.tensor([features])[..., None], torch.tensor([labels]), mask)
    return put(empty(1, ways, torch.zeros(())), examples, capacity)


@settings(max_examples=25, deadline=None)
@given(
    similarities=st.lists(st.floats(-20, 20), min_size=1, max_size=6),
    unseen=st.sampled_from(["impossible", "alike", "last"]),
    data=st.data(),
)
def test_votes_are_the_shares_of_a_softmax(similarities, unseen, data):
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(similarities), max_size=len(similarities)))
    novelty = None if unseen == "impossible" else torch.tensor(0.5)
    got = votes(torch.tensor([[similarities]]), store([0.0] * len(labels), labels, ways=4), unseen, novelty).exp()[0, 0]
    weights = torch.tensor(similarities + ([] if novelty is None else [0.5])).double().exp()
    expected = [sum(w for w, label in zip(weights, labels, strict=False) if label == c) for c in range(4)]
    if novelty is not None:
        absent = [3] if unseen == "last" else [c for c in range(4) if c not in labels]
        for c in absent:
            expected[c] += weights[-1] / len(absent)
    torch.testing.assert_close(got.double(), torch.tensor(expected).double() / weights.sum(), atol=1e-6, rtol=1e-5)


def test_with_nothing_stored_all_classes_are_alike():
    nothing = empty(2, 3, torch.zeros(()))
    got = votes(torch.zeros(2, 1, 0), nothing, "impossible", None)
    assert len(got.unique()) == 1
    assert votes(torch.zeros(2, 1, 0), nothing, "alike", torch.tensor(1.0)).exp()[0, 0].tolist() == pytest.approx(
        [1 / 3] * 3
    )


def test_padding_has_no_vote():
    stored = store([1.0, 2.0], [0, 1], mask=torch.tensor([[True, False]]))
    assert votes(torch.tensor([[[0.0, 9.0]]]), stored, "impossible", None).exp()[0, 0, 0] == 1
    assert stored.real.tolist() == [[True, False]]


def test_the_oldest_are_forgotten_first():
    stored = store([1.0, 2.0, 3.0], [0, 1, 2], capacity=2)
    stored = put(stored, Examples(torch.tensor([[[4.0]]]), torch.tensor([[0]])), capacity=2)
    assert stored.features.flatten().tolist() == [3, 4]


def test_a_class_beyond_those_expected_makes_room_for_itself():
    stored = put(store([1.0], [0], ways=1), Examples(torch.zeros(1, 1, 1), torch.tensor([[4]])))
    assert stored.members.shape == (1, 2, 5)
    with pytest.raises(ShapeError, match="expected class ids"):
        put(stored, Examples(torch.zeros(1, 1, 1)))
