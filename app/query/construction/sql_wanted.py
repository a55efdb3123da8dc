"""What a question on several tables asks for: a column or the rows of a table, counted, grouped, ordered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.query.construction.fields import stem
from app.query.construction.sql_keys import is_key
from app.query.construction.sql_mentions import Ref, name_stems
from app.query.construction.sql_nouns import Noun, label_of
from app.query.construction.sql_schema import Column, SqlSchema, Table
from app.query.construction.sql_told import PEOPLE, Conditions, Heard, blanked
from app.query.construction.values import Word

_COUNT = re.compile(r"\b(?:how\s+many|(?:total\s+)?number\s+of|count(?:\s+of)?)\b|多少|几[个位名]|数量", re.IGNORECASE)
_TOTAL = re.compile(r"\b(?:total|sum\s+of|combined)\b(?!\s+number)|总", re.IGNORECASE)
_AVERAGE = re.compile(r"\b(?:average|mean)\b|平均", re.IGNORECASE)
_EACH = re.compile(
    r"\b(?:per|for\s+(?:each|every)|by\s+each|grouped\s+by|in\s+each|of\s+each|each|every)\s+", re.IGNORECASE
)
_HIGH = (
    r"most|highest|largest|biggest|greatest|maximum|max|longest|tallest|best|top|latest|newest|most\s+recent|heaviest|"
    r"fastest|busiest|richest|most\s+expensive|deepest"
)
_LOW = r"least|fewest|lowest|smallest|minimum|min|shortest|worst|earliest|oldest|lightest|slowest|cheapest|youngest"
_EDGE = re.compile(rf"\b(?:(?P<high>{_HIGH})|(?P<low>{_LOW}))\b", re.IGNORECASE)
_TOP_N = re.compile(
    r"\b(?:top|first|best|bottom|worst|last)\s+(?P<n>\d{1,3})\b|\b(?P<m>\d{1,3})\s+(?:most|highest|largest|best)\b"
)
_HOW = re.compile(
    r"\bhow\s+(?P<how>big|large|long|high|tall|old|deep|heavy|fast|expensive|wide|many\s+people)\b", re.IGNORECASE
)
_WHO = re.compile(r"^\W*(?:who|whom|whose)\b|谁", re.IGNORECASE)
_WHEN = re.compile(r"^\W*(?:when|(?:in\s+)?(?:what|which)\s+year)\b", re.IGNORECASE)
_WHERE = re.compile(r"^\W*where\b", re.IGNORECASE)
_TIMES = frozenset(map(stem, ("year", "date", "time")))
_PLACES = frozenset(map(stem, ("address", "location", "city", "state", "country", "place", "venue")))
# an adjective → the columns that it measures, the likeliest first
_MEASURES = (
    (("big", "larg", "great", "small", "popul", "many people"), ("population", "area", "size", "capacity", "amount")),
    (("long", "short"), ("length", "duration", "distance", "pages", "minutes", "height")),
    (("high", "tall", "low", "deep"), ("height", "elevation", "altitude", "depth", "price", "score", "rating")),
    (("old", "earli"), ("age", "year", "date", "birth", "founded")),
    (("young", "latest", "newest", "most recent"), ("year", "date", "birth")),
    (("heav", "light"), ("weight",)),
    (("fast", "slow"), ("speed",)),
    (("expens", "cheap", "rich"), ("price", "cost", "fare", "salary", "budget")),
    (("best", "worst", "top"), ("rating", "score", "rank", "points")),
)  # fmt: skip
_OF_LAND = ("area", "size", "population")  # of what has an area it is meant: a state's land, but a city's people
_BEFORE_MEASURE = frozenset({"number", "of", "total", "amount", "the", "count"})
_NAMING = frozenset(map(stem, ("name", "title")))
_OF_MANY = frozenset({"most", "least", "fewest", "maximum", "minimum", "max", "min"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is selected and how. `table` is that of the rows; `column` None only where rows are counted.

    Args:
        aggregate: COUNT, SUM, AVG, MAX or MIN of the column.
        group: for each of which values.
        order: a column, or with `order_function` that function of a column or (COUNT) of a table's rows.
        nouns: those that are accounted for.
    """

    table: str
    column: Column | None
    aggregate: str | None = None
    group: Ref | None = None
    order: Ref | None = None
    order_function: str | None = None
    descending: bool = True
    limit: int | None = None
    nouns: tuple[Noun, ...] = ()


