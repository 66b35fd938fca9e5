"""Splits of a user's classes or tasks: they cover, are apart, and hold still when names are added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.tasks.splits import split_names

NAMES = st.sets(st.text(max_size=4), min_size=3, max_size=40)


@given(NAMES, st.integers(0, 3), st.sampled_from([(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.34, 0.33, 0.33)]))
def test_each_name_is_in_one_split_and_none_is_empty(names, seed, fractions):
    splits = split_names(names, fractions, seed)
    assert sorted(name for chosen in splits.values() for name in chosen) == sorted(names)
    assert all(splits.values())
    assert splits == split_names(sorted(names, reverse=True), fractions, seed)


@given(NAMES, st.text(min_size=5, max_size=6))
def test_a_new_name_moves_at_most_one_other_across_each_border(names, new):
    before, after = (split_names(group, (0.6, 0.2, 0.2), 0) for group in (names, names | {new}))
    for split in before:
        assert len(set(before[split]) - set(after[split])) <= 2


def test_a_fraction_of_nothing_is_an_empty_split():
    assert split_names("abcd", (0.5, 0.5, 0), 0)["test"] == []
    assert split_names("abcd", (0, 0, 1), 0)["test"] == list("abcd")


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.4, 0.2), (1.5, -0.5, 0.0)])
def test_fractions_that_are_none(fractions):
    with pytest.raises(DataError, match="splits: expected three fractions that add up to 1, got"):
        split_names("abc", fractions, 0)
