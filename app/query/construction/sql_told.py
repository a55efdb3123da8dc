"""The conditions of a question on several tables: cells, years and numbers, each with the table that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from app.query.construction.fields import Field, FieldSchema, stem
from app.query.construction.negation import is_negated
from app.query.construction.quantities import find_quantities, plain
from app.query.construction.sql_keys import is_key
from app.query.construction.sql_mentions import Ref, name_stems
from app.query.construction.sql_nouns import Noun, label_of
from app.query.construction.sql_schema import Column, SqlSchema, Table
from app.query.construction.times import find_times
from app.query.construction.values import ValueMention, Word, find_values

_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_QUOTED = re.compile(r"[\"“「『]\s*([^\"”」』]{1,120}?)\s*[\"”」』]|(?<!\w)'([^']{2,120})'(?!\w)")
_BY = re.compile(r"\b(?:by|with|and|or)\s+(?:both\s+)?[\"“']?\s*$", re.IGNORECASE)
_OR = re.compile(r"[\s\"”']*(?:,|\bor\b|,\s*or\b)[\s\"“']*(?:by|in|at|from|with|the)?[\s\"“']*$", re.IGNORECASE)
_BETWEEN = frozenset({"is", "call", "name", "titl", "the", "as"})
_PEOPLE = (
    "author", "writer", "researcher", "actor", "actress", "director", "producer", "instructor", "teacher", "professor",
    "student", "employee", "customer", "user", "person", "people", "player", "singer", "artist", "musician", "doctor",
    "patient", "driver", "manager", "member", "staff", "coach",
)  # fmt: skip
PEOPLE = frozenset(map(stem, _PEOPLE))


@dataclass(frozen=True, slots=True)
class Heard:
    """A question with its words, what they mean in the schema, and the schema."""

    text: str
    words: Sequence[Word]
    nouns: Sequence[Noun]
    schema: SqlSchema

    def around(self, span: tuple[int, int]) -> tuple[int, int]:
        """(the number of words that end before the span, the number of the first word after it)."""
        first = sum(1 for word in self.words if word.end <= span[0])
        return first, len(self.words) - sum(1 for word in self.words if word.start >= span[1])

    def alike(self, noun: Noun) -> list[Noun]:
        """Every meaning of the noun's words."""
        return [other for other in self.nouns if (other.first, other.last) == (noun.first, noun.last)]


@dataclass(frozen=True, slots=True)
class Told:
    """`ref operator value`, read from the characters `span`; `values` are those of "A or B", beside `value`.

    `cue`: the noun that says of what the value is, as in "VLDB conference".
    """

    ref: Ref
    operator: str
    value: Any
    span: tuple[int, int]
    values: tuple[Any, ...] = ()
    cue: Noun | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """A condition on a group: `function` of `noun`, a table's rows or a column, `operator` `value`."""

    noun: Noun
    function: str
    operator: str
    value: Any
    span: tuple[int, int]


@dataclass(slots=True)
class Conditions:
    """`cells` and `bounds` of single rows, `groups` of groups; `used` nouns say what a condition is about."""

    cells: list[Told] = field(default_factory=list)
    bounds: list[Told] = field(default_factory=list)
    groups: list[Counted] = field(default_factory=list)
    used: list[Noun] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def spans(self) -> list[tuple[int, int]]:
        """The characters that conditions were read from."""
        return [told.span for told in (*self.cells, *self.bounds)] + [group.span for group in self.groups]


def read_conditions(heard: Heard, today: date) -> Conditions:
    """What the question says of the rows; quoted text that no cell holds and no noun explains is `unknown`."""
    found = Conditions()
    _read_cells(heard, found)
    _read_quoted(heard, found)
    _read_times(heard, today, found)
    _read_numbers(heard, found)
    return found


