"""Cells that a question names by row and column, on made-up tables."""

from __future__ import annotations

import pytest

from app.generation.table_cells import asked_cells, row_of, table_rows
from app.types import PassageSpan

FERRIES = (
    "Ferries of the Nordmark line\n\n"
    "Ship: Havfrue; Built: 1998; Passengers: 820; Home port: Esbjerg\n"
    "Ship: Stella Borealis; Built: 2004; Passengers: 1,150; Home port: Hirtshals\n"
    "Ship: Terna; Built: 2004; Passengers: 640; Home port: Esbjerg\n"
)


def cell(question: str, *texts: str) -> list[str]:
    return [texts[span.passage][span.char_start : span.char_end] for span in asked_cells(question, texts)]


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("How many passengers does the Stella Borealis take?", "1,150"),
        ("In which year was the Terna built?", "2004"),
        ("What is the home port of the Havfrue?", "Esbjerg"),
    ],
)
def test_row_and_column_are_found_by_name(question: str, value: str) -> None:
    assert cell(question, FERRIES) == [value]


@pytest.mark.parametrize(
    "question",
    [
        "Which ship takes the most passengers?",  # compares
        "How many passengers do the Havfrue and the Terna take?",  # two rows
        "What is the home port of the ship built in 2004?",  # two rows hold 2004
        "Who is the captain of the Terna?",  # no such column
        "How many passengers are there?",  # no row
        "What was the average number of passengers of the Terna?",
    ],
)
def test_what_is_no_look_up_has_no_cell(question: str) -> None:
    assert cell(question, FERRIES) == []


def test_every_passage_has_its_own_table() -> None:
    other = "Name: Terna; Passengers: 12\nName: Ulv; Passengers: 14"
    assert cell("How many passengers does the Terna take?", "No table here.", FERRIES, other) == ["640", "12"]


def test_rows_know_their_characters_and_prose_is_no_row() -> None:
    text = "Note: this is prose; it goes on\nas text.\n" + FERRIES
    rows = list(table_rows(text))
    assert [c.value for c in rows[0]] == ["Havfrue", "1998", "820", "Esbjerg"]
    assert all(text[c.char_start : c.char_end] == c.value for row in rows for c in row)
    assert [c.header for c in rows[0]] == ["Ship", "Built", "Passengers", "Home port"]
    assert list(table_rows("")) == []
    assert list(table_rows("Dear all: the meeting is at 9; bring tea.")) == []


def test_the_row_around_a_cell_is_a_statement_of_its_own() -> None:
    start = FERRIES.index("1,150")
    row = row_of(FERRIES, PassageSpan(0, start, start + 5))
    assert row is not None
    assert FERRIES[row.char_start : row.char_end] == (
        "Ship: Stella Borealis; Built: 2004; Passengers: 1,150; Home port: Hirtshals"
    )
    assert row_of(FERRIES, PassageSpan(0, 0, 7)) is None  # the title
    assert row_of(FERRIES, PassageSpan(0, start, FERRIES.index("640"))) is None  # two rows
