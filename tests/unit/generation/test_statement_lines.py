"""Amounts of a statement's lines by label and period, as text taken from a PDF shows them."""

from __future__ import annotations

import pytest

from app.generation.statement_lines import Period, asked_amounts, columns_above, period_of, statement_lines

QUARTERS = """Sales of the Norwick group

The following table shows sales by product for the three and nine months ended July 1, 2023 and June 25, 2022:

Three Months Ended Nine Months Ended
July 1, 2023  June 25, 2022 Change  July 1, 2023  June 25,
2022 Change
Sales by product:
Lamps $ 39,669 $ 40,665 (2)% $ 156,778 $ 162,863 (4)%
Kettles 6,840 7,382 (7)% 21,743 28,669 (24)%
Spare parts and tools 8,284 (8,084) 2 % 30,523 31,591 (3)%
Total sales $ 54,793 $ 56,131 (2)% $ 209,044 $ 223,123 (6)%
"""
NINE = """Statements of cash flows

(Unaudited)

Nine Months Ended

October 29, October 30,
2023 2022
Cash flows from operating activities:
Net income $ 17,475 $ 2,954
Stock-based compensation expense 2,555 1,971
"""
YEARS = """Fiscal year ended December 31,
2024 2023 2022
Rent 1,200 1,100 1,050
Heating 310 — 290
"""


def answers(question: str, *texts: str) -> list[str]:
    spans = asked_amounts(question, texts)
    return [texts[span.passage][span.char_start : span.char_end] for span in spans]


@pytest.mark.parametrize(
    ("question", "amount"),
    [
        ("What were the sales of lamps for the three months ended July 1, 2023?", "39,669"),
        ("How much were Norwick's kettles sales in the quarter ended June 25, 2022?", "7,382"),
        ("What did Norwick sell of kettles in the nine months ended June 25, 2022?", "28,669"),
        ("Spare parts and tools, quarter ended June 25, 2022?", "(8,084)"),
        ("What were total sales for the nine months ended July 1, 2023?", "209,044"),
        ("What were total sales in Q3 2023?", "54,793"),
        ("What were total sales on June 25, 2022?", "56,131"),
    ],
)
def test_label_and_period_name_an_amount(question: str, amount: str) -> None:
    assert answers(question, QUARTERS) == [amount]


@pytest.mark.parametrize(
    "question",
    [
        "What were the sales of lamps?",  # of which period?
        "What were the sales of lamps in 2023?",  # three months or nine?
        "What were the sales of lamps for the three months ended July 1, 2021?",
        "What were the sales of toasters for the three months ended July 1, 2023?",
        "By how much did sales of lamps change in the quarter ended July 1, 2023?",
        "What percentage of total sales were lamps in the quarter ended July 1, 2023?",
    ],
)
def test_what_is_not_said_exactly_is_left_to_the_reader(question: str) -> None:
    assert answers(question, QUARTERS) == []


def test_days_above_years_and_one_day_for_all() -> None:
    assert answers("What was the net income for the nine months ended October 29, 2023?", NINE) == ["17,475"]
    assert answers("What was the stock-based compensation expense in 2022?", NINE) == ["1,971"]
    assert answers("What was the rent in 2023?", YEARS) == ["1,100"]
    assert answers("What was the heating in 2023?", YEARS) == []  # a dash stands there: the columns don't match


def test_each_passage_answers_for_itself() -> None:
    question = "What was the net income for the nine months ended October 29, 2023?"
    assert [span.passage for span in asked_amounts(question, [QUARTERS, NINE, "Net income rose.", NINE])] == [1, 3]


def test_columns_and_lines() -> None:
    first = statement_lines(QUARTERS)[0]
    assert (first.label, [QUARTERS[a:b] for a, b in first.amounts]) == (
        "Lamps",
        ["39,669", "40,665", "156,778", "162,863"],
    )
    columns = columns_above(QUARTERS[: first.start])
    assert columns == [Period(2023, 7, 1, 3), Period(2022, 6, 25, 3), Period(2023, 7, 1, 9), Period(2022, 6, 25, 9)]
    assert columns_above("In 2022 sales rose by 3 % over 2021.\n") == []
    assert columns_above("") == []
    assert statement_lines("Chapter 3 4\nCall 12 34 56 now\n") == statement_lines("Chapter 3 4\n")


@pytest.mark.parametrize(
    "line",
    ["Total " + "1" * 60 + " x", "A b " + "1 " * 4_000 + "x", "Total" + " " * 9_000 + "1" * 9_000 + " y", "$ " * 9_000],
)
def test_the_worst_lines_take_one_pass(line: str) -> None:
    # A pattern that may split digits in many ways would not come back from these.
    assert statement_lines(line) == []


def test_periods_of_questions() -> None:
    assert period_of("in the year ended May 31, 2024") == Period(2024, 5, 31, 12)
    assert period_of("in Sept. 2020?") == Period(2020)
    assert period_of("who?") == Period()
