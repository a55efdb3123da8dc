"""Where a question names columns and tables: whole names, parts of them, words that mean the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.query.construction.fields import Field, stem
from app.query.construction.sql_schema import Column, SqlSchema
from app.query.construction.values import Word

_PART = re.compile(r"[\u4e00-\u9fff]|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z\u4e00-\u9fff]+")
_MOST = 300  # mentions that are weighed against each other
_SMALL = frozenset({"of", "the", "in", "at", "on", "by", "for", "and", "or", "a", "s", "to", "is", "was", "id"})


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a table."""

    table: str
    column: Column

    @property
    def key(self) -> tuple[str, str]:
        return self.table, self.column.name


@dataclass(frozen=True, slots=True)
class ColumnMention:
    """`words[first:last]` name the column; `score`: 1 for the whole name, less for a part or a synonym."""

    ref: Ref
    first: int
    last: int
    score: float


def column_mentions(words: Sequence[Word], schema: SqlSchema) -> list[ColumnMention]:
    """Every place where a column could be named, best first for each place; overlapping ones are all there."""
    stems = [stem(word.text) for word in words]
    found = []
    for table in schema.tables:
        for column in table.columns:
            found += _of_column(stems, Ref(table.name, column))
    found = sorted(found, key=lambda m: -m.score)[:_MOST]
    kept = [m for m in found if not any(_better(other, m) for other in found)]
    return sorted(kept, key=lambda m: (-m.score * (m.last - m.first + 0.5), m.first, m.ref.key))


def _better(other: ColumnMention, mention: ColumnMention) -> bool:
    """Whether the same words, or more of them, name another column more fully."""
    covers = other.first <= mention.first and mention.last <= other.last
    return covers and other.ref.key != mention.ref.key and other.score > mention.score


def table_mentions(words: Sequence[Word], schema: SqlSchema) -> dict[str, tuple[int, int]]:
    """Table name → the words `[first, last)` that name it."""
    stems = [stem(word.text) for word in words]
    found = {}
    for table in schema.tables:
        parts = name_stems(table.name)
        for first in range(len(stems) - len(parts) + 1):
            if tuple(stems[first : first + len(parts)]) == parts:
                found[table.name] = (first, first + len(parts))
                break
    return found


@lru_cache(maxsize=8192)
def name_stems(name: str) -> tuple[str, ...]:
    """The stems of the words in a column's or table's name."""
    return tuple(stem(part) for part in _PART.findall(name)) or (name.casefold(),)


def _of_column(stems: Sequence[str], ref: Ref) -> list[ColumnMention]:
    parts = name_stems(ref.column.name)
    telling = [part for part in parts if part not in _SMALL] or list(parts)
    found = []
    for first in range(len(stems)):
        if stems[first] not in parts or (stems[first] in _SMALL and len(parts) > 1):
            continue
        last, matched = _run(stems, first, parts)
        told = len({part for part in matched if part in telling})
        if told:
            found.append(ColumnMention(ref, first, last, told / len(set(telling))))
    if not found:
        synonyms = Field(ref.column.name, ref.column.type).words
        found = [
            ColumnMention(ref, at, at + 1, 0.5 / len(telling) ** 0.5)
            for at, said in enumerate(stems)
            if (said in synonyms or any(_related(said, part) for part in telling)) and said not in _SMALL
        ]
    return found


def _related(one: str, other: str) -> bool:
    """Whether two stems come from one word, as "director" and "directed" do."""
    return len(one) > 5 and len(other) > 5 and one[:6] == other[:6] and abs(len(one) - len(other)) < 4


def _run(stems: Sequence[str], first: int, parts: Sequence[str]) -> tuple[int, list[str]]:
    """The longest run of words from `first` that are all in the name, small words between them allowed."""
    matched = [stems[first]]
    last = at = first + 1
    while at < len(stems) and len(matched) < len(parts):
        if stems[at] in parts and stems[at] not in matched:
            matched.append(stems[at])
            last = at + 1
        elif stems[at] not in _SMALL:
            break
        at += 1
    return last, matched