def find_wanted(heard: Heard, told: Conditions) -> Wanted | None:
    """What is asked for; None where no table or column of the schema is."""
    rest = blanked(heard.text, told.spans())
    free = _free(heard, told)
    edge = _edge(rest, heard.words, free)
    group, free = _group(rest, heard.words, free)
    measure, left = _measure(edge, heard.words, free)
    chosen = _target(rest, heard, left or free, told, measure)
    label = _label_ref(group, heard.schema) if group is not None else None
    counting = _COUNT.search(rest)
    if chosen is None:
        return Wanted(group.table, None, "COUNT", label, nouns=(group,)) if group is not None and counting else None
    table = heard.schema.get(chosen.table)
    assert table is not None
    asked = _Asked(chosen, table, chosen.column or label_of(table), label, heard, rest)
    nouns = tuple(noun for noun in (chosen, group, measure) if noun is not None)
    found = _at_the_edge(edge, measure, asked) if edge is not None else None
    if found is None and counting and counting.start() <= heard.words[chosen.first].start and not _HOW.search(rest):
        found = _counted(asked)
    found = found or _plain(asked)
    return replace(found, nouns=nouns) if found is not None else None


def _free(heard: Heard, told: Conditions) -> list[Noun]:
    """The nouns that no condition is about; "name" and the like as the first word are orders."""
    used = {(noun.first, noun.last) for noun in told.used}
    spans = [cell.span for cell in told.cells]
    words = heard.words
    return [
        noun
        for noun in heard.nouns
        if (noun.first, noun.last) not in used
        and not any(start < words[noun.last - 1].end and words[noun.first].start < end for start, end in spans)
        and not (noun.first == 0 and noun.last == 1 and words[0].text.lower() in ("name", "list", "show", "state"))
    ]


@dataclass(frozen=True, slots=True)
class _Edge:
    """ "most", "largest": its word and span, whether the high end is meant, how many rows, the first word after it.

    `inside` is the column that holds the word in its own name, as "highest elevation" does.
    """

    span: tuple[int, int]
    word: str
    descending: bool
    limit: int
    at: int
    inside: Noun | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the question asks for, before how: a noun, its table, the column that is shown, the groups' column."""

    noun: Noun
    table: Table
    column: Column | None
    label: Ref | None
    heard: Heard
    rest: str


def _edge(rest: str, words: Sequence[Word], free: Sequence[Noun]) -> _Edge | None:
    for match in _EDGE.finditer(rest):
        inside = [
            n for n in free if words[n.first].start <= match.start() < words[n.last - 1].end and n.last - n.first > 1
        ]
        number = _TOP_N.search(rest)
        limit = int(number["n"] or number["m"]) if number else 1
        at = next((n for n, w in enumerate(words) if w.start >= match.end()), len(words))
        found = _Edge(match.span(), match.group().lower(), match.lastgroup == "high", limit, at)
        if not inside:
            return found
        numbers = [noun for noun in inside if noun.column is not None and noun.column.type == "number"]
        if numbers and any(noun.last <= numbers[0].first for noun in free):
            return replace(found, inside=numbers[0])  # "which state has the highest elevation"
    return None


