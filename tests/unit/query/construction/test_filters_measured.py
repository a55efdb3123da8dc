"""150 questions over 6 schemas, English and Chinese; half of them were set aside while the rules were written."""

import json
from pathlib import Path

import pytest

from app.index.filters import Combination, parse
from app.query.construction.metadata import build_filter
from tests.unit.query.construction.filter_schemas import SCHEMAS, TODAY

ROWS = [json.loads(line) for line in Path(__file__).with_name("filters.jsonl").read_text(encoding="utf-8").splitlines()]


def meaning(filters):
    """A filter without the order of its parts and lists: two that pass the same documents by form are equal."""

    def of(condition):
        if not isinstance(condition, Combination):
            operand = condition.operand
            shown = tuple(sorted(map(repr, operand))) if isinstance(operand, tuple) else operand
            return (condition.field, condition.operator, shown)
        parts = set()
        for part in condition.parts:
            inner = of(part)
            parts |= inner[1] if condition.kind == "all" and inner[0] == "all" else {inner}
        return (condition.kind, frozenset(parts))

    return of(parse(filters)) if filters else None


def exact(rows):
    hits = [
        meaning(build_filter(row["question"], SCHEMAS[row["schema"]], today=TODAY).filter) == meaning(row["filter"])
        for row in rows
    ]
    return sum(hits) / len(hits)


def test_the_set_is_what_it_says():
    assert len(ROWS) == 150
    assert len({row["question"] for row in ROWS}) == 150
    assert {row["schema"] for row in ROWS} == set(SCHEMAS)
    assert sum(row["held_out"] for row in ROWS) == 75
    for language in ("en", "zh"):
        assert sum(row["language"] == language and row["held_out"] for row in ROWS) >= 20
    for row in ROWS:
        fields = {field.name for field in SCHEMAS[row["schema"]].fields} | {"all", "any", "not"}
        assert set(row["filter"]) <= fields, row
        parse(row["filter"])


@pytest.mark.parametrize(("held_out", "floor"), [(False, 0.98), (True, 0.97)])
def test_exact_filters_stay_at_the_measured_share(held_out, floor):
    assert exact([row for row in ROWS if row["held_out"] is held_out]) >= floor


@pytest.mark.parametrize("row", [row for row in ROWS if not row["filter"]], ids=lambda row: row["question"])
def test_nothing_is_guessed_where_nothing_was_asked(row):
    built = build_filter(row["question"], SCHEMAS[row["schema"]], today=TODAY)
    assert built.filter == {}
    assert built.text_left == row["question"]
    assert built.confidence == 0.0
    assert built.explanation.startswith("No condition on a metadata field was found")


def test_every_filter_is_one_that_the_index_takes_with_a_story_to_it():
    for row in ROWS:
        built = build_filter(row["question"], SCHEMAS[row["schema"]], today=TODAY)
        parse(built.filter)
        if built.filter:
            assert 0 < built.confidence <= 1
            assert "(from " in built.explanation
