"""The conditions of a question on columns: cells that it names, comparisons with numbers, "COLUMN of VALUE"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from app.query.construction.fields import Field, FieldSchema
from app.query.construction.negation import is_negated
from app.query.construction.quantities import Quantity, find_quantities, plain
from app.query.construction.sql_mentions import ColumnMention, Ref, name_stems
from app.query.construction.times import TimeMention, find_times
from app.query.construction.value_index import ValueIndex
from app.query.construction.values import ValueMention, Word, find_values

_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_AFTER_NAME = re.compile(
    r"[\s'\"’]*(?:(?:of|is|was|are|were|being|as|equals?|equal\s+to|named|called|has|had|reads?|shows?|=|:|为|是|等于)[\s'\"’]+)+(?:the\s+)?",
    re.IGNORECASE,
)
_VALUE_END = re.compile(
    r"\s*(?:[?;!？；]|,(?!\d{3}\b)|\.(?=\s|$)|，|。|$|\s(?:and|when|where|if|with|who|which|that|while"
    r"|whose|has|have|had|what|how"
    r"|as\s+well|along|but|for|in|on|at|is|was|are|were|did|does|by)\b)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“「『《]([^\"”」』》]{1,120})[\"”」』》]|(?<!\w)'([^']{2,120})'(?!\w)")
_CLAUSE_WORDS = frozenset(
    [
        "a",
        "an",
        "with",
        "and",
        "has",
        "have",
        "had",
        "whose",
        "where",
        "when",
        "if",
        "while",
        "whether",
        "having",
        "of",
        "and",
        "by",
    ]
)
_REACH = 4
_MOST = 20  # values that are read beside their column
_TIME_LEAD = re.compile(
    r"(?:\b(?:(?P<after>after|later than|following|past)|(?P<since>since|starting in)|(?P<before>before"
            r"|prior to|earlier than|until)"
    r"|(?P<when>in|during|of|from))\s+(?:the\s+)?(?:year\s+)?)$", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """`table.column operator value`; `high` is the other end of BETWEEN; `several` the values of IN.

    `span`: the characters of the question that it was read from; `named`: the words of the column's name beside it.
    """

    ref: Ref
    operator: str
    value: Any
    span: tuple[int, int]
    named: tuple[int, int] | None
    high: Any = None


def find_conditions(
    question: str,
    words: Sequence[Word],
    mentions: Sequence[ColumnMention],
    refs: Sequence[Ref],
    today: date,
    values: ValueIndex,
) -> list[SqlCondition]:
    """The conditions in the order of the question; what belongs to no column is left out.

    Args:
        question: the text that `words` were taken from.
        words: of the question.
        mentions: where columns are named.
        refs: the columns, as `values` numbers them.
        today: for "last year".
        values: the cells that the question may name.
    """
    found: list[SqlCondition] = []
    taken: list[tuple[int, int]] = []
    fields = FieldSchema(
        tuple(
            Field(str(number), refs[number].column.type, values=found)
            for number, found in values.candidates(words).items()
            if refs[number].column.type == "text"
        )
    )
    whole = [(words[m.first].start, words[m.last - 1].end) for m in mentions if m.score >= 0.99]
    for value in find_values(question, fields):
        is_name = any(refs[int(name)].column.name.casefold() == value.value.casefold() for name in value.fields)
        if (value.score < 1 or is_name) and _overlaps((value.start, value.end), whole):
            continue
        ref, named = _column_of_value(words, mentions, value, [refs[int(name)] for name in value.fields])
        operator = "<>" if is_negated(question, words, value.start, FieldSchema(())) else "="
        found.append(SqlCondition(ref, operator, value.value, (value.start, value.end), named))
        taken.append((value.start, value.end))
    for condition in _named_values(question, words, mentions, taken):
        found.append(condition)
        taken.append(condition.span)
    for time in find_times(_blanked(question, taken), today):
        dated = _dated(words, mentions, time, refs)
        found += dated
        taken += [condition.span for condition in dated]
    for quantity in find_quantities(_blanked(question, [*taken, *_numbered(question, whole)])):
        compared = _compared(question, words, mentions, quantity, refs)
        if compared is not None:
            found.append(compared)
            taken.append(compared.span)
    return sorted(_distinct(found), key=lambda condition: condition.span)


def _column_of_value(
    words: Sequence[Word], mentions: Sequence[ColumnMention], value: ValueMention, candidates: Sequence[Ref]
) -> tuple[Ref, tuple[int, int] | None]:
    """The column that holds the cell: the one named nearest to it, else the first that has it."""
    near = _nearest(words, mentions, value.start, value.end, [ref.key for ref in candidates])
    if near is not None:
        return near.ref, (near.first, near.last)
    return candidates[0], None


def _nearest(
    words: Sequence[Word],
    mentions: Sequence[ColumnMention],
    start: int,
    end: int,
    keys: Sequence[tuple[str, str]],
    *,
    reach: int = _REACH,
) -> ColumnMention | None:
    """The named column of `keys` with the fewest words between it and the span; before it rather than after."""
    first = sum(1 for word in words if word.end <= start)
    last = len(words) - sum(1 for word in words if word.start >= end)
    best: tuple[float, ColumnMention] | None = None
    for mention in mentions:
        if mention.ref.key not in keys or (mention.first < last and mention.last > first):
            continue
        gap = first - mention.last if mention.last <= first else mention.first - last + 0.5
        cost = gap + 2 * (1 - mention.score)
        if gap <= reach and (best is None or cost < best[0]):
            best = (cost, mention)
    return best[1] if best else None


def _named_values(
    question: str, words: Sequence[Word], mentions: Sequence[ColumnMention], taken: Sequence[tuple[int, int]]
) -> list[SqlCondition]:
    """`COLUMN of VALUE`, `COLUMN is "VALUE"`: values that no sampled cell holds."""
    found: list[SqlCondition] = []
    for mention in mentions:
        if len(found) == _MOST:
            break
        if mention.score < 0.5 or mention.last > len(words):
            continue
        name_end = words[mention.last - 1].end
        lead = _AFTER_NAME.match(question, name_end)
        begin = lead.end() if lead else None
        quoted = _QUOTED.match(question, name_end + len(question[name_end:]) - len(question[name_end:].lstrip()))
        if quoted:
            begin = quoted.start()
        if begin is None or begin >= len(question):
            continue
        before = words[mention.first - 1].text.lower() if mention.first else ""
        if not quoted and (before not in _CLAUSE_WORDS or (lead is not None and lead.group().endswith("the "))):
            continue  # "what player is …", "the date of the game" ask for the player and the date
        quoted = quoted or _QUOTED.match(question, begin)
        if quoted:
            text, span = quoted[1] or quoted[2], quoted.span()
        else:
            stop = _VALUE_END.search(question, begin)
            text = question[begin : stop.start() if stop else len(question)].strip(" '\"’")
            span = (begin, begin + len(text))
        if not text or len(text) > 120 or _overlaps(span, taken) or any(_overlaps(span, [f.span]) for f in found):
            continue
        if not quoted and (_names_column(words, mentions, span) or text.lower().split()[0] in _NO_VALUE):
            continue
        if find_quantities(text) and mention.ref.column.type == "number":
            continue  # numbers are read with their comparison
        found.append(SqlCondition(mention.ref, "=", text, span, (mention.first, mention.last)))
    return found


_NO_VALUE = frozenset(
    [
        "the",
        "a",
        "an",
        "it",
        "there",
        "they",
        "he",
        "she",
        "this",
        "that",
        "more",
        "less",
        "greater",
        "larger",
        "smaller",
        "higher",
        "lower",
        "over",
        "under",
        "at",
        "most",
        "least",
        "listed",
        "not",
        "in",
        "for",
        "who",
        "when",
        "where",
        "what",
        "which",
        "how",
        "to",
        "be",
        "used",
        "shown",
        "given",
        "played",
        "held",
        "made",
        "taken",
        "from",
        "by",
        "on",
        "with",
        "above",
        "below",
    ]
)


def _names_column(words: Sequence[Word], mentions: Sequence[ColumnMention], span: tuple[int, int]) -> bool:
    return any(
        words[m.first].start >= span[0] and words[m.last - 1].end <= span[1] and m.score >= 0.99 for m in mentions
    )


def _compared(
    question: str,
    words: Sequence[Word],
    mentions: Sequence[ColumnMention],
    quantity: Quantity,
    refs: Sequence[Ref],
) -> SqlCondition | None:
    span = (quantity.start, quantity.end)
    number = re.search(r"[$€£]?[\d.,]*\d(?:%|(?=\W|$))", question[quantity.start : quantity.end])
    at = (quantity.start, quantity.end - len(_trailing_noun(question, quantity)))
    keys = [ref.key for ref in refs if ref.column.type == "number" or not quantity.compared]
    near = _nearest(words, mentions, *at, keys, reach=3 if quantity.compared else 2)
    if quantity.compared and at[1] < quantity.end:  # "less than 21 goals": the noun after the number
        follows = [m for m in mentions if m.ref.key in keys and words[m.first].start == at[1]]
        near = follows[0] if follows else near
    named = (near.first, near.last) if near else None
    ref = near.ref if near else None
    operator = _OPERATORS.get(quantity.operator, "BETWEEN")
    lead = _TIME_LEAD.search(question[: quantity.start].rstrip() + " ")
    if lead is not None and not quantity.compared:
        operator = {"after": ">", "since": ">=", "before": "<"}.get(lead.lastgroup or "", "=")
        years = [found for found in refs if 1500 <= quantity.value <= 2200 and _is_calendar(found)]
        ref = years[0] if len(years) == 1 else ref
        named = named if near and ref and near.ref.key == ref.key else None
    if ref is None:
        years = [ref for ref in refs if 1000 <= quantity.value <= 2200 and ref.column.as_field().is_year]
        ref = years[0] if len(years) == 1 else None
    if quantity.unit == "money" and quantity.compared:  # "orders over 100 euros" are not those with a number over 100
        sums = [found for found in refs if found.column.type == "number" and found.column.as_field().is_money]
        if len(sums) == 1 and (ref is None or not ref.column.as_field().is_money):
            ref, named = sums[0], None
    if ref is None:
        return None
    scale = 1e-6 if "million" in name_stems(ref.column.name) and quantity.value >= 1e5 else 1.0
    value: Any = plain(quantity.value * scale)
    if ref.column.type == "text" and number:
        value = number.group()
    if quantity.operator == "between":
        return SqlCondition(ref, "BETWEEN", value, span, named, plain((quantity.high or 0.0) * scale))
    return SqlCondition(ref, operator, value, span, named)


def _is_calendar(ref: Ref) -> bool:
    return bool({"year", "season", "年"} & set(name_stems(ref.column.name)))


def _dated(
    words: Sequence[Word], mentions: Sequence[ColumnMention], time: TimeMention, refs: Sequence[Ref]
) -> list[SqlCondition]:
    """Bounds on the column of dates named beside the time, or on the only one; none where a year column fits."""
    dates = [ref for ref in refs if ref.column.type == "date"]
    if not dates or (time.years and any(ref.column.as_field().is_year for ref in refs)):
        return []
    near = _nearest(words, mentions, time.start, time.end, [ref.key for ref in dates])
    if near is None and len(dates) > 1:
        return []
    named = (near.first, near.last) if near else None
    ref = near.ref if near else dates[0]
    span = (time.start, time.end)
    return [
        SqlCondition(ref, _OPERATORS[operator], value, span, named) for operator, value in time.date_range().items()
    ]


def _numbered(question: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Names of columns with a number in them, as "week 6": the number is no value, unless it ends the name."""
    return [(start, end) for start, end in spans if re.search(r"\d", question[start:end])]


def _trailing_noun(question: str, quantity: Quantity) -> str:
    """The word after the number that was read as its unit: it may be the column's name."""
    match = re.search(r"\d[\s-]*([A-Za-z]{3,})$", question[quantity.start : quantity.end])
    return match[1] if match else ""


def _overlaps(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return any(span[0] < end and span[1] > start for start, end in others)


def _blanked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in spans:
        text = text[:start] + "\x1f" * (end - start) + text[end:]
    return text


def _distinct(conditions: Sequence[SqlCondition]) -> list[SqlCondition]:
    seen: dict[tuple[object, ...], SqlCondition] = {}
    for condition in conditions:
        seen.setdefault((condition.ref.key, condition.operator, str(condition.value).casefold()), condition)
    return list(seen.values())
