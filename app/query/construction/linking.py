"""Which field a time or a number is about: the words beside it say so, or its unit does, or there is only one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from app.query.construction.conditions import Part
from app.query.construction.fields import Field, FieldSchema, name_parts, stem
from app.query.construction.quantities import Quantity
from app.query.construction.times import TimeMention
from app.query.construction.values import Word

_REACH = 5
_CLAUSE = re.compile(r"[,;，；。]|\b(?:and|but|with|that|which|who)\b|并且|而且|且")


def link_time(
    question: str, words: Sequence[Word], time: TimeMention, schema: FieldSchema
) -> tuple[Part | None, str | None]:
    """The condition that a time makes, or in words why it makes none; neither where the schema has no times."""
    dates = [field for field in schema.fields if field.type == "date"]
    years = [field for field in schema.fields if field.is_year]
    said = question[time.start : time.end]
    if not dates and not years:
        return None, f"{said!r}: no field holds dates" if schema.fields else None
    if question[: time.start].rstrip().endswith(("(", "（")):
        return None, f"{said!r} stands in brackets, as part of a name"
    cued = _nearest(question, words, [*dates, *(y for y in years if time.years)], time.start, time.end)
    named_dates = [field for field in cued if field.type == "date"]
    if len(named_dates) == 1:
        return _time_part(time, named_dates[0], 1.0), None
    if time.years and len(years) == 1:
        return _within(time, years[0], said, 1.0 if cued or time.relation != "in" else 0.8)
    if len(dates) == 1:
        return _within(time, dates[0], said, 0.9 if time.relation != "in" or _is_relative(said) else 0.6)
    if not dates:
        return None, f"{said!r} is finer than {years[0].name}"
    return None, f"{said!r} could be {' or '.join(field.name for field in dates)}"


def link_quantity(
    question: str, words: Sequence[Word], quantity: Quantity, schema: FieldSchema
) -> tuple[Part | None, str | None]:
    """The condition that a number makes, or in words why it makes none; a bare number of nothing needs no words."""
    fields = [field for field in schema.fields if field.type == "number"]
    said = question[quantity.start : quantity.end].strip()
    chosen, score = _by_unit(quantity, fields)
    if len(chosen) != 1:
        cued = _nearest(question, words, chosen or fields, quantity.start, quantity.end, inside=True)
        if not quantity.compared:
            cued = [field for field in cued if _adjacent(words, field, quantity)]
        chosen, score = (cued, 0.95) if cued else (chosen, score)
    if len(chosen) == 1 and (quantity.compared or _adjacent(words, chosen[0], quantity)):
        scale = _scale(quantity.unit, chosen[0])
        operand: Any = quantity.operand(scale)
        operations = operand if isinstance(operand, dict) else {"eq": operand}
        return Part(chosen[0].name, operations, quantity.start, quantity.end, score), None
    if not quantity.compared:
        return None, None
    if not chosen:
        return None, f"{said!r}: no field is named that it could be about"
    return None, f"{said!r} could be {' or '.join(field.name for field in chosen)}"


def _within(time: TimeMention, field: Field, said: str, score: float) -> tuple[Part | None, str | None]:
    """The condition, unless no value of the field lies there: then the time is one in the text, not of the document."""
    low, high = field.minimum, field.maximum
    first: float | str = time.first.year if field.is_year else time.first.isoformat()
    last: float | str = time.after.year - 1 if field.is_year else time.after.isoformat()
    known = time.relation == "in" and low is not None and high is not None
    if known and isinstance(low, str) == isinstance(first, str) and (last < low or first > high):  # type: ignore[operator]
        return None, f"{said!r} lies outside {field.name} ({low} to {high})"
    return _time_part(time, field, score), None


def _is_relative(said: str) -> bool:
    """Whether the time is told from today on, as nobody names a thing in a text."""
    return not re.search(r"\d{4}", said)


def _time_part(time: TimeMention, field: Field, score: float) -> Part:
    if field.is_year:
        found = time.year_range()
        assert found is not None
        operations: dict[str, Any] = dict(found) if isinstance(found, dict) else {"eq": found}
    else:
        operations = dict(time.date_range())
    return Part(field.name, operations, time.start, time.end, score)


def _by_unit(quantity: Quantity, fields: Sequence[Field]) -> tuple[list[Field], float]:
    if quantity.unit == "money":
        return [field for field in fields if field.is_money], 0.95
    if quantity.unit in ("kg", "g"):
        weights = [f for f in fields if {"kg", "g"} & set(name_parts(f.name)) or stem("weight") in f.words]
        return weights, 0.95
    if quantity.unit:
        return [field for field in fields if stem(quantity.unit) in field.words and not field.is_year], 1.0
    return [], 0.0


def _nearest(
    question: str, words: Sequence[Word], fields: Sequence[Field], start: int, end: int, *, inside: bool = False
) -> list[Field]:
    """The fields whose word stands nearest to the span, those of the same distance together; none within reach: []."""
    before = [word for word in words if word.end <= start][-_REACH:]
    after = [word for word in words if word.start >= end][:_REACH]
    within = [word for word in words if start <= word.start and word.end <= end] if inside else []
    distances: dict[str, float] = {}
    for field in fields:
        for text, distance in _phrases(question, before, after, within, start, end):
            if _means(text, field):
                distances[field.name] = min(distances.get(field.name, 99.0), distance)
    if not distances:
        return []
    least = min(distances.values())
    return [field for field in fields if distances.get(field.name) == least]


def _phrases(
    question: str, before: Sequence[Word], after: Sequence[Word], within: Sequence[Word], start: int, end: int
) -> list[tuple[str, float]]:
    """Words around the span with their distance; a clause's border counts as two more, words after as a half more."""
    found: list[tuple[str, float]] = [(word.text, 0.0) for word in within]
    for place, word in enumerate(reversed(before)):
        border = 2 if _CLAUSE.search(question[word.end : start]) else 0
        found.append((word.text, place + 1 + border))
    for place, word in enumerate(after):
        border = 2 if _CLAUSE.search(question[end : word.start]) else 0
        found.append((word.text, place + 1.5 + border))
    for side, sign in ((before, -1), (after, 1)):  # Chinese words are several characters
        for size in (2, 3, 4):
            for at in range(len(side) - size + 1):
                run = side[at : at + size]
                if all(not word.text.isascii() for word in run) and run[-1].end - run[0].start == size:
                    gap = len(side) - at - size if sign < 0 else at + 0.5
                    found.append(("".join(word.text for word in run), gap + 0.9))
    return found


def _means(text: str, field: Field) -> bool:
    return (len(text) > 1 or not text.isascii()) and stem(text) in field.words


def _adjacent(words: Sequence[Word], field: Field, quantity: Quantity) -> bool:
    """Whether the field's word stands right at the number, as in "priority 1", "rating of 5", "4 pages"."""
    if quantity.unit and stem(quantity.unit) in field.words:
        return True
    before = [word.text for word in words if word.end <= quantity.start][-3:]
    while before and before[-1].lower() in ("of", "is", "are", "was", "as", "为", "是", "a", "the"):
        before.pop()
    return any(_means(text, field) for text in [*before[-1:], "".join(before[-2:])])


def _scale(unit: str, field: Field) -> float:
    """What a number in `unit` is multiplied by to be in the field's own unit, where its name says which."""
    parts = set(name_parts(field.name))
    if unit == "g" and "kg" in parts:
        return 1e-3
    if unit == "kg" and "g" in parts and "kg" not in parts:
        return 1e3
    return 1.0
