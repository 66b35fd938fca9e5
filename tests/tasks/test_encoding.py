"""Encoding a table: the same row is the same numbers, whatever comes with it."""

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.tasks.encoding import MOST_CATEGORIES, encode_table, fit_column


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-1e6, 1e6)),
            st.one_of(st.none(), st.sampled_from(["water", "oil", "", "12", "wïne"])),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_rows_are_encoded_alone_as_they_are_together(rows):
    inputs = {
        "columns": [
            {"name": "a", "kind": "number", "mean": 3.0, "scale": 2.0, "missing": True},
            {"name": "b", "kind": "category", "values": ["oil", "water"]},
        ]
    }
    frame = pandas.DataFrame(rows, columns=["a", "b"], dtype=object)
    together = encode_table(frame, inputs)
    assert together.shape == (len(rows), 5)
    assert together.isfinite().all()
    assert (together[:, 2:].sum(1) == 1).all()
    assert torch.equal(together, torch.cat([encode_table(frame[i : i + 1], inputs) for i in range(len(rows))]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2))
def test_a_fitted_column_is_standardised(values):
    frame = pandas.DataFrame({"a": values})
    column = fit_column(frame["a"], "number")
    encoded = encode_table(frame, {"columns": [column]})
    assert encoded.isfinite().all()
    if np.std(values) > 1e-3:
        assert encoded.double().mean().item() == pytest.approx(0, abs=1e-3)
        assert encoded.double().var(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_only_the_most_frequent_categories_have_a_feature():
    names = [f"c{number:03}" for number in range(MOST_CATEGORIES + 5) for _ in range(2 + number)]
    column = fit_column(pandas.Series([*names, "once"], name="a"), "category")
    assert column["values"] == [f"c{number:03}" for number in range(5, MOST_CATEGORIES + 5)]
    encoded = encode_table(pandas.DataFrame({"a": ["c036", "c000", "once", None]}), {"columns": [column]})
    assert encoded.argmax(1).tolist() == [MOST_CATEGORIES - 1] + 3 * [MOST_CATEGORIES]


def test_a_missing_number_is_the_mean_and_says_so_only_where_training_had_holes():
    columns = [
        fit_column(pandas.Series(values, name=name), "number")
        for name, values in (("a", [1.0, 3.0]), ("b", [1, None, 3]))
    ]
    encoded = encode_table(pandas.DataFrame({"a": [None, 3.0], "b": [None, 1.0]}), {"columns": columns})
    assert torch.equal(encoded, torch.tensor([[0.0, 0.0, 1.0], [1.0, -1.0, 0.0]]))


def test_what_cannot_be_encoded_is_named():
    inputs = {"columns": [fit_column(pandas.Series([1.0, 3.0], name="a"), "number")]}
    with pytest.raises(DataError, match="frame: row 7: column 'a' is 'x', expected a number"):
        encode_table(pandas.DataFrame({"a": ["1", "x"]}, index=[6, 7]), inputs)
    with pytest.raises(DataError, match="frame: the table has no column 'a'"):
        encode_table(pandas.DataFrame({"b": [1]}), inputs)
