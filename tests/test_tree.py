import json
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.tree import concatenate, fingerprint, map_chunks, map_tensors, nbytes, pack, tensors, unpack


class Pair(NamedTuple):
    left: object
    right: object


def leaves() -> st.SearchStrategy:
    shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
    kinds = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool])
    return st.builds(lambda shape, dtype: torch.ones(shape).to(dtype), shapes, kinds)


TREES = st.recursive(
    st.none() | leaves(),
    lambda inner: (
        st.dictionaries(st.text("a.\\", min_size=1, max_size=3), inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=6,
)


def same(left, right) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right) and left.dtype == right.dtype
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple):
        pairs = zip(left, right, strict=True)
        return type(left) is type(right) and all(same(a, b) for a, b in pairs)
    return left is right


@given(TREES)
def test_pack_and_unpack_are_inverse_through_json(tree):
    named, structure = pack(tree)
    assert same(unpack(named, json.loads(json.dumps(structure)), (Pair,)), tree)


def test_parts_that_look_alike_in_names_stay_apart():
    tree = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}}
    named, structure = pack(tree)
    assert same(unpack(named, structure), tree)


@pytest.mark.parametrize("tree", [[torch.zeros(1)], {"a": 1.0}, {"a": {"b": object()}}, {0: torch.zeros(1)}])
def test_pack_refuses_what_it_could_not_rebuild(tree):
    with pytest.raises(TypeError, match="expected tensors in dicts"):
        pack(tree)


@given(st.integers(1, 7), st.none() | st.integers(1, 9))
def test_chunks_do_not_change_the_result(tasks, chunk):
    x = {"a": torch.arange(tasks * 2.0).view(tasks, 2), "b": (torch.arange(tasks), None)}
    sizes = []

    def function(part):
        sizes.append(part["a"].shape[0])
        return Pair(part["a"] + 1, (part["b"][0] * 2,))

    result = map_chunks(function, chunk, x)
    assert same(result, Pair(x["a"] + 1, (x["b"][0] * 2,)))
    assert max(sizes) <= (chunk or tasks)
    assert sum(sizes) == tasks


def test_concatenate_keeps_absent_parts():
    joined = concatenate([Pair(torch.zeros(1, 2), None), Pair(torch.ones(2, 2), None)])
    assert joined.left.shape == (3, 2)
    assert joined.right is None


def test_map_tensors_takes_counterparts():
    assert map_tensors(torch.add, (torch.ones(1), None), (torch.ones(1), None))[0].item() == 2


def test_sizes_count_an_expanded_axis_in_full():
    assert nbytes({"a": torch.zeros(1).expand(5, 1), "b": torch.zeros(2, dtype=torch.float64)}) == 5 * 4 + 2 * 8


@pytest.mark.parametrize(
    "other", [torch.ones(2), torch.zeros(1, 2), torch.zeros(2, dtype=torch.float64), (torch.zeros(2), torch.zeros(2))]
)
def test_fingerprints_differ_in_value_shape_dtype_and_number(other):
    assert fingerprint(torch.zeros(2)) != fingerprint(other)


def test_fingerprint_does_not_depend_on_layout():
    x = torch.arange(6.0).view(2, 3)
    assert fingerprint(x) == fingerprint(x.t().contiguous().t())


def test_tensors_come_in_a_fixed_order():
    assert [leaf.item() for leaf in tensors({"b": torch.tensor(1), "a": torch.tensor(2)})] == [1, 2]
