"""The amount of a statement's line that a question asks for: the line by its label, the column by its period.

Text taken from a PDF keeps a table's rows as lines, `Label 39,669 40,665 156,778`, under lines that name the columns:
`Three Months Ended Nine Months Ended`, `July 1, 2023 June 25, 2022 …`. The reader finds the line and often copies the
amount of another period. Only questions that say which period they mean are answered here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from app.index.analysis import STOP_WORDS, analyze
from app.types import PassageSpan

_MONTHS = tuple(
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)
_MONTH = rf"(?:{'|'.join(_MONTHS)}|{'|'.join(month[:3] for month in _MONTHS)})\.?"
_TOKEN = re.compile(r"\S+")
_AMOUNT = re.compile(r"\(?[-−]?\d[\d,]*(?:\.\d+)?\)?")
_FIGURE = re.compile(r"\(?[$€£¥]?\(?[-−]?\d[\d,]*(?:\.\d+)?\)?%?|[$€£¥()—–-]|\)?%")
_LABEL = re.compile(r"[A-Za-z].*[A-Za-z)’'.:]")
_DATE = re.compile(
    rf"\b(?:(?P<month>{_MONTH})\s+(?P<day>\d{{1,2}})(?:,\s*|\s+)?)?(?P<year>(?:19|20)\d\d)\b", re.IGNORECASE
)
_DAY = re.compile(rf"\b(?P<month>{_MONTH})\s+(?P<day>\d{{1,2}})\b", re.IGNORECASE)
_SPAN = re.compile(
    r"\b(?P<months>three|six|nine|twelve)[\s-]+months?\b|\b(?P<quarter>quarters?|q[1-4])\b|\byears?\b", re.IGNORECASE
)
_LENGTHS = {"three": 3, "six": 6, "nine": 9, "twelve": 12}
_COMPUTED = re.compile(
    r"\b(?:change|grow|grew|growth|increase|decrease|rise|rose|fall|fell|difference|compare|percent|percentage|share|ratio"
    r"|average|sum|combined|more|less|most|least|margin|per)\w*\b",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"\b(?:ended|ending|as|at|of|and|the|for|in|on|to|change|variance|unaudited|audited|notes?|fiscal|millions?|thousands?"
    r"|dollars?|except|share|shares|per|data|amounts?|usd|eur|rmb)\b|[^\w]|_",
    re.IGNORECASE,
)
"""What may stand beside the periods in a line that names columns."""
_HEADER_LINES, _LONGEST_TITLE = 8, 60  # above a table's first line; characters


@dataclass(frozen=True, slots=True)
class Period:
    """A column's, or a question's: months that it spans and its last day, None where it is not said."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    months: int | None = None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A label and the places `[start, end)` of its amounts, percentages left out, in the passage."""

    label: str
    amounts: tuple[tuple[int, int], ...]
    start: int


def asked_amounts(question: str, texts: Sequence[str]) -> list[PassageSpan]:
    """Return the amounts that a question names by label and period, one for each passage that has just one such.

    A line is named when the question holds every term of its label, and no other named line of the passage has more. A
    column is, when what the question says of the period holds for it alone.

    Args:
        question: as asked; one that compares, or asks for a share, names no amount.
        texts: of the passages.
    """
    asked = period_of(question)
    if _COMPUTED.search(question) or asked.year is None:
        return []
    terms = set(analyze(question)) - STOP_WORDS
    found = []
    for passage, text in enumerate(texts):
        place = _asked_amount(terms, asked, text)
        if place is not None:
            found.append(PassageSpan(passage, *place))
    return found


def period_of(question: str) -> Period:
    """Return what a question says of the period that it means; of several dates the last."""
    dates = list(_DATE.finditer(question))
    spans = list(_SPAN.finditer(question))
    months = _months(spans[-1]) if spans else None
    if not dates:
        return Period(months=months)
    return Period(int(dates[-1]["year"]), _month(dates[-1]["month"]), _number(dates[-1]["day"]), months)


