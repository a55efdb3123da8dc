"""Rows → a sentence that a person can read, and which rows each part of it was read from. Nothing here is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from app.query.construction.sql_engine import Rows
from app.query.surface import is_chinese

_SHOWN_ROWS = 10
_CITED_BEHIND = 3
_NAMES = {"COUNT": "number", "SUM": "sum", "AVG": "average", "MAX": "highest", "MIN": "lowest"}
_NAMES_ZH = {"COUNT": "数量", "SUM": "总和", "AVG": "平均", "MAX": "最大", "MIN": "最小"}

RowIds = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """`text[char_start:char_end]` was read from these rows (table, rowid)."""

    char_start: int
    char_end: int
    rows: tuple[RowIds, ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """`short` is the value alone; empty where no row was found."""

    text: str
    short: str
    claims: tuple[Claim, ...]


def sentence(question: str, statement: str, rows: Rows, behind: Sequence[RowIds] = ()) -> Sentence:
    """The answer that the rows give.

    Args:
        question: for its language.
        statement: the SELECT that returned them.
        rows: with their row ids where those are known.
        behind: under an aggregate, the rows that it was computed from.
    """
    chinese = is_chinese(question)
    selected = sqlglot.parse_one(statement, dialect="sqlite").expressions
    filled = [row for row in rows.rows if any(value is not None for value in row)]
    if not filled:
        return Sentence("没有符合条件的行。" if chinese else "No row of the tables fits the question.", "", ())
    labels = [_label(part, name, chinese) for part, name in zip(selected, rows.columns, strict=False)]
    labels += [str(name) for name in rows.columns[len(labels) :]]
    ids = rows.row_ids if len(rows.row_ids) == len(rows.rows) else ()
    if len(filled) == 1 and len(labels) == 1:
        return _single(labels[0], filled[0][0], chinese, tuple(ids[:1] or behind[:_CITED_BEHIND]))
    text, claims = "", []
    if len(labels) == 1:
        text = f"{labels[0]}{'：' if chinese else ': '}"
    for place, row in enumerate(rows.rows[:_SHOWN_ROWS]):
        if len(labels) == 1:
            piece = shown(row[0])
            text += ("；" if chinese else "; ") if place else ""
        else:
            rest = [
                f"{label} {shown(value)}" for label, value in zip(labels[1:], row[1:], strict=True) if value is not None
            ]
            piece = f"{shown(row[0])}{'：' if chinese else ': '}{('，' if chinese else ', ').join(rest)}"
            text += "\n" if place else ""
        claims.append(Claim(len(text), len(text) + len(piece), tuple(ids[place : place + 1])))
        text += piece
    more = len(rows.rows) - _SHOWN_ROWS
    if more > 0 or rows.truncated:
        said = f"{more}+" if rows.truncated else str(more)
        text += f"（另有 {said} 行）" if chinese else f" (and {said} more rows)"
    text += "。" if chinese and len(labels) == 1 else "." if len(labels) == 1 else ""
    short = "; ".join(shown(row[0]) for row in filled[:_SHOWN_ROWS])
    return Sentence(text, short, tuple(claim for claim in claims if claim.rows))


def shown(value: Any) -> str:
    """A cell as it is read: no digits of rounding errors, no `.0`."""
    if isinstance(value, float):
        return f"{value:.10g}" if abs(value) < 1e15 else f"{value:g}"
    if value is None:
        return "–"
    return " ".join(str(value).split())


def _single(label: str, value: Any, chinese: bool, rows: tuple[RowIds, ...]) -> Sentence:
    piece = shown(value)
    lead = f"{label}：" if chinese else f"{label[:1].upper()}{label[1:]}: "
    claims = (Claim(len(lead), len(lead) + len(piece), rows),) if rows else ()
    return Sentence(f"{lead}{piece}{'。' if chinese else '.'}", piece, claims)


def _label(part: Any, name: str, chinese: bool) -> str:
    """What a column of the result is, in words."""
    if isinstance(part, exp.Alias):
        return str(part.alias)
    if not isinstance(part, exp.AggFunc):
        return str(part.name or name)
    column = part.find(exp.Column)
    word = (_NAMES_ZH if chinese else _NAMES).get(part.key.upper(), part.key)
    if column is None:
        return "行数" if chinese else "number of rows"
    if chinese:
        return f"{column.name}的{word}"
    return f"{word} {column.name}" if word in ("highest", "lowest", "average") else f"{word} of {column.name}"
