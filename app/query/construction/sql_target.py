"""What a question asks of a table: the column, the aggregate, the grouping, the order and how many rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.query.construction.sql_conditions import SqlCondition
from app.query.construction.sql_mentions import ColumnMention, Ref, name_stems
from app.query.construction.sql_schema import SqlSchema
from app.query.construction.values import Word

_AGGREGATES = (
    ("AVG", r"\b(?:average|mean)\b|平均"),
    ("SUM", r"\b(?:sum|combined|in total|altogether|overall total)\b|总和|合计|总共|总额|总计"),
    ("MAX", r"\b(?:highest|largest|most|maximum|max|greatest|latest|biggest|longest|tallest|newest"
            r"|most recent|heaviest|top|best)\b"
            r"|最高|最大|最多|最晚|最新|最长"),
    ("MIN", r"\b(?:lowest|smallest|least|minimum|min|fewest|earliest|shortest|oldest|lightest|worst)\b|最低"
            r"|最小|最少|最早|最短"),
)  # fmt: skip
_COUNT = re.compile(
    r"\b(?:how many|total number|number of|count(?:\s+of)?|total amount of)\b|多少[个名位家篇条次]"
    r"|几[个名位家篇条]|数量",
    re.I,
)
_NUMERIC_TOTAL = re.compile(r"\btotal\b|总", re.IGNORECASE)
_GROUP = re.compile(
    r"\b(?:per|for each|for every|by each|grouped by|broken down by|in each|each)\s+|每个?|各个?|按", re.IGNORECASE
)
_TOP = re.compile(
    r"\b(?P<side>top|first|bottom|last)\s+(?P<n>\d{1,4})\b|\b(?P<n2>\d{1,4})\s+(?:most|highest|largest"
    r"|lowest|smallest)\b",
    re.I,
)
_ORDER = re.compile(
    r"\b(?:ordered|sorted|ranked|order|sort)\s+by\s+|\bby\s+(?=\w+\s*(?:[?.]|$|desc|asc))", re.IGNORECASE
)
_WHO = re.compile(r"\b(?:who|whom|whose)\b|谁", re.IGNORECASE)
_WHEN = re.compile(r"\b(?:when|what (?:day|date|year|time))\b|何时|什么时候|哪天", re.IGNORECASE)
_WHERE = re.compile(r"\bwhere\b|哪里|哪儿|在哪", re.IGNORECASE)
_PERSON = frozenset({
    "player", "driver", "name", "winner", "author", "writer", "candid", "rider", "artist", "director", "coach",
    "incumb", "manag", "peopl", "person", "actor", "skipper", "champion", "leader", "king", "pilot", "employe",
    "custom", "student", "teacher", "scorer", "wrestler", "姓", "名",
})  # fmt: skip
_TIME = frozenset({"date", "year", "time", "season", "day", "air", "start", "born", "month", "日", "年"})
_PLACE = frozenset({
    "locat", "venu", "place", "citi", "site", "stadium", "countri", "state", "hometown", "region", "town", "ground",
    "circuit", "地",
})  # fmt: skip
_ASK = frozenset({
    "what", "which", "whose", "name", "list", "show", "give", "tell", "find", "many", "much", "number", "is", "are",
    "was", "were", "the", "me", "s", "total", "average", "highest", "lowest", "sum", "most", "least", "of",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """`ref` is None for a count of rows; `named` says whether the question names the column."""

    table: str
    ref: Ref | None
    aggregate: str | None
    named: bool
    distinct: bool = False
    group_by: Ref | None = None
    order_by: Ref | None = None
    descending: bool = False
    limit: int | None = None

    @property
    def refs(self) -> list[Ref]:
        return [ref for ref in (self.ref, self.group_by, self.order_by) if ref is not None]


def find_target(
    question: str,
    words: Sequence[Word],
    mentions: Sequence[ColumnMention],
    tables: Mapping[str, tuple[int, int]],
    conditions: Sequence[SqlCondition],
    schema: SqlSchema,
) -> Target | None:
    """What the question asks for; None where it names nothing that the schema has."""
    free = [m for m in mentions if not _used(words, m, conditions)]
    group = _grouped(question, words, free)
    if group is not None:
        free = [m for m in free if m.ref.key != group.ref.key]
    question = _without_names(question, words, mentions, conditions)
    aggregate = _aggregate(question)
    top = _superlative(question, words, free, aggregate, schema)
    chosen = _chosen(question, words, free, conditions, schema)
    counting = _COUNT.search(question)
    if top is not None and not (counting and top.limit is None):
        return top
    rows = _counted_table(words, counting, tables) if counting else None
    if counting and (rows or chosen is None or chosen.ref.column.type != "number" or _says_count(question)):
        return _count(question, words, chosen, tables, conditions, group, schema)
    if chosen is not None:
        if aggregate is None and chosen.ref.column.type == "number" and group is not None:
            aggregate = "SUM"
        if aggregate in ("SUM", "AVG") and chosen.ref.column.type != "number":
            aggregate = "COUNT" if aggregate == "SUM" else aggregate
        if aggregate is None and _NUMERIC_TOTAL.search(question) and _total_of(question, words, chosen):
            aggregate = "SUM" if chosen.ref.column.type == "number" else "COUNT"
        return Target(chosen.ref.table, chosen.ref, aggregate, True, group_by=group.ref if group else None)
    if group is not None and (counting or aggregate is None):
        return Target(group.ref.table, None, "COUNT", True, group_by=group.ref)
    guess = _by_kind(question, conditions, schema)
    if (
        guess is None
        and len(tables) == 1
        and (
            conditions
            or re.match(
                r"\s*(?:list|show|which"
                r"|all)\b",
                question,
                re.I,
            )
        )
    ):
        guess = _label(schema, next(iter(tables)))  # "employees with a salary over 50k": their names
    return Target(guess.table, guess, aggregate, False) if guess is not None else None


def _without_names(
    question: str, words: Sequence[Word], mentions: Sequence[ColumnMention], conditions: Sequence[SqlCondition]
) -> str:
    """The question with cells and names of columns blanked: "best" in the name of a song asks for nothing."""
    for mention in mentions:
        if mention.score >= 0.99 and mention.last - mention.first > 1:
            start, end = words[mention.first].start, words[mention.last - 1].end
            question = question[:start] + "\x1f" * (end - start) + question[end:]
    for condition in conditions:
        start, end = condition.span
        if isinstance(condition.value, str):
            question = question[:start] + "\x1f" * (end - start) + question[end:]
    return question


def _count(
    question: str,
    words: Sequence[Word],
    chosen: ColumnMention | None,
    tables: Mapping[str, tuple[int, int]],
    conditions: Sequence[SqlCondition],
    group: ColumnMention | None,
    schema: SqlSchema,
) -> Target | None:
    by = group.ref if group else None
    counted = _counted_table(words, _COUNT.search(question), tables)
    if counted is not None:
        return Target(counted, None, "COUNT", True, group_by=by)
    if chosen is not None:
        distinct = bool(re.search(r"\b(?:different|distinct|unique)\b|不同", question, re.IGNORECASE))
        return Target(chosen.ref.table, chosen.ref, "COUNT", True, distinct=distinct, group_by=by)
    table = conditions[0].ref.table if conditions else next(iter(tables), schema.tables[0].name)
    if not conditions and not tables and by is None:
        return None
    return Target(table, None, "COUNT", False, group_by=by)


def _counted_table(
    words: Sequence[Word], counting: re.Match[str] | None, tables: Mapping[str, tuple[int, int]]
) -> str | None:
    """The table that is named right after "how many": its rows are meant."""
    assert counting is not None
    after = next((n for n, word in enumerate(words) if word.start >= counting.end()), len(words))
    return next((name for name, (first, _) in tables.items() if after <= first <= after + 2), None)


def _says_count(question: str) -> bool:
    return bool(
        re.search(r"\btotal number\b|\bhow many (?:different|distinct|unique|times)\b", question, re.IGNORECASE)
    )


def _aggregate(question: str) -> str | None:
    found = [
        (match.start(), name) for name, words in _AGGREGATES if (match := re.search(words, question, re.IGNORECASE))
    ]
    return min(found)[1] if found else None


def _total_of(question: str, words: Sequence[Word], chosen: ColumnMention) -> bool:
    before = question[: words[chosen.first].start].lower().rstrip()
    return before.endswith(("total", "the total", "total of", "总", "total number of")) and "total" not in name_stems(
        chosen.ref.column.name
    )


def _used(words: Sequence[Word], mention: ColumnMention, conditions: Sequence[SqlCondition]) -> bool:
    start, end = words[mention.first].start, words[mention.last - 1].end
    for condition in conditions:
        if condition.named and condition.named[0] < mention.last and mention.first < condition.named[1]:
            return True
        if start < condition.span[1] and condition.span[0] < end and condition.operator == "=":
            return True
        if condition.ref.key == mention.ref.key and condition.operator == "=" and mention.score < 1:
            return True
    return False


def _chosen(
    question: str,
    words: Sequence[Word],
    free: Sequence[ColumnMention],
    conditions: Sequence[SqlCondition],
    schema: SqlSchema,
) -> ColumnMention | None:
    """The named column that is asked for: whole names rather than parts, right after the question word, first."""
    held = {condition.ref.key for condition in conditions}
    home = {condition.ref.table for condition in conditions}
    best: tuple[float, ColumnMention] | None = None
    kind = _kind_words(question)
    for mention in free:
        lead = [word.text.lower() for word in words[: mention.first]][-3:]
        asked = sum(text in _ASK for text in lead) / 3
        score = 2 * mention.score + 0.3 * (mention.last - mention.first) + asked - 0.06 * mention.first
        score -= 0.7 if mention.ref.key in held else 0
        score += 0.3 if mention.ref.table in home else 0
        score += 0.8 if kind and kind & set(name_stems(mention.ref.column.name)) else 0
        if best is None or score > best[0]:
            best = (score, mention)
    if best is None:
        return None
    if kind and best[1].score < 0.6 and _by_kind(question, conditions, schema) is not None:
        return None
    return best[1]


def _kind_words(question: str) -> frozenset[str]:
    if _WHO.search(question):
        return _PERSON
    if _WHEN.search(question):
        return _TIME
    return _PLACE if _WHERE.search(question) else frozenset()


def _by_kind(question: str, conditions: Sequence[SqlCondition], schema: SqlSchema) -> Ref | None:
    """Who, when and where ask for a person, a time and a place, where one column alone is such."""
    kind = _kind_words(question)
    held = {condition.ref.key for condition in conditions}
    tables = [condition.ref.table for condition in conditions] or [table.name for table in schema.tables]
    fitting = [
        Ref(table.name, column)
        for table in schema.tables
        if table.name in tables
        for column in table.columns
        if (table.name, column.name) not in held and kind & set(name_stems(column.name))
    ]
    if len(fitting) == 1 or (fitting and conditions):
        return fitting[0]
    if conditions:  # one column is left that is not a condition: it is what is asked
        left = [
            Ref(table.name, column)
            for table in schema.tables
            if table.name in tables
            for column in table.columns
            if (table.name, column.name) not in held
        ]
        return left[0] if len(left) == 1 else None
    return None


def _grouped(question: str, words: Sequence[Word], free: Sequence[ColumnMention]) -> ColumnMention | None:
    for match in _GROUP.finditer(question):
        at = next((n for n, word in enumerate(words) if word.start >= match.end()), None)
        named = [mention for mention in free if mention.first == at]
        if named:
            return named[0]
    return None


def _superlative(
    question: str,
    words: Sequence[Word],
    free: Sequence[ColumnMention],
    aggregate: str | None,
    schema: SqlSchema,
) -> Target | None:
    """ "top 5 products by revenue", "which player has the most points": rows in an order, not a single number."""
    top = _TOP.search(question)
    ordered = _ORDER.search(question)
    which = re.search(r"\b(?:which|who|what)\b.*?\b(?:has|have|had|with|got|scored|received|made|is"
            r"|earn(?:s|ed)|\w+ed|\w+s)\s+(?:the\s+)?"
                      r"(?P<how>highest|most|largest|greatest|lowest|least|fewest|smallest|oldest|newest"
                              r"|longest|shortest)\b",
                      question, re.IGNORECASE)  # fmt: skip
    if top is None and which is None:
        return None
    if (
        which is not None
        and top is None
        and re.search(r"\b(?:what|which)\s+(?:is|was|are|were)\s+(?:the\s+)?", which.group(), re.I)
    ):
        return None
    edge = ordered.end() if ordered else (which.end("how") if which else top.end() if top else 0)
    measures = [m for m in free if words[m.first].start >= edge - 1 and m.ref.column.type == "number"]
    if which is not None and not measures:  # "who earns the most?"
        measures = [m for m in free if m.ref.column.type == "number"]
    measures.sort(key=lambda m: (words[m.first].start, -m.score))
    if not measures:
        return None
    asked = [
        m for m in free if m.ref.key != measures[0].ref.key and words[m.first].start < words[measures[0].first].start
    ]
    table = measures[0].ref.table
    ref = asked[0].ref if asked else _label(schema, table)
    if ref is None:
        return None
    low = aggregate == "MIN" or bool(top and (top["side"] or "").lower() in ("bottom", "last"))
    count = int((top["n"] or top["n2"]) if top else 1)
    return Target(ref.table, ref, None, bool(asked), order_by=measures[0].ref, descending=not low, limit=count)


def _label(schema: SqlSchema, table: str) -> Ref | None:
    """The column that names the rows of a table: "name" or "title", else the first text column."""
    found = schema.get(table)
    assert found is not None
    texts = [column for column in found.columns if column.type == "text"]
    named = [column for column in texts if {"name", "titl"} & set(name_stems(column.name))]
    chosen = (named or texts)[:1]
    return Ref(found.name, chosen[0]) if chosen else None
