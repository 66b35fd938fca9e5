"""Labels as chemists write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.molecules.labels import in_order, mixed_units, read_labels

pandas = pytest.importorskip("pandas")


def column(*values, name="y"):
    return pandas.Series(list(values), name=name, index=range(2, len(values) + 2), dtype=object)


@pytest.mark.parametrize(
    ("values", "classes", "ids"),
    [
        (("0", "1", "1"), ["0", "1"], [0, 1, 1]),
        (("1.0", "0.0", None), ["0", "1"], [1, 0, np.nan]),
        (("Active", "inactive", " "), ["inactive", "Active"], [1, 0, np.nan]),
        (("weak", "strong", "none"), ["none", "strong", "weak"], [2, 1, 0]),
    ],
)
def test_classes(values, classes, ids):
    found = read_labels(column(*values))
    assert found.classes == classes
    assert np.array_equal(found.values, ids, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (("0.5", "1.5", None), [0.5, 1.5, np.nan]),
        (("<5", ">10,000", "7"), [5, 10_000, 7]),
        (("≤ 5.5", "= 3", "1e-3"), [5.5, 3, 1e-3]),
        (("\u22121.5", "2.25", "-.5"), [-1.5, 2.25, -0.5]),
    ],
)
def test_values(values, numbers):
    found = read_labels(column(*values))
    assert found.classes is None
    assert np.array_equal(found.values, numbers, equal_nan=True)


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda value: value != round(value)), min_size=11, unique=True))
def test_numbers_come_back_as_they_were_written(values):
    assert np.allclose(read_labels(column(*map(repr, values))).values, values, rtol=1e-12)


def test_values_beyond_a_bound_are_told():
    found = read_labels(column("<5", "10.5", ">20"))
    assert any("2 of 3 values lie beyond a bound" in remark for remark in found.remarks)


def test_a_value_that_is_no_number_is_named_by_its_row():
    found = read_labels(column("1.5", "high", "2.5"), "regression")
    assert found.problems == {3: "column 'y' is 'high', expected a number"}


@pytest.mark.parametrize(("label", "other"), [("1", "0"), ("active", "inactive"), ("No", "yes"), ("hit", "not hit")])
def test_labels_of_one_class(label, other):
    found = read_labels(column(label, label))
    assert set(found.classes) == {label, other}
    assert found.classes[int(found.values[0])] == label
    assert f"nothing shows what sets '{other}' apart" in found.remarks[0]


def test_no_labels_at_all():
    with pytest.raises(DataError, match="column 'y' has no labels"):
        read_labels(column(None, " "))


def test_units():
    assert "are units mixed" in mixed_units(np.array([5.0, 20, 80, 0.01, 0.02, 0.05]), "ic50")[0]
    assert "orders of magnitude" in mixed_units(np.geomspace(1, 1e5, 30), "ic50")[0]
    assert mixed_units(np.array([1.0, 2, 3, 4, 5, 250]), "y") == [], "a lone outlier is no unit"
    assert mixed_units(np.linspace(4, 10, 30), "pic50") == []
    assert mixed_units(np.array([-1.0, 0, 1e5, 3, 4, 5]), "change") == []


def test_order_does_not_depend_on_case():
    assert in_order(["TRUE", "FALSE"]) == ["FALSE", "TRUE"]


def test_decimal_commas_are_read_as_such_and_told():
    labels = read_labels(pandas.Series(["0,32", "1,20", ">10", "-0,6", "3"], name="logp"))
    assert labels.values.tolist() == [0.32, 1.2, 10.0, -0.6, 3.0]
    assert "'0,32' has a decimal comma" in labels.remarks[0]
    thousands = read_labels(pandas.Series(["1,234", "12,500.5", ">100,000"], name="ic50"))
    assert thousands.values.tolist() == [1234.0, 12500.5, 100000.0]
    with pytest.raises(DataError, match=r"column 'x' has '0,32' and '1\.5'; is the comma or the point the decimal one"):
        read_labels(pandas.Series(["0,32", "1.5"], name="x"))


def test_a_class_may_be_spelt_in_several_ways():
    labels = read_labels(pandas.Series(["Active", "active", "Inactive", None], name="call"))
    assert labels.classes == ["Inactive", "active"]
    assert labels.values[:3].tolist() == [1.0, 1.0, 0.0]
    assert "'Active' and 'active' were taken to be one class" in labels.remarks[0]


def test_what_was_not_measured_is_no_class():
    labels = read_labels(pandas.Series(["5.1", "n.d.", "6.2", "ND", "7", "?"], name="pic50"))
    assert labels.classes is None
    assert labels.values[[0, 2, 4]].tolist() == [5.1, 6.2, 7.0]
    assert not labels.known[[1, 3, 5]].any()
    assert "'n.d.' among numbers was taken to be a label that is missing, 3 times" in labels.remarks[0]
    assert read_labels(pandas.Series(["-", "+", "-"], name="binds")).classes == ["-", "+"]


def test_a_text_for_each_row_is_no_class():
    with pytest.raises(DataError, match=r"column 'note' has 12 different texts \('no 0', 'no 1', 'no 10', ...\)"):
        read_labels(pandas.Series([f"no {value}" for value in range(12)], name="note"))


@pytest.mark.parametrize("unit", ["nM", " µM", "%", " mg/mL", " nmol/L"])
def test_units_beside_numbers_are_refused(unit):
    with pytest.raises(
        DataError, match=r"support: column 'y' has '3.*'; expected numbers alone, their unit in the column"
    ):
        read_labels(column(*[f"{value}{unit}" for value in (3, 5, 3, 5, 3, 5)]))
    assert read_labels(column("2D", "3D", "2D")).classes == ["2D", "3D"]


def test_words_for_nothing_are_missing_labels():
    found = read_labels(column("1.5", "NA", "None", "2.5", "nan"))
    assert found.values[found.known].tolist() == [1.5, 2.5]
    assert found.remarks == ["column 'y': 'NA' among numbers was taken to be a label that is missing, 3 times"]
    found = read_labels(column("None", "mild", "NA", "None"))
    assert found.classes == ["None", "mild"]
    assert found.known.tolist() == [True, True, False, True]
    with pytest.raises(DataError, match="support: column 'y' has no labels, only 'NA'"):
        read_labels(column("NA", "nan"))


def test_a_number_too_large_to_be_one_is_a_problem_of_its_row():
    found = read_labels(column("1.5", "1e400", "2.5"), "regression")
    assert found.problems == {3: "column 'y' is '1e400', expected a number"}


@pytest.mark.parametrize(("other", "empty"), [("ND", 1), ("?", 1), ("not tested", 1), ("none", 0), ("weak", 0)])
def test_beside_a_pair_of_opposites_there_is_no_class_of_gaps(other, empty):
    found = read_labels(column("active", "inactive", other, "active"))
    assert (~found.known).sum() == empty
    assert len(found.classes) == 3 - empty
    assert read_labels(column("+", "-", "+")).classes == ["-", "+"]
    assert read_labels(column("1 (low)", "2 (high)", "1 (low)"), "classification").classes == ["1 (low)", "2 (high)"]


def test_gaps_beside_one_class_are_gaps():
    found = read_labels(column("active", "ND", "active"))
    assert found.classes == ["inactive", "active"]
    assert found.known.tolist() == [True, False, True]
