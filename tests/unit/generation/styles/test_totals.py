"""Numbers of rows, of rows that state a total, and of texts that state only parts."""

from __future__ import annotations

import pytest

from app.generation.styles.styled import THRESHOLD
from app.generation.styles.totals import total_of
from app.types import PassageSpan
from tests.unit.generation.styles.rows import passage_of
from tests.unit.generation.styles.test_styled import Scripted, answered

ROWS = "City: Berlin; Employees: 40; Product: paper\nCity: Lyon; Employees: 12; Product: ink"
WITH_TOTAL = f"{ROWS}\nCity: Total; Employees: 52"
ROWS_ZH = "城市: 成都; 员工数: 40; 产品: 纸张\n城市: 武汉; 员工数: 12; 产品: 墨水"
TRIPS = "The trip to Berlin cost 480 euros. The trip to Lyon cost 310 euros."


def told(question: str, text: str, answer: str, title: str = "Staff") -> str | None:
    start = text.index(answer)
    found = total_of(question, [passage_of(1, text, title)], PassageSpan(0, start, start + len(answer)))
    return text[found.char_start : found.char_end] if isinstance(found, PassageSpan) else found


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("How many employees are there?", ROWS, "12"),
        ("How many employees are there in total?", ROWS, "40"),
        ("What is the total number of employees?", ROWS, "12"),
        ("What is the average number of employees?", WITH_TOTAL, "40"),
        ("How many employees are in Berlin and Lyon?", ROWS, "40"),
        ("How many cities are there?", ROWS, "12"),
        ("一共有多少员工？", ROWS_ZH, "数: 40"),
        ("How much did the trips cost in total?", TRIPS, "480 euros"),
    ],
)
def test_a_part_is_no_total_and_the_warning_names_the_parts(question: str, text: str, answer: str) -> None:
    warning = told(question, text, answer)
    assert warning is not None
    assert "totals are not computed" in warning
    assert answer.strip("数: ").split()[0] in warning


@pytest.mark.parametrize(
    ("question", "text", "answer", "cell"),
    [
        ("How many employees are in Berlin?", ROWS, "40", "40"),
        ("How many employees are in Berlin?", ROWS, "12", "40"),
        ("How many employees are there?", WITH_TOTAL, "40", "52"),
        ("What is the total number of employees?", WITH_TOTAL, "52", "52"),
        ("How many employees are in Lyon?", WITH_TOTAL, "12", "12"),
        ("武汉有多少员工？", ROWS_ZH, "12", "12"),
    ],
)
def test_the_row_that_is_named_or_states_the_total_answers(question: str, text: str, answer: str, cell: str) -> None:
    assert told(question, text, answer) == cell


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("How many employees does Zebra have in Berlin?", ROWS, "40"),  # whose table it is nobody says
        ("How many employees retired in Berlin?", ROWS, "40"),
        ("Which city makes ink?", ROWS, "Lyon"),
        ("How much did the trip to Lyon cost?", TRIPS, "310 euros"),
        ("How much did the trip cost in total?", "The trip cost 480 euros.", "480 euros"),
        ("How much did the trips cost in total?", f"{TRIPS} In total the trips cost 790 euros.", "790 euros"),
    ],
)
def test_where_neither_is_known_the_readers_answer_stays(question: str, text: str, answer: str) -> None:
    assert told(question, text, answer) is None


def test_rows_of_a_table_that_was_cut_into_passages_are_counted_together() -> None:
    first, second = passage_of(1, ROWS.splitlines()[0], "Staff"), passage_of(1, ROWS.splitlines()[1], "Staff")
    start = first.text.index("40")
    assert isinstance(total_of("How many employees are there?", [first, second], PassageSpan(0, start, start + 2)), str)
    lone = total_of("How many employees are there?", [first], PassageSpan(0, start, start + 2))
    assert lone is None


def test_the_service_declines_a_part_says_why_and_gives_the_stated_total() -> None:
    reader = Scripted("12", confidence=0.9)
    made, _ = answered(reader, "How many employees are there?", passage_of(1, ROWS, "Staff"))
    assert reader.judge(made)[0] < THRESHOLD
    assert made.warnings[0].startswith("the documents give numbers for parts (40, 12) and no total")
    unsure = Scripted("12", confidence=0.1)
    made, composed = answered(unsure, "How many employees are there?", passage_of(1, WITH_TOTAL, "Staff"))
    assert unsure.judge(made)[0] >= THRESHOLD
    assert composed.text == "52 [1]\n\n“City: Total; Employees: 52” [1]"
    assert made.warnings == ()


def test_a_sure_reader_keeps_its_own_confidence() -> None:
    reader = Scripted("40", confidence=0.95)
    made, _ = answered(reader, "How many employees are in Berlin?", passage_of(1, ROWS, "Staff"))
    assert made.evidence.style_probability is None
