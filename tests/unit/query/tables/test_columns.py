"""Columns are typed as their cells prove, and what does not fit is counted."""

from datetime import date, datetime

import pytest

from app.query.tables.columns import read_column


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,234", "5,678.5"], [1234, 5678.5]),
        (["0,5", "1.234,00", "12"], [0.5, 1234.0, 12]),
        (["1 234", "5\u00a0678"], [1234, 5678]),
        (["1'234'567"], [1234567]),
        (["€1.50", "$ 2", "3 EUR", "(4)", "-5", "−6"], [1.5, 2, 3, -4, -5, -6]),
        (["3.5万", "1亿", "20元"], [35000, 100_000_000, 20]),
        (["１２３", "4"], [123, 4]),
        (["12.5%", "3 %"], [12.5, 3]),
        (["1e3", "2.5E-1"], [1000.0, 0.25]),
        ([1, 2.5, None], [1, 2.5, None]),
        (["7", "n/a", "-", "", None, "无"], [7, None, None, None, None, None]),
    ],
)
def test_numbers(cells, values):
    found = read_column("x", cells)
    assert (found.kind, list(found.values), found.unfit) == ("number", values, 0)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["2024-03-05", "2024/3/6", "2024.03.07"], ["2024-03-05", "2024-03-06", "2024-03-07"]),
        (["2024年3月5日", "2024年12月10号"], ["2024-03-05", "2024-12-10"]),
        (["03.04.2024", "1.2.2023"], ["2024-04-03", "2023-02-01"]),
        (["3/4/2024", "13/4/2024"], ["2024-04-03", "2024-04-13"]),
        (["3/4/2024", "4/13/2024"], ["2024-03-04", "2024-04-13"]),
        (["5 March 2024", "Mar 6, 2024", "7-Mar-2024"], ["2024-03-05", "2024-03-06", "2024-03-07"]),
        (["2024-03-05T10:30:00Z", "2024-03-05 08:15"], ["2024-03-05 10:30:00", "2024-03-05 08:15"]),
        ([date(2024, 3, 5), datetime(2024, 3, 5, 7, 8, 9)], ["2024-03-05", "2024-03-05 07:08:09"]),
    ],
)
def test_dates(cells, values):
    found = read_column("x", cells)
    assert (found.kind, list(found.values)) == ("date", values)


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "012"],  # a postcode
        ["12345678901234567"],  # more digits than a number keeps
        ["+49151123456789"],
        ["1.2.3.4"],
        ["2024-02-30"],
        ["12:30", "13:45"],
        ["A1", "2"],
        [True, False],
        ["1,23,456"],
        ["12-34"],
    ],
)
def test_what_is_neither_stays_text_as_it_is_written(cells):
    found = read_column("x", cells)
    assert found.kind == "text"
    assert list(found.values) == [str(cell) if isinstance(cell, str) else str(cell).upper() for cell in cells]


def test_a_date_that_can_be_read_in_two_ways_is_not_guessed():
    found = read_column("day", ["3/4/2024", "5/6/2024"])
    assert (found.kind, found.values) == ("text", ("3/4/2024", "5/6/2024"))
    assert found.notes == ("column 'day': in '3/4/2024' day and month can't be told apart; kept as text",)


def test_a_comma_that_proves_nothing_is_said():
    found = read_column("sum", ["1,234", "20"])
    assert found.values == (1234, 20)
    assert found.notes == ("column 'sum': the comma in '1,234' is read as a thousands separator",)


def test_one_cell_in_twenty_may_be_wrong_and_is_said():
    cells = ["10"] * 40 + ["tba", "?? maybe"]
    found = read_column("n", cells)
    assert (found.kind, found.unfit) == ("number", 2)
    assert found.values[-2:] == (None, None)
    assert found.notes == ("column 'n': 2 of 42 cells are no number ('tba', '?? maybe'); left empty",)
    assert read_column("n", ["10"] * 10 + ["tba"]).kind == "text"


def test_percentages_beside_plain_numbers_are_not_mixed():
    found = read_column("rate", ["10%"] + ["5"] * 9)
    assert found.kind == "text"
    assert "percentages beside plain numbers" in found.notes[0]
    assert read_column("rate", ["10%", "5%"]).notes == ("column 'rate': percentages; 12.5% is kept as 12.5",)


def test_an_empty_column_and_very_large_numbers():
    assert read_column("x", ["", None, "n/a"]).values == (None, None, None)
    assert read_column("x", []).values == ()
    assert read_column("x", ["900000000000亿"]).values == (9e19,)
