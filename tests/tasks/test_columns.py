"""The columns of a table: what is a number, what a category, and which targets stand for classes."""

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprior.tasks.columns import FEW, NOTHING, column_kinds, numbers_in, target_of, text, texts, without_words


@given(st.integers(-(10**15), 10**15))
def test_a_whole_number_is_one_text_however_it_is_typed(number):
    assert {text(value) for value in (number, float(number), f" {number}.0 ", str(number))} == {str(number)}


@given(st.lists(st.one_of(st.none(), st.text(max_size=5), st.floats(), st.booleans()), min_size=1))
def test_missing_values_stay_missing_and_others_become_text(values):
    column = pandas.Series(values, dtype=object)
    named = texts(column)
    assert named.isna().tolist() == column.isna().tolist()
    assert all(isinstance(value, str) for value in named.dropna())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_written_as_text_are_read_back(values):
    assert np.array_equal(numbers_in(pandas.Series([repr(value) for value in values])), np.array(values))


def test_text_is_no_number():
    assert np.isnan(numbers_in(pandas.Series(["1.5 mg", None, ""]))).all()


@pytest.mark.parametrize(("wrong", "kind"), [(0, "number"), (1, "number"), (2, "category")])
def test_a_column_of_mostly_numbers_is_of_numbers(wrong, kind):
    frame = pandas.DataFrame({"a": ["?"] * wrong + ["1"] * (10 - wrong), "empty": [None] * 10})
    assert column_kinds(frame, ["a", "empty"]) == {"a": kind}
    assert column_kinds(frame, ["a"], categorical=["a"]) == {"a": "category"}


def test_few_integers_are_classes_and_many_are_not():
    few, many = (pandas.Series(range(count)).astype(str) for count in (FEW, FEW + 1))
    assert target_of(few, "auto") == ("classification", True)
    assert target_of(many, "auto") == ("regression", True)
    assert target_of(few, "regression") == ("regression", True)
    assert target_of(few, "classification") == ("classification", False)
    assert target_of(pandas.Series(["yes", "no"]), "auto") == ("classification", False)


@given(st.lists(st.sampled_from(["1", "2.5", "NA", "nan", "None", "low", "null"]), min_size=1))
def test_words_for_nothing_are_missing_and_all_else_is_left(given_values):
    values = pandas.Series(given_values)
    found = without_words(values)
    kept = found.notna()
    assert not {value.lower() for value in found[kept]} & NOTHING
    assert found[kept].equals(values[kept])
    others = [value for value in given_values if value.lower() not in NOTHING | {"none"}]
    numeric = sum(value != "low" for value in others) > len(others) / 2
    assert set(values[~kept].str.lower()) <= NOTHING | ({"none"} if numeric else set())
