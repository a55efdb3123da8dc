"""Conditions that a question states in so many words, and words that state none."""

from datetime import date

import pytest

from app.index.field_statistics import FieldStatistics
from app.query.auto_filter import FilterReader, stated_filter
from app.query.construction.fields import Field, FieldSchema

TODAY = date(2026, 6, 15)
SCHEMA = FieldSchema(
    (
        Field("section", "text", ("Politics", "Science")),
        Field("author", "text", ("Nora Klein", "Tom Becker")),
        Field("year", "number", minimum=1990, maximum=2026),
        Field("pages", "number", minimum=1, maximum=900),
        Field("published", "date", minimum="1990-01-01", maximum="2026-05-01"),
        Field("审计", "boolean"),
    )
)


@pytest.mark.parametrize(
    ("question", "stated"),
    [
        ("What is said of sleep in the section Science?", {"section": "Science"}),
        ("What did the author Nora Klein write on taxes?", {"author": "Nora Klein"}),
        ("Reports on floods, year 2021", {"year": 2021}),
        (
            "What is new about batteries in articles published in 2024?",
            {"published": {"gte": "2024-01-01", "lt": "2025-01-01"}},
        ),
        ("Which of those with more than 300 pages mention tides?", {"pages": {"gt": 300}}),
    ],
)
def test_a_condition_with_field_and_value_is_read(question, stated):
    found = stated_filter(question, SCHEMA, today=TODAY)
    assert found is not None
    assert found.filter == stated


@pytest.mark.parametrize(
    "question",
    [
        "How does science explain dreams?",  # a value, and no field
        "Who is the author of Faust?",  # a field, and no value
        "Tom Becker says what about the war?",
        "What happened in 1998?",
        "What was the population in the year 1066?",  # no document is of that year
        "Is a brochure of 30 pages long?",  # a bare number
        "What do people of two years of age eat?",
        "",
        "?",
        "In which section? " * 40 + "section Science",  # a description, not a question
    ],
)
def test_nothing_else_is(question):
    assert stated_filter(question, SCHEMA, today=TODAY) is None


def test_a_collection_without_metadata_has_no_conditions():
    assert stated_filter("section Science", FieldSchema(()), today=TODAY) is None


def test_the_fields_of_all_collections_count():
    held = {
        "a": [FieldStatistics("section", "text", ("Science",), False, None, None, 3)],
        "b": [FieldStatistics("section", "text", ("Politics",), False, None, None, 3)],
    }
    reader = FilterReader(held.__getitem__)
    question = "What is said of taxes in the section Politics?"
    assert reader.read(question, ("a", "b"), today=TODAY).filter == {"section": "Politics"}
    assert reader.read(question, ("a",), today=TODAY) is None
    assert not reader.enabled
