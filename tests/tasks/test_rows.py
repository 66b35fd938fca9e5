"""The rows of a table: numbered as a spreadsheet does, bad ones named, missing columns guessed."""

import numpy as np
import pandas
import pytest

from metaprior.errors import DataError
from metaprior.tasks.rows import good_rows, need_columns, problems, read_table


def written(tmp_path, text, name="a.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_blank_rows_count_and_are_left_out(tmp_path, line_end):
    frame = read_table(written(tmp_path, line_end.join(["a,b", "1,2", "", ",", "3,4", ""])), "file")
    assert list(frame.index) == [2, 5]
    assert frame["b"].tolist() == ["2", "4"]


def test_names_are_stripped_and_a_byte_order_mark_is_no_part_of_them(tmp_path):
    frame = read_table(written(tmp_path, "\ufeff a , größe\n1, 2\n"), "file")
    assert list(frame.columns) == ["a", "größe"]
    assert frame["größe"].tolist() == ["2"]


def test_a_tab_separated_file(tmp_path):
    assert read_table(written(tmp_path, "a\tb\n1,5\t2\n", "a.tsv"), "file")["a"].tolist() == ["1,5"]


def test_a_quoted_comma_is_text(tmp_path):
    assert read_table(written(tmp_path, 'a,b\n"1,5",2\n'), "file")["a"].tolist() == ["1,5"]


def test_a_missing_column_is_guessed():
    frame = pandas.DataFrame({"dose": [1], "weight": [2]})
    need_columns(frame, ["weight", "dose"], "task", "a.csv")
    with pytest.raises(DataError, match=r"task: a\.csv has no column 'doze': did you mean 'dose'\? It has: dose, we"):
        need_columns(frame, ["doze"], "task", "a.csv")
    with pytest.raises(DataError, match=r"has no column 'zzz'; it has: dose, weight"):
        need_columns(frame, ["zzz"], "task", "a.csv")


def test_a_row_is_bad_for_its_first_reason_and_rows_come_in_order():
    frame = pandas.DataFrame(
        {"size": ["x", "1", np.nan, "inf"], "task": ["a", None, "b", None]}, index=[2, 3, 4, 5], dtype=object
    )
    assert problems(frame, {"size": "number", "task": "category"}, needed=["task"]) == {
        2: "column 'size' is 'x', expected a number",
        3: "column 'task' is missing a value",
        5: "column 'size' is 'inf', expected a number",
    }


def test_good_rows_are_kept_and_bad_ones_named():
    frame = pandas.DataFrame({"size": [1, 2, 3]}, index=[2, 3, 4])
    assert good_rows(frame, {}, "file", "a.csv", skip_bad=False) is frame
    bad = {4: "late", 3: "odd"}
    with pytest.raises(DataError, match=r"^file: row 3 of a\.csv: odd \(and 1 more bad rows\); skip_bad leaves such"):
        good_rows(frame, bad, "file", "a.csv", skip_bad=False)
    with pytest.warns(UserWarning, match=r"file: skipped 2 bad rows of a\.csv: row 3: odd; row 4: late"):
        assert list(good_rows(frame, bad, "file", "a.csv", skip_bad=True).index) == [2]
    with pytest.raises(DataError, match=r"none of the rows of a\.csv can be used: row 2: "):
        good_rows(frame, bad | {2: "gone"}, "file", "a.csv", skip_bad=True)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_may_be_set_apart_by_others(tmp_path, separator):
    (tmp_path / "a.csv").write_text(f"name{separator}x{separator}y\na{separator}1{separator}2\n")
    assert list(read_table(tmp_path / "a.csv", "file").columns) == ["name", "x", "y"]


def test_only_a_blank_is_missing(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("id,size\nNA,1\nnull,NA\n,2\n")
    assert read_table(file, "file")["id"].fillna("blank").tolist() == ["NA", "null", "blank"]


def test_of_many_bad_rows_the_first_are_named():
    frame = pandas.DataFrame({"size": ["1", *["big"] * 20]}, index=range(2, 23))
    with pytest.warns(UserWarning, match=r"skipped 20 bad rows of a.csv: row 3: .* row 7: .*; and 15 more$"):
        assert len(good_rows(frame, problems(frame, {"size": "number"}), "file", "a.csv", skip_bad=True)) == 1


def test_a_stray_quotation_mark_swallows_no_rows(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('id,name,size\n1,a,3\n2,"b,4\n3,c,5\n4,"d,6\n5,e,7\n')
    with pytest.raises(
        DataError, match=r"file: row 3 of .*a.csv: column 'name' holds several lines that look like rows"
    ):
        read_table(file, "file")
    file.write_text('id,name,size\n1,"a\nof two lines, one",3\n')
    assert len(read_table(file, "file")) == 1
    file.write_text('"id; or; name",size\n1,3\n')
    assert list(read_table(file, "file").columns) == ["id; or; name", "size"]
