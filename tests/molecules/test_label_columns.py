"""Which columns are labels, which name the rows, and which say what stands before or behind a number."""

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.molecules.label_columns import assay_labels, check_qualifiers, identifies, numbers_rows, qualifies


def table(**columns) -> pandas.DataFrame:
    return pandas.DataFrame(columns, index=range(2, 2 + len(next(iter(columns.values())))), dtype=object)


@given(st.lists(st.integers(0, 10**25), min_size=5, max_size=20, unique=True))
def test_numbers_of_any_length_are_looked_at(numbers):
    values = pandas.Series(list(map(str, numbers)), dtype=object)
    assert numbers_rows(values, "CompoundID")
    assert numbers_rows(values, "assay_id")
    assert not numbers_rows(values, "acid") or min(numbers) >= 10**15 or numbers == sorted(numbers)


def test_measurements_with_units_name_no_rows():
    assert not identifies(pandas.Series([f"{at}.5 nM" for at in range(30)]))
    assert not identifies(pandas.Series([f"{at} ± 0.2" for at in range(30)]))
    assert identifies(pandas.Series([f"batch {at}" for at in range(30)]))
    assert identifies(pandas.Series([None, None], dtype=object))


def test_bounds_are_put_before_values():
    frame = table(ki=["5", None, "7", ">3"], relation=[">", "<", "'='", "<"], unit=["nM"] * 4)
    assert qualifies(frame["relation"])
    assert qualifies(frame["unit"])
    found = check_qualifiers(frame, ["ki"], "support")["ki"]
    assert [value if isinstance(value, str) else None for value in found] == [">5", None, "=7", ">3"]
    with pytest.raises(DataError, match="file: column 'unit' has the units nM, uM; bring the values to one of them"):
        check_qualifiers(frame.assign(unit=["nM", "uM"] * 2), ["ki"], "file")


@pytest.mark.parametrize("classes", [["0", "1"], ["active", "inactive"], ["0.0", "1.0"]])
def test_classes_have_neither_bounds_nor_units(classes):
    frame = table(hit=classes * 2, ki=["5", "6", "7", "8"], relation=["=", ">", "=", "<"])
    assert check_qualifiers(frame, ["hit"], "support").equals(frame)
    assert check_qualifiers(frame, ["hit", "ki"], "support")["ki"].tolist() == ["=5", ">6", "=7", "<8"]
    assert check_qualifiers(frame, ["ki"], "support", "classification").equals(frame)
    assert check_qualifiers(frame.assign(unit=["nM", "uM"] * 2), ["hit"], "support").hit.equals(frame.hit)
    many = table(smiles=["C"] * 4, hit=classes * 2, assay=["a", "b"] * 2, relation=["=", ">", "=", "<"])
    (read,) = assay_labels(many, ["smiles"], "assay", "hit", "classification", "old.csv")
    assert len(read.classes) == 2


def test_assays_of_a_table():
    frame = table(
        smiles=["C"] * 12,
        id=list(map(str, range(12))),
        ki=[f"{at}.5" for at in range(12)],
        relation=["=", ">"] * 6,
        note=["x"] * 12,
    )
    with pytest.warns(UserWarning, match="file: ") as told:
        read = assay_labels(frame, ["smiles"], None, None, "regression", "old.csv")
    assert [one.name for one in read] == ["ki"]
    said = [str(one.message) for one in told]
    assert any("took these columns for assays: ki, and none of id, relation, note" in text for text in said)
    assert any("6 of 12 values lie beyond a bound" in text for text in said)
    with pytest.raises(DataError, match="target: expected one column beside `task`, got ki, note"):
        assay_labels(frame, ["smiles"], "id", ["ki", "note"], "regression", "old.csv")
    with pytest.raises(DataError, match=r"file: old.csv has no column 'relaton': did you mean 'relation'"):
        assay_labels(frame, ["smiles"], None, "relaton", "regression", "old.csv")
