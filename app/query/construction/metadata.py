"""A question's conditions → a metadata filter, what is left to search for, and an explanation that a person can read.

What is not certain is not built: a value of two fields without a word that tells them apart, a year where several
dates could be meant, a number of nothing. The explanation says so, and the question is searched as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from app.query.construction.conditions import Part, combined, in_words
from app.query.construction.fields import FieldSchema
from app.query.construction.flags import find_flags
from app.query.construction.linking import link_quantity, link_time
from app.query.construction.negation import is_negated
from app.query.construction.quantities import find_quantities
from app.query.construction.times import find_times
from app.query.construction.value_groups import group_values
from app.query.construction.values import find_values, words_of
from app.query.surface import Span, without

_MAX_CHARS = 2_000
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class BuiltFilter:
    """`filter` is empty where nothing could be built.

    Args:
        filter: in the syntax of `app.index.filters`.
        text_left: the question without the words that became conditions: what retrieval should look for.
        explanation: what every condition was read from, and what was not built and why.
        confidence: 0 to 1, of the least certain condition; 0 for an empty filter.
        how: "rules", or the name of the model that wrote it.
    """

    filter: Mapping[str, Any]
    text_left: str
    explanation: str
    confidence: float
    how: str = "rules"


@dataclass(slots=True)
class _Reading:
    parts: list[Part] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def build_filter(question: str, schema: FieldSchema, *, today: date) -> BuiltFilter:
    """The filter by rules; the same question, schema and day give the same filter. Never raises for a question."""
    whole = _SPACE.sub(" ", question)  # long runs of white space would cost the patterns quadratic time
    text = whole[:_MAX_CHARS]
    words = words_of(text)
    reading = _Reading()
    flags = find_flags(text, schema)
    reading.parts += flags
    taken = [(part.start, part.end) for part in flags]
    mentions = find_values(text, schema, taken)
    groups, unclear = group_values(_mask(text, taken), words, mentions, schema)
    reading.parts += groups
    reading.unused += unclear
    taken += [(mention.start, mention.end) for mention in mentions if _word_like(mention.value)]
    masked = _mask(text, taken)
    for time in find_times(masked, today):
        part, reason = link_time(text, words, time, schema)
        taken.append((time.start, time.end))
        if part is not None:
            reading.parts.append(part)
        elif reason:
            reading.unused.append(reason)
    for quantity in find_quantities(_mask(text, taken)):
        part, reason = link_quantity(text, words, quantity, schema)
        if part is not None:
            negated = quantity.operator == "eq" and is_negated(text, words, quantity.start, schema)
            reading.parts.append(part.negative() if negated else part)
        elif reason:
            reading.unused.append(reason)
    reading.parts.sort(key=lambda part: part.start)
    return _finished(question, whole, schema, reading)


def _finished(question: str, whole: str, schema: FieldSchema, reading: _Reading) -> BuiltFilter:
    built = combined(reading.parts)
    if len(whole) > _MAX_CHARS:
        reading.unused.append(f"what comes after the first {_MAX_CHARS} characters")
    unused = "".join(f" Not used: {reason}." for reason in reading.unused)
    if not built:
        names = ", ".join(entry.name for entry in schema.fields[:20]) or "none"
        return BuiltFilter(
            {}, question.strip(), f"No condition on a metadata field was found (fields: {names}).{unused}", 0.0
        )
    told = "; ".join(in_words(part, whole) for part in reading.parts)
    left = without(whole, [Span(whole[p.start : p.end], p.start, p.end) for p in reading.parts])
    confidence = min(part.score for part in reading.parts) * (0.9 if reading.unused else 1.0)
    return BuiltFilter(built, left, f"{told}.{unused}", round(confidence, 3))


def _word_like(value: str) -> bool:
    return not value.isdigit()


def _mask(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with the spans blanked by a character that is part of no number and no word."""
    for start, end in spans:
        text = text[:start] + "\x1f" * (end - start) + text[end:]
    return text
