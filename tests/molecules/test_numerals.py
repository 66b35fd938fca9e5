"""Numbers as people write them: every one is read as what it says, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaprior.errors import DataError
from metaprior.molecules.numerals import bound_and_number, has_more, with_points


@given(st.floats(-1e9, 1e9).filter(bool), st.sampled_from(["", "<", ">=", "~"]))
def test_what_is_written_is_read_back(number, bound):
    assert bound_and_number(f"{bound}{number!r}") == (bound or None, number)
    assert bound_and_number(f"{bound}{round(number):,}") == (bound or None, round(number))


@given(st.lists(st.integers(0, 99_999), min_size=1), st.integers(1, 5))
def test_a_decimal_comma_is_never_read_as_another(numbers, digits):
    """Numbers with so many decimals, as a German spreadsheet writes them: as they are, or refused."""
    true = [number / 10**digits for number in numbers]
    written = [f"{value:.{digits}f}".replace(".", ",") for value in true]
    try:
        read = with_points("y", written)[0]
    except DataError:
        assert digits == 3
        read = with_points("y", written, decimal=True)[0]
    assert [bound_and_number(value)[1] for value in read] == true or all(one.endswith(",000") for one in written)
    assert [bound_and_number(value)[1] for value in with_points("y", written, decimal=True)[0]] == true


@pytest.mark.parametrize("cells", [["1,234,567", "12,000"], ["12,500.5", "1,400"], [">10,000", "3"]])
def test_thousands_that_show_what_they_are(cells):
    assert with_points("y", cells) == (cells, [])


@pytest.mark.parametrize("cells", [["0,5", "1.5"], ["1,234,567", "0,5"], ["5,107"], ["250", "12,345"]])
def test_what_cannot_be_told_is_refused(cells):
    with pytest.raises(DataError, match="column 'y' has '"):
        with_points("y", cells)


def test_more_than_a_number():
    assert all(map(has_more, ["3 nM", "3.2µM", ">5 %", "1,5 ± 0.2", "3 (n=2)", "2 mg/mL", "1e-3 M"]))
    assert not any(map(has_more, ["3", "2D", "active", "M", "1.5e3", "3 of 4"]))
