"""Values that belong together: "A or B" of one field, "both A and B" of a list, "neither A nor B"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.query.construction.conditions import Part
from app.query.construction.fields import FieldSchema
from app.query.construction.negation import negation_start
from app.query.construction.values import ValueMention, Word, near_cue

_LINK = re.compile(
    r"(?:\s*(?:,|、|，|;|/|&)\s*(?:or|and|nor)?|\s+(?:or|and|nor|as\s+well\s+as|but\s+not)|或者?|和|与|及|以及|还是)"
    r"\s*(?:the\s+|in\s+|by\s+|from\s+|at\s+|with\s+|by\s+)?|\s*(?:或者?|和|与|及|以及|还是)\s*",
    re.IGNORECASE,
)
_EITHER = re.compile(r"\b(?:or|nor|either)\b|或|还是", re.IGNORECASE)


def group_values(
    question: str, words: Sequence[Word], mentions: Sequence[ValueMention], schema: FieldSchema
) -> tuple[list[Part], list[str]]:
    """The conditions that the values make, and in words why a value makes none."""
    parts: list[Part] = []
    unclear: list[str] = []
    groups: list[tuple[str, list[ValueMention]]] = []
    for mention in mentions:
        name = _field_of(words, mention, schema, groups[-1][0] if groups else None)
        if name is None:
            unclear.append(f"{mention.value!r} could be {' or '.join(mention.fields)}")
            continue
        if groups and groups[-1][0] == name and _LINK.fullmatch(question[groups[-1][1][-1].end : mention.start]):
            groups[-1][1].append(mention)
        else:
            groups.append((name, [mention]))
    for name, group in groups:
        parts.append(_part(question, words, name, group, schema))
    return _united(parts, schema), unclear


def _field_of(words: Sequence[Word], mention: ValueMention, schema: FieldSchema, last: str | None) -> str | None:
    """The field of a value: the only one, the one that is named beside it, or the one before it in an enumeration."""
    if len(mention.fields) == 1:
        return mention.fields[0]
    named = [
        name for name in mention.fields if (f := schema.get(name)) and near_cue(words, f, mention.start, mention.end)
    ]
    if len(named) == 1:
        return named[0]
    return last if last in mention.fields else None


def _part(question: str, words: Sequence[Word], name: str, group: Sequence[ValueMention], schema: FieldSchema) -> Part:
    field = schema.get(name)
    assert field is not None
    values = list(dict.fromkeys(mention.value for mention in group))
    score = min(mention.score for mention in group)
    negated = negation_start(question, words, group[0].start, schema)
    start, end = group[0].start if negated is None else negated, group[-1].end
    links = question[group[0].end : group[-1].start]
    every = field.many and len(values) > 1 and negated is None and (not _EITHER.search(links))
    if negated is not None:
        return Part(name, {"ne": values[0]} if len(values) == 1 else {"nin": values}, start, end, score)
    if len(values) == 1:
        return Part(name, {"eq": values[0]}, start, end, score)
    return Part(name, {"in": values}, start, end, score if every or _EITHER.search(links) else score * 0.9, every)


def _united(parts: list[Part], schema: FieldSchema) -> list[Part]:
    """Values of one field in several places: a document has only one of them, so any will do; a list can have all."""
    kept: list[Part] = []
    for part in parts:
        field = schema.get(part.field)
        same = next((k for k in kept if k.field == part.field and set(k.operations) <= {"eq", "in"}), None)
        if same is None or field is None or field.many or not set(part.operations) <= {"eq", "in"}:
            kept.append(part)
            continue
        values = list(dict.fromkeys([*_listed(same), *_listed(part)]))
        operations = {"in": values} if len(values) > 1 else {"eq": values[0]}
        kept[kept.index(same)] = Part(part.field, operations, same.start, same.end, min(same.score, part.score) * 0.9)
    return kept


def _listed(part: Part) -> list[str]:
    return list(part.operations["in"]) if "in" in part.operations else [part.operations["eq"]]