def blanked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with the spans filled with a character that is no word."""
    for start, end in spans:
        text = text[:start] + "\x1f" * (end - start) + text[end:]
    return text


def _read_cells(heard: Heard, found: Conditions) -> None:
    text, refs = heard.text, [Ref(table.name, column) for table in heard.schema.tables for column in table.columns]
    fields = FieldSchema(
        tuple(
            Field(str(number), "text", values=values)
            for number, values in heard.schema.values().candidates(heard.words).items()
            if refs[number].column.type == "text"
        )
    )
    for value in find_values(text, fields):
        span = (value.start, value.end)
        first, last = heard.around(span)
        quoted = text[: value.start].rstrip()[-1:] in ('"', "“", "「", "『")
        if not quoted and any(n.first <= first and last <= n.last and n.score >= 0.6 for n in heard.nouns):
            continue  # "state" is the table here, though a cell somewhere reads "State"
        if value.score < 0.85 and not quoted:
            continue
        ref, cue = _home(heard, value, [refs[int(name)] for name in value.fields], first, last)
        before = found.cells[-1] if found.cells else None
        between = text[before.span[1] : value.start] if before is not None else ""
        if before is not None and before.ref.key == ref.key and _OR.search(between) and re.search(r"\w|,", between):
            values = (*before.values, value.value)
            found.cells[-1] = Told(ref, "=", before.value, (before.span[0], value.end), values, cue)
            continue
        operator = "<>" if is_negated(text, heard.words, value.start, FieldSchema(())) else "="
        found.cells.append(Told(ref, operator, value.value, span, (), cue))
        found.used += heard.alike(cue) if cue is not None else []


def _home(
    heard: Heard, value: ValueMention, candidates: Sequence[Ref], first: int, last: int
) -> tuple[Ref, Noun | None]:
    """The column that the cell is meant of, and the noun beside it that says so."""
    beside = [noun for noun in heard.nouns if noun.first == last or _leads(heard.words, noun, first)]
    asked = [noun for noun in heard.nouns if noun.first == heard.nouns[0].first] if heard.nouns else []
    best: tuple[float, Ref, Noun | None] | None = None
    for ref in candidates:
        cue = next((noun for noun in beside if noun.column is not None and noun.ref == ref), None)
        cue = cue or next((noun for noun in beside if noun.column is None and noun.table == ref.table), None)
        said = [noun.score for noun in heard.nouns if noun.table == ref.table and noun.column in (None, ref.column)]
        score = (2.0 * cue.score if cue else 0.0) + 0.8 * max(said, default=0.0) + _naming(heard.schema, ref)
        if cue is None and ref in [noun.ref or _label(heard.schema, noun.table) for noun in asked]:
            score -= 1.5  # "the longest river in colorado" does not name the river
        if _BY.search(heard.text[: value.start]) and PEOPLE & set(name_stems(ref.table)):
            score += 0.4
        if best is None or score > best[0]:
            best = (score, ref, cue)
    assert best is not None
    return best[1], best[2]


def _naming(schema: SqlSchema, ref: Ref) -> float:
    """How far the column names the rows of its table, as against telling something else of them."""
    parts, words = name_stems(ref.column.name), name_stems(ref.table)
    score = 0.7 if _label(schema, ref.table) == ref else 0.0
    score += 0.3 if parts[: len(words)] == words or ref.column.name.casefold() in ("name", "title") else 0.0
    return score - (0.8 if is_key(ref.column) else 0.0)


def _label(schema: SqlSchema, table: str) -> Ref | None:
    known = schema.get(table)
    column = label_of(known) if known is not None else None
    return Ref(table, column) if column is not None else None


def _leads(words: Sequence[Word], noun: Noun, first: int) -> bool:
    """Whether the noun stands right before the word `first`, as in "keyword X", "author named X"."""
    between = words[noun.last : first]
    return noun.last <= first and len(between) <= 1 and all(stem(word.text) in _BETWEEN for word in between)


def _read_quoted(heard: Heard, found: Conditions) -> None:
    """Quoted text that no sampled cell holds: of the noun before or after it."""
    for match in _QUOTED.finditer(heard.text):
        said, span = match[1] or match[2], match.span()
        if not said or any(span[0] < end and start < span[1] for start, end in found.spans()):
            continue
        first, last = heard.around(span)
        cue = next((noun for noun in heard.nouns if noun.first == last or _leads(heard.words, noun, first)), None)
        ref = None if cue is None else cue.ref or _label(heard.schema, cue.table)
        if cue is None or ref is None or ref.column.type != "text":
            found.unknown.append(said)
            continue
        found.cells.append(Told(ref, "=", said, span, (), cue))
        found.used += heard.alike(cue)


def _read_times(heard: Heard, today: date, found: Conditions) -> None:
    refs = [Ref(table.name, column) for table in heard.schema.tables for column in table.columns]
    for time in find_times(blanked(heard.text, found.spans()), today):
        years = [ref for ref in refs if ref.column.as_field().is_year] if time.years else []
        dates = [ref for ref in refs if ref.column.type == "date"]
        near = [noun for noun in heard.nouns if heard.words[noun.first].start < time.start]
        ref = _of_nearest(near, heard.nouns, years or dates, [told.ref.table for told in found.cells])
        if ref is None:
            continue
        operations: Any = time.year_range() if ref in years else time.date_range()
        if not isinstance(operations, dict):
            operations = {"eq": operations}
        span = (time.start, time.end)
        found.bounds += [Told(ref, _OPERATORS[name], value, span) for name, value in operations.items()]


def _of_nearest(
    before: Sequence[Noun], nouns: Sequence[Noun], columns: Sequence[Ref], tables: Sequence[str]
) -> Ref | None:
    """The column whose table is named last before, or named at all, or asked for already, or which is the only one."""
    said = [noun.table for noun in (*reversed(before), *nouns)]
    for name in (*said, *tables):
        of_table = [ref for ref in columns if ref.table == name]
        if of_table:
            return next((ref for ref in of_table if any(n.ref == ref for n in nouns)), of_table[0])
    return columns[0] if len(columns) == 1 else None


def _read_numbers(heard: Heard, found: Conditions) -> None:
    for quantity in find_quantities(blanked(heard.text, found.spans())):
        digits = [n for n, word in enumerate(heard.words) if quantity.start <= word.start < quantity.end]
        if not digits:
            continue
        at = next((n for n in reversed(digits) if any(sign.isdigit() for sign in heard.words[n].text)), digits[-1])
        noun, total = _measured(heard, at, digits[0], compared=quantity.compared)
        span, value = (quantity.start, quantity.end), plain(quantity.value)
        if noun is None:
            _read_numbered(heard, found, span, at)
            continue
        if noun.first > at:
            span = (quantity.start, max(quantity.end, heard.words[noun.last - 1].end))
        operator = _OPERATORS.get(quantity.operator, "=")
        if noun.column is not None and not total:
            ref, shown = Ref(noun.table, noun.column), value if noun.column.type == "number" else heard.words[at].text
            if quantity.operator == "between":
                found.bounds.append(Told(ref, ">=", value, span))
                operator, shown = "<=", plain(quantity.high or 0.0)
            found.bounds.append(Told(ref, operator, shown, span))
        elif quantity.compared and (total or noun.first > at):
            found.groups.append(Counted(noun, total or "COUNT", operator, value, span))
        elif not quantity.compared and (numbered := _number_of(heard.schema.get(noun.table))) is not None:
            found.bounds.append(Told(Ref(noun.table, numbered), "=", value, span))  # "course 280"
        else:
            continue
        found.used += heard.alike(noun)


def _read_numbered(heard: Heard, found: Conditions, span: tuple[int, int], at: int) -> None:
    """A number right after a cell: "MATH 280" where courses have a department and a number."""
    for cell in found.cells:
        numbered = _number_of(heard.schema.get(cell.ref.table))
        if numbered is not None and heard.around(cell.span)[1] == at:
            shown: Any = heard.words[at].text
            if numbered.type == "number" and shown.isdigit():
                shown = int(shown)
            found.bounds.append(Told(Ref(cell.ref.table, numbered), "=", shown, span))
            return


def _measured(heard: Heard, at: int, first: int, *, compared: bool) -> tuple[Noun | None, str]:
    """(what the number at word `at` measures, the aggregate that is said of it)."""
    words = heard.words
    said = " ".join(word.text.lower() for word in words[max(0, first - 4) : at + 3])
    total = "SUM" if re.search(r"\b(?:total|combined|altogether)\b", said) else ""
    total = "AVG" if re.search(r"\b(?:average|mean)\b", said) else total
    fitting = [noun for noun in heard.nouns if noun.column is None or noun.column.type == "number" or not compared]
    skip = 1 if total and at + 1 < len(words) and words[at + 1].text.lower() in ("total", "average", "combined") else 0
    after = [noun for noun in fitting if noun.first == at + 1 + skip]
    before = [noun for noun in fitting if noun.last <= first and first - noun.last <= (3 if compared else 1)]
    after.sort(key=lambda noun: (-noun.score, noun.column is None))
    before.sort(key=lambda noun: (-noun.last, noun.column is None, -noun.score))
    if compared and after:
        return after[0], total
    if before and (not compared or before[0].column is not None):
        return before[0], total
    return (after[0], total) if after and after[0].column is not None else (None, "")


def _number_of(table: Table | None) -> Column | None:
    columns = table.columns if table is not None else ()
    return next((c for c in columns if name_stems(c.name) in (("number",), ("no",), ("nr",))), None)