def _measure(edge: _Edge | None, words: Sequence[Word], free: Sequence[Noun]) -> tuple[Noun | None, list[Noun]]:
    """(the noun that the superlative is of, the nouns that are left to be asked for)."""
    if edge is None:
        return None, list(free)
    if edge.inside is not None:
        return edge.inside, [noun for noun in free if noun.first != edge.inside.first]
    by = next((n for n in range(edge.at, len(words)) if words[n].text.lower() == "by"), len(words))
    named = [noun for noun in free if noun.first == by + 1 and noun.column is not None and noun.column.type == "number"]
    if named:  # "top 5 products by revenue"
        return named[0], [noun for noun in free if noun.first != by + 1]
    at = edge.at
    while at < len(words) and (words[at].text.lower() in _BEFORE_MEASURE or words[at].text.isdigit()):
        at += 1
    after = [noun for noun in free if noun.first == at]
    after.sort(
        key=lambda noun: (noun.column is None or noun.column.type != "number", -noun.score, noun.column is not None)
    )
    left = [noun for noun in free if noun.first != at]
    before = [noun for noun in left if words[noun.first].start < edge.span[0]]
    if not after or (not before and (after[0].column is None or after[0].column.type != "number")):
        return None, list(free)  # "what is the largest city": the city is asked for
    return after[0], left


def _target(rest: str, heard: Heard, free: Sequence[Noun], told: Conditions, measure: Noun | None) -> Noun | None:
    """The noun that is asked for: the first one; of its meanings the one whose table the conditions speak of."""
    homes = {cell.ref.table for cell in told.cells} | {bound.ref.table for bound in told.bounds}
    said = {noun.table for noun in free if noun.column is None}
    implied = _implied(rest, heard.schema, free, told, homes, said)
    if implied is not None or not free:
        return implied
    first = free[0].first
    meanings = [noun for noun in free if noun.first == first]
    last = max(noun.last for noun in meanings)
    beside = next((n.table for n in free if n.first >= last and n.column is None and n.first - last <= 2), None)
    if beside is None and measure is not None and measure.column is None:
        beside = measure.table  # "the size of the largest state"
    if beside is not None and last == first + 1 and stem(heard.words[first].text) in _NAMING:
        return Noun(beside, None, first, last, 1.0)  # "the names of shops"

    def score(noun: Noun) -> float:
        found = noun.score + 0.1 * (noun.last - noun.first)
        if noun.column is None:
            return found + 0.4
        found += (0.5 if noun.table in homes else 0.0) + (0.6 if noun.table == beside else 0.0)
        return found - (0.6 if any(cell.ref == noun.ref for cell in told.cells) else 0.0)

    return max(meanings, key=score)


def _implied(
    rest: str, schema: SqlSchema, free: Sequence[Noun], told: Conditions, homes: set[str], said: set[str]
) -> Noun | None:
    """What "how big", who, where and when ask for without a noun; None where a noun says it."""
    if (how := _HOW.search(rest)) is not None:
        measured = _by_adjective(how["how"].lower(), homes or said, schema)
        return Noun(measured.table, measured.column, 0, 1, 0.8) if measured is not None else None
    first = [noun for noun in free if noun.first == free[0].first]
    if _WHO.search(rest):
        if any(noun.score == 1 and (noun.column is not None or _is_person(noun.table)) for noun in first):
            return None
        near = [table.name for table in schema.tables if _is_person(table.name)]
        near.sort(key=lambda name: (name not in homes, name not in said))
        return Noun(near[0], None, 0, 1, 0.7) if near else None
    wanted = _PLACES if _WHERE.search(rest) else _TIMES if _WHEN.search(rest) else frozenset()
    held = [cell.ref for cell in told.cells]
    for table in schema.tables:
        for column in table.columns if table.name in homes else ():
            if wanted & set(name_stems(column.name)) and not is_key(column) and Ref(table.name, column) not in held:
                return Noun(table.name, column, 0, 1, 0.7)
    return None


