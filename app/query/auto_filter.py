"""Conditions that a question states in so many words, as a filter for its retrieval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from app.index.field_statistics import FieldStatistics
from app.index.filters import Combination, Comparison, Condition, parse
from app.query.construction.fields import Field, FieldSchema, stem
from app.query.construction.metadata import BuiltFilter, build_filter
from app.query.construction.values import Word, near_cue, words_of

MIN_CONFIDENCE = 0.95
MAX_CHARS = 300
"""Of a question; a longer text is a description, in which a word of a field says little."""


@dataclass(frozen=True, slots=True)
class FilterReader:
    """Reads filters from questions by rules; a question without one costs a look at its words.

    Args:
        fields: the metadata fields of a collection.
        enabled: of requests that do not say.
    """

    fields: Callable[[str], Sequence[FieldStatistics]]
    enabled: bool = False

    def read(self, question: str, collections: Sequence[str], *, today: date) -> BuiltFilter | None:
        """The filter that the question states; None where it states none for certain."""
        schema = FieldSchema.merged(entry for name in collections for entry in self.fields(name))
        return stated_filter(question, schema, today=today)


def stated_filter(question: str, schema: FieldSchema, *, today: date) -> BuiltFilter | None:
    """The filter of a question that names both field and value of every condition; else None.

    A filter that nobody asked for hides what would have answered: a condition too few costs less than one too many.
    """
    if not schema.fields or len(question) > MAX_CHARS:
        return None
    built = build_filter(question, schema, today=today)
    if not built.filter or built.confidence < MIN_CONFIDENCE:
        return None
    words = words_of(question)
    return built if all(_certain(leaf, schema, question, words) for leaf in _leaves(parse(built.filter))) else None


def _certain(condition: Comparison, schema: FieldSchema, question: str, words: Sequence[Word]) -> bool:
    """Whether the condition is one on documents and not a part of what is asked."""
    field = schema.get(condition.field)
    if field is None or condition.operator == "exists" or field.type == "boolean":
        return (
            False  # a yes-or-no field is said by one word, which may be any word: 有效 of a remedy, not of a contract
        )
    operands = condition.operand if isinstance(condition.operand, tuple) else (condition.operand,)
    if field.type == "text":
        return all(isinstance(operand, str) and _beside(operand, field, question, words) for operand in operands)
    if field.type == "number" and condition.operator in ("eq", "ne", "in", "nin") and not field.is_year:
        return False  # "a 30-second commercial": a bare number is rarely one of a field
    return _is_named(field, words, question) and all(_within(operand, field) for operand in operands)


def _beside(value: str, field: Field, question: str, words: Sequence[Word]) -> bool:
    """Whether the value stands in the question as it is written, with the field's name beside it."""
    start = question.casefold().find(value.casefold())
    return start >= 0 and near_cue(words, field, start, start + len(value))


def _is_named(field: Field, words: Sequence[Word], question: str) -> bool:
    """Whether the question calls the field by its name, or by a word that means the same."""
    if field.words & {stem(word.text) for word in words}:
        return True
    return any(not word.isascii() and len(word) > 1 and word in question for word in field.words)


def _within(operand: object, field: Field) -> bool:
    """Whether documents have such values; a bound may lie as far outside as one year beside the last."""
    low, high = field.minimum, field.maximum
    if isinstance(operand, bool) or low is None or high is None:
        return True
    if isinstance(operand, int | float) and isinstance(low, int | float) and isinstance(high, int | float):
        return low - 1 <= operand <= high + 1
    if isinstance(operand, str) and isinstance(low, str) and isinstance(high, str):
        return low[:4] <= operand[:4] <= str(int(high[:4]) + 1) if high[:4].isdigit() else True
    return True


def _leaves(condition: Condition) -> list[Comparison]:
    if isinstance(condition, Combination):
        return [leaf for part in condition.parts for leaf in _leaves(part)]
    return [condition]
