"""Times in words on Monday, 15 June 2026, each worked out on a calendar."""

from datetime import date

import pytest

from app.query.construction.times import find_times

TODAY = date(2026, 6, 15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("since March 2023", {"gte": "2023-03-01"}),
        ("after March 2023", {"gte": "2023-04-01"}),
        ("before 2020", {"lt": "2020-01-01"}),
        ("until 2020", {"lt": "2021-01-01"}),
        ("in the last 30 days", {"gte": "2026-05-16", "lt": "2026-06-16"}),
        ("last quarter", {"gte": "2026-01-01", "lt": "2026-04-01"}),
        ("this week", {"gte": "2026-06-15", "lt": "2026-06-22"}),
        ("next month", {"gte": "2026-07-01", "lt": "2026-08-01"}),
        ("yesterday", {"gte": "2026-06-14", "lt": "2026-06-15"}),
        ("on 29 February 2024", {"gte": "2024-02-29", "lt": "2024-03-01"}),
        ("on 2023-12-31", {"gte": "2023-12-31", "lt": "2024-01-01"}),
        ("in December 2023", {"gte": "2023-12-01", "lt": "2024-01-01"}),
        ("the fourth quarter of 2023", {"gte": "2023-10-01", "lt": "2024-01-01"}),
        ("between May 2023 and June 2023", {"gte": "2023-05-01", "lt": "2023-07-01"}),
        ("from 3 May to 5 May 2023", {"gte": "2023-05-03", "lt": "2023-05-06"}),
        ("2018-2020", {"gte": "2018-01-01", "lt": "2021-01-01"}),
        ("the 1990s", {"gte": "1990-01-01", "lt": "2000-01-01"}),
        ("two weeks ago", {"gte": "2026-06-01", "lt": "2026-06-02"}),
        ("2023年以来", {"gte": "2023-01-01"}),
        ("2023年5月之前", {"lt": "2023-05-01"}),
        ("2021年下半年", {"gte": "2021-07-01", "lt": "2022-01-01"}),
        ("上个季度", {"gte": "2026-01-01", "lt": "2026-04-01"}),
        ("去年", {"gte": "2025-01-01", "lt": "2026-01-01"}),
        ("最近三个月", {"gte": "2026-03-15", "lt": "2026-06-16"}),
        ("上周", {"gte": "2026-06-08", "lt": "2026-06-15"}),
    ],
)
def test_a_time_is_a_half_open_range_of_days(text, expected):
    (found,) = find_times(f"papers {text}", TODAY)
    assert found.date_range() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in 2020", 2020),
        ("since 2020", {"gte": 2020}),
        ("after 2020", {"gt": 2020}),
        ("before 2020", {"lt": 2020}),
        ("up to 2020", {"lte": 2020}),
        ("between 2016 and 2018", {"gte": 2016, "lte": 2018}),
        ("in the last five years", {"gte": 2022, "lte": 2026}),
        ("last quarter", None),
    ],
)
def test_whole_years_are_numbers_too(text, expected):
    (found,) = find_times(text, TODAY)
    assert found.year_range() == expected


@pytest.mark.parametrize(
    "text", ["30 February 2023", "a fee of $2000", "2000 dollars", "room A-2019", "version 2.2019", "may I ask", "99 3"]
)
def test_what_is_no_date_is_left_alone(text):
    assert find_times(text, TODAY) == []


def test_the_last_day_of_a_short_month_is_used():
    (found,) = find_times("in the last month or the last 1 months", date(2026, 3, 31))[1:]
    assert found.date_range() == {"gte": "2026-02-28", "lt": "2026-04-01"}


def test_the_span_covers_the_words_that_were_read():
    question = "papers since March 2023 on birds"
    (found,) = find_times(question, TODAY)
    assert question[found.start : found.end] == "since March 2023"