def _at_the_edge(edge: _Edge, measure: Noun | None, asked: _Asked) -> Wanted | None:
    """The rows at one end of an order: of a column, of how many rows belong to each, or of what an adjective means."""
    table, column = asked.table, asked.column
    of = asked.noun.ref
    if measure is not None and measure.column is not None and measure.column.type == "number":
        total = "SUM" if _TOTAL.search(asked.rest) else "AVG" if _AVERAGE.search(asked.rest) else None
        order = Ref(measure.table, measure.column)
        if column is None or order == Ref(table.name, column):
            return Wanted(table.name, measure.column, "MAX" if edge.descending else "MIN", asked.label)
        return Wanted(table.name, column, None, None, order, total, edge.descending, edge.limit)
    counted = edge.word in _OF_MANY or "number" in asked.rest[edge.span[1] : edge.span[1] + 12]
    if measure is not None and counted and measure.table != table.name:
        known = asked.heard.schema.get(measure.table)
        rows = measure.column or (label_of(known) if known else None)
        if column is None or rows is None:
            return None
        return Wanted(table.name, column, None, None, Ref(measure.table, rows), "COUNT", edge.descending, edge.limit)
    if measure is None and of is not None and of.column.type == "number":
        return Wanted(table.name, of.column, "MAX" if edge.descending else "MIN", asked.label)
    by = _by_adjective(edge.word, {table.name if measure is None else measure.table}, asked.heard.schema)
    if by is None or column is None:
        return None
    descending = edge.descending
    if edge.word in ("oldest", "youngest"):  # an age grows where a year shrinks
        descending = (edge.word == "oldest") == ("age" in name_stems(by.column.name))
    return Wanted(table.name, column, None, None, by, None, descending, edge.limit)


def _counted(asked: _Asked) -> Wanted | None:
    """How many rows, or different values, there are; a column of numbers that counts already is shown as it is."""
    column = asked.noun.column
    if column is None or column.type != "number":
        return Wanted(asked.table.name, column, "COUNT", asked.label)
    return None


def _plain(asked: _Asked) -> Wanted | None:
    table, column, label = asked.table, asked.column, asked.label
    if column is None:
        return None
    if asked.noun.column is None or column.type != "number":
        return Wanted(table.name, column, "COUNT" if label and _COUNT.search(asked.rest) else None, label)
    if _AVERAGE.search(asked.rest):
        return Wanted(table.name, column, "AVG", label)
    return Wanted(table.name, column, "SUM" if label or _TOTAL.search(asked.rest) else None, label)


def _group(rest: str, words: Sequence[Word], free: Sequence[Noun]) -> tuple[Noun | None, list[Noun]]:
    """(what "for each" stands before, the other nouns)."""
    for match in _EACH.finditer(rest):
        at = next((n for n, word in enumerate(words) if word.start >= match.end()), None)
        named = [noun for noun in free if noun.first == at]
        if named:
            best = max(named, key=lambda noun: (noun.score, noun.column is None))
            return best, [noun for noun in free if noun.first != at]
    return None, list(free)


def _label_ref(noun: Noun, schema: SqlSchema) -> Ref | None:
    table = schema.get(noun.table)
    column = noun.column or (label_of(table) if table else None)
    return Ref(noun.table, column) if column is not None else None


def _by_adjective(word: str, tables: set[str], schema: SqlSchema) -> Ref | None:
    """The number that an adjective is about, in one of the tables."""
    names = next((columns for starts, columns in _MEASURES if word.startswith(starts)), ())
    for name in sorted(tables):
        table = schema.get(name)
        assert table is not None
        numbers = [c for c in table.columns if c.type in ("number", "date") and not is_key(c)]
        land = (
            names[:1] == ("population",)
            and word != "many people"
            and any("area" in name_stems(c.name) for c in numbers)
        )
        for part in _OF_LAND if land else names:
            for column in numbers:
                if stem(part) in name_stems(column.name):
                    return Ref(name, column)
        if len(numbers) == 1 and names:
            return Ref(name, numbers[0])
    return None


def _is_person(table: str) -> bool:
    parts = name_stems(table)
    return len(parts) == 1 and parts[0] in PEOPLE