def statement_lines(text: str) -> list[StatementLine]:
    """Return the lines of `text` that are a label with two amounts or more."""
    lines = []
    at = 0
    for line in text.splitlines(keepends=True):
        tokens = list(_TOKEN.finditer(line))
        # From the right: what ends a line decides in one pass, however long it is.
        first = len(tokens)
        while first > 0 and _FIGURE.fullmatch(tokens[first - 1].group()):
            first -= 1
        label = line[: tokens[first].start()].rstrip(" \t.…") if 0 < first < len(tokens) else ""
        amounts = []
        for place in range(first, len(tokens)):
            share = tokens[place].group().endswith("%") or (
                place + 1 < len(tokens) and tokens[place + 1].group() in {"%", ")%"}
            )
            number = _AMOUNT.search(tokens[place].group())
            if number is not None and not share:
                shift = at + tokens[place].start()
                amounts.append((shift + number.start(), shift + number.end()))
        if len(amounts) >= 2 and _LABEL.fullmatch(label.strip()):
            lines.append(StatementLine(label.strip(), tuple(amounts), at))
        at += len(line)
    return lines


def columns_above(text: str) -> list[Period]:
    """Return the periods of the columns, left to right, from the lines that stand above a statement's first line.

    A title of rows may stand between. Days and years may stand on lines of their own; spans such as "Three Months
    Ended" hold for equal parts of the columns.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()][-_HEADER_LINES:]
    while lines and not _names_columns(lines[-1]) and len(lines[-1]) <= _LONGEST_TITLE:
        lines.pop()
    header: list[str] = []
    while lines and _names_columns(lines[-1]):
        header.insert(0, lines.pop())
    spans = [_months(one) for line in header for one in _SPAN.finditer(line)]
    dates = _dates(header)
    if not dates or (spans and len(dates) % len(spans)):
        return []
    each = len(dates) // len(spans) if spans else 0
    return [
        Period(year, month, day, spans[place // each] if spans else None)
        for place, (month, day, year) in enumerate(dates)
    ]


def _dates(header: Sequence[str]) -> list[tuple[int | None, int | None, int]]:
    years = [int(one["year"]) for one in _DATE.finditer(header[-1])] if header else []
    bare = bool(years) and not _DAY.search(header[-1])
    days = [(_month(one["month"]), _number(one["day"])) for line in header[:-1] for one in _DAY.finditer(line)]
    # "October 29, October 30," above "2023 2022"; or one day above all the years.
    if bare and len(days) in {1, len(years)} and not any(_DATE.search(line) for line in header[:-1]):
        return [(*days[place % len(days)], year) for place, year in enumerate(years)]
    found = _DATE.finditer(" ".join(header))
    return [(_month(one["month"]), _number(one["day"]), int(one["year"])) for one in found]


def _names_columns(line: str) -> bool:
    """Whether a line holds periods and nothing else that says something."""
    if not any(pattern.search(line) for pattern in (_DATE, _DAY, _SPAN)):
        return False
    return not _WORDS.sub("", _SPAN.sub("", _DAY.sub("", _DATE.sub("", line))))


def _asked_amount(terms: Set[str], asked: Period, text: str) -> tuple[int, int] | None:
    lines = statement_lines(text)
    named = []
    for line in lines:
        label = set(analyze(line.label)) - STOP_WORDS
        if label and label <= terms:
            named.append((len(label), line))
    most = max((count for count, _ in named), default=0)
    best = [line for count, line in named if count == most]
    if len(best) != 1:
        return None
    columns = columns_above(text[: lines[0].start])
    if len(columns) != len(best[0].amounts):
        return None
    fitting = [place for place, column in enumerate(columns) if _fits(asked, column)]
    if len(fitting) > 1 and asked.months is None and asked.month is not None:
        # Two spans end on that day: without a word for it the shorter one is meant.
        least = min(columns[place].months or 0 for place in fitting)
        fitting = [place for place in fitting if (columns[place].months or 0) == least]
    return best[0].amounts[fitting[0]] if len(fitting) == 1 else None


def _fits(asked: Period, column: Period) -> bool:
    pairs = (
        (asked.year, column.year),
        (asked.month, column.month),
        (asked.day, column.day),
        (asked.months, column.months),
    )
    return all(wanted is None or told is None or wanted == told for wanted, told in pairs)


def _months(match: re.Match[str]) -> int:
    if match["quarter"]:
        return 3
    return _LENGTHS[match["months"].lower()] if match["months"] else 12


def _month(name: str | None) -> int | None:
    return None if not name else next(i for i, month in enumerate(_MONTHS, 1) if month.startswith(name.lower()[:3]))


def _number(text: str | None) -> int | None:
    return int(text) if text else None
