"""What the words of a question mean in a schema of several tables: a table (its rows), or a column.

"papers" mean the rows of `publication`, and so does the name of that table in any number; everyday words that mean the
same stand in one line below, whatever the subject. Keys are never meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.query.construction.fields import Field, stem
from app.query.construction.sql_keys import is_key
from app.query.construction.sql_mentions import Ref, name_stems
from app.query.construction.sql_schema import Column, SqlSchema, Table
from app.query.construction.values import Word

_SAME = (
    "paper publication article", "author writer researcher", "journal magazine periodical", "conference venue",
    "organization organisation institution affiliation company firm", "domain area field subject",
    "movie film", "actor actress performer", "show series program programme", "song track", "album record",
    "singer artist musician", "restaurant eatery", "review comment opinion", "course class lecture",
    "instructor teacher professor lecturer faculty", "student pupil", "semester term", "employee staff worker person",
    "customer client buyer", "order purchase", "product item article good", "department division unit",
    "user person people member", "city town", "country nation", "state province", "road street highway",
    "mountain peak", "airline carrier", "book title", "neighbourhood neighborhood district", "category kind type genre",
    "doctor physician", "patient", "vehicle car", "match game", "team club", "supplier vendor", "invoice bill",
    "school university college", "job position", "train", "ship vessel", "language tongue", "shop store", "area size",
    "elevation altitude height",
)  # fmt: skip
_WEAK = frozenset(
    {
        stem(word)
        for word in ("num", "number", "no", "count", "cnt", "name", "full", "text", "value", "total", "of", "the")
    }
)
_SMALL = frozenset({"of", "the", "a", "in", "for", "is", "s", "to", "and", "or", "by", "on", "at", "be", "it"})
_NEVER = frozenset(
    map(
        stem,
        ("how", "what", "who", "when", "where", "which", "has", "have", "many", "much", "do", "does", "can", "long"),
    )
)
_NAMES = ("name", "title", "label", "full_name", "fullname")


@dataclass(frozen=True, slots=True)
class Noun:
    """`words[first:last]` mean a column, or where `column` is None the rows of a table; `score` of (0, 1]."""

    table: str
    column: Column | None
    first: int
    last: int
    score: float

    @property
    def ref(self) -> Ref | None:
        return None if self.column is None else Ref(self.table, self.column)


def find_nouns(words: Sequence[Word], schema: SqlSchema) -> list[Noun]:
    """Every meaning of every word, in the order of the question, without those within a longer one of their table."""
    stems = ["" if (said := stem(word.text)) in _NEVER else said for word in words]
    found: list[Noun] = []
    for table in schema.tables:
        found += _of_table(stems, table)
        for column in table.columns:
            if not is_key(column):
                found += _of_column(stems, table, column)
    kept = [noun for noun in found if not any(_hides(other, noun) for other in found)]
    return sorted(kept, key=lambda noun: (noun.first, -noun.last, -noun.score, noun.column is not None, noun.table))


def label_of(table: Table) -> Column | None:
    """The column that names the rows: "name" or "title", one named like the table, else the first text but keys."""
    texts = [column for column in table.columns if column.type == "text" and not is_key(column)]
    by_name = {column.name.casefold(): column for column in texts}
    for name in _NAMES:
        if name in by_name:
            return by_name[name]
    words = set(name_stems(table.name))
    own = [column for column in texts if words & set(name_stems(column.name))]
    named = [column for column in own if {"name", "titl"} & set(name_stems(column.name))]
    return next(iter([*named, *own, *texts]), None)


def _of_table(stems: Sequence[str], table: Table) -> list[Noun]:
    parts = name_stems(table.name)
    found = []
    for first in range(len(stems) - len(parts) + 1):
        said = stems[first : first + len(parts)]
        if tuple(said) == parts:
            found.append(Noun(table.name, None, first, first + len(parts), 1.0))
        elif len(parts) == 1 and said[0] in _synonyms(parts[0]):
            found.append(Noun(table.name, None, first, first + 1, 0.9))
    return found


def _of_column(stems: Sequence[str], table: Table, column: Column) -> list[Noun]:
    parts = name_stems(column.name)
    telling = frozenset(part for part in parts if part not in _WEAK) or frozenset(parts)
    found = []
    starts = frozenset(parts) - _SMALL - (_WEAK if telling != frozenset(parts) else frozenset())
    for first in range(len(stems)):
        if stems[first] not in starts:
            continue
        last, matched = first + 1, {stems[first]}
        at = last
        while at < len(stems) and matched < frozenset(parts):
            if stems[at] in parts and stems[at] not in matched:
                matched.add(stems[at])
                last = at + 1
            elif stems[at] not in _SMALL:
                break
            at += 1
        share = len(matched & telling) / len(telling)
        if share >= 0.5:
            found.append(Noun(table.name, column, first, last, share if share == 1 else 0.5 * share))
    if found:
        return found
    words = Field(column.name, column.type).words | {same for part in telling for same in _synonyms(part)}
    if len(telling) > 1:
        return []
    return [
        Noun(table.name, column, at, at + 1, 0.6)
        for at, said in enumerate(stems)
        if said in words and said not in _SMALL
    ]


def _hides(other: Noun, noun: Noun) -> bool:
    """Whether more words, or the same more fully, mean something of the same table."""
    covers = other.first <= noun.first and noun.last <= other.last
    wider = other.last - other.first > noun.last - noun.first
    return covers and other.table == noun.table and (wider or (other.score > noun.score and other.score == 1.0))


@lru_cache(maxsize=4096)
def _synonyms(part: str) -> frozenset[str]:
    """Stems that mean the same as a stem, without it."""
    lines = [frozenset(map(stem, line.split())) for line in _SAME]
    return frozenset().union(*(line for line in lines if part in line)) - {part}
