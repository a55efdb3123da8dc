"""A question → one SELECT by schema linking: what is asked for, under which conditions, aggregated how.

The statement is built as a tree (sqlglot), never as text: what a question says becomes a bound parameter or the name
of a column that the schema has. `check_statement` parses the result again all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlglot import exp

from app.query.construction.sql_check import DEFAULT_LIMIT, check_statement
from app.query.construction.sql_conditions import SqlCondition, find_conditions
from app.query.construction.sql_joined import build_joined
from app.query.construction.sql_mentions import ColumnMention, Ref, column_mentions, table_mentions
from app.query.construction.sql_schema import SqlSchema
from app.query.construction.sql_semantic import SemanticCondition, find_semantic
from app.query.construction.sql_similar import FUNCTION, split_similar
from app.query.construction.sql_statement import Statement
from app.query.construction.sql_target import Target, find_target
from app.query.construction.values import words_of

_MAX_CHARS = 600  # linking is quadratic in the words; a longer text is no question to a table
_MAX_MENTIONS = 200
_SHOWN_COLUMNS = 12  # of a table, where a question asks for rows as such
_COMPARE: dict[str, type[exp.Binary]] = {
    "=": exp.EQ, "<>": exp.NEQ, ">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE,
}  # fmt: skip


def build_sql(question: str, schema: SqlSchema, *, today: date) -> Statement:
    """The statement by rules. Never raises for a question."""
    whole = re.sub(r"\s+", " ", question)
    text = whole[:_MAX_CHARS]
    words = words_of(text)
    about = find_semantic(text, words, column_mentions(words, schema)[:_MAX_MENTIONS], schema)
    asked = text
    if about is not None:  # what the text is about says nothing of the other columns
        text = text[: about.span[0]] + "\x1f" * (about.span[1] - about.span[0]) + text[about.span[1] :]
        words = words_of(text)
    if about is None and len(schema.tables) > 1:
        over_several = build_joined(text, words, schema, today=today)
        if over_several is not None:
            return over_several
    refs = [Ref(table.name, column) for table in schema.tables for column in table.columns]
    mentions = column_mentions(words, schema)[:_MAX_MENTIONS]
    tables = table_mentions(words, schema)
    conditions = find_conditions(text, words, mentions, refs, today, schema.values())
    target = find_target(text, words, mentions, tables, conditions, schema)
    if about is not None and (target is None or not (target.named or target.aggregate)):
        target = Target(next(iter(tables), about.ref.table), None, None, False)
    if target is None:
        known = ", ".join(f"{ref.table}.{ref.column.name}" for ref in refs[:20])
        return Statement("", {}, f"The question names no column to look up (columns: {known}).", 0.0)
    used = list(dict.fromkeys([target.table, *(ref.table for ref in target.refs), *(c.ref.table for c in conditions)]))
    if about is not None and about.ref.table not in used:
        used.append(about.ref.table)
    joins = schema.joins(used[0], used[1:])
    if joins is None:
        return Statement("", {}, f"No foreign keys join the tables {', '.join(used)}.", 0.0)
    joined = [used[0], *(join.table for join in joins)]
    query = exp.select(*_selected(target, schema, qualified=len(joined) > 1)).from_(_table(used[0]))
    for join in joins:
        on = exp.EQ(
            this=_column(join.table, join.column, True), expression=_column(join.other, join.other_column, True)
        )
        query = query.join(_table(join.table), on=on)
    parameters: dict[str, Any] = {}
    for condition in conditions:
        query = query.where(_where(condition, parameters, qualified=len(joined) > 1))
    if about is not None:
        column, phrase = _column(*about.ref.key, len(joined) > 1), _bind(about.phrase, parameters)
        query = query.where(exp.Anonymous(this=FUNCTION, expressions=[column, phrase]))
    query = _ordered(query, target, qualified=len(joined) > 1)
    written = query.sql(dialect="sqlite")
    # the part with the predicate is checked without it, and so it will be again before it runs
    split_similar(written, schema, parameters, limit=DEFAULT_LIMIT)
    checked = written if about is not None else check_statement(written, schema)
    cut = f" Only the first {_MAX_CHARS} characters were read." if len(whole) > _MAX_CHARS else ""
    return Statement(
        checked,
        parameters,
        _explained(target, conditions, asked, about) + cut,
        _confidence(words, mentions, target, conditions),
    )


def _selected(target: Target, schema: SqlSchema, *, qualified: bool) -> list[Any]:
    found: list[Any] = []
    if target.ref is None and target.aggregate is None:  # rows as such
        table = schema.get(target.table)
        assert table is not None
        return [_column(table.name, column.name, qualified) for column in table.columns[:_SHOWN_COLUMNS]]
    if target.group_by:
        found.append(_column(*target.group_by.key, qualified))
    if target.ref is None:
        found.append(exp.Count(this=exp.Star()))
        return found
    column = _column(*target.ref.key, qualified)
    if target.aggregate == "COUNT":
        found.append(exp.Count(this=exp.Distinct(expressions=[column]) if target.distinct else column))
    elif target.aggregate:
        functions: dict[str, type[exp.AggFunc]] = {"SUM": exp.Sum, "AVG": exp.Avg, "MAX": exp.Max, "MIN": exp.Min}
        found.append(functions[target.aggregate](this=column))
    else:
        found.append(column)
    return found


def _ordered(query: exp.Select, target: Target, *, qualified: bool) -> exp.Select:
    if target.group_by:
        query = query.group_by(_column(*target.group_by.key, qualified))
    if target.order_by:
        query = query.order_by(exp.Ordered(this=_column(*target.order_by.key, qualified), desc=target.descending))
    return query.limit(min(target.limit or DEFAULT_LIMIT, DEFAULT_LIMIT))


def _where(condition: SqlCondition, parameters: dict[str, Any], *, qualified: bool) -> Any:
    column: Any = _column(*condition.ref.key, qualified)
    if condition.operator == "BETWEEN":
        low, high = _bind(condition.value, parameters), _bind(condition.high, parameters)
        return exp.Between(this=column, low=low, high=high)
    if isinstance(condition.value, str) and condition.operator in ("=", "<>"):
        column = exp.Collate(this=column, expression=exp.Var(this="NOCASE"))
    return _COMPARE[condition.operator](this=column, expression=_bind(condition.value, parameters))


def _bind(value: Any, parameters: dict[str, Any]) -> exp.Placeholder:
    name = f"p{len(parameters) + 1}"
    parameters[name] = value
    return exp.Placeholder(this=name)


def _column(table: str, name: str, qualified: bool) -> exp.Column:
    return exp.column(
        exp.to_identifier(name, quoted=True), table=exp.to_identifier(table, quoted=True) if qualified else None
    )


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def _explained(
    target: Target, conditions: Sequence[SqlCondition], question: str, about: SemanticCondition | None
) -> str:
    what = f"{target.table}.{target.ref.column.name}" if target.ref else f"the rows of {target.table}"
    told = [f"{target.aggregate} of {what}" if target.aggregate else what]
    for condition in conditions:
        value = f"{condition.value} and {condition.high}" if condition.operator == "BETWEEN" else repr(condition.value)
        start, end = condition.span
        told.append(f"{condition.ref.column.name} {condition.operator} {value} (from {question[start:end].strip()!r})")
    if about is not None:
        start, end = about.span
        told.append(f"{about.ref.column.name} similar to {about.phrase!r} (from {question[start:end].strip()!r})")
    if target.group_by:
        told.append(f"for each {target.group_by.column.name}")
    if target.order_by:
        told.append(f"ordered by {target.order_by.column.name}, {'highest' if target.descending else 'lowest'} first")
    return "; ".join(told) + "."


def _confidence(
    words: Sequence[Any], mentions: Sequence[ColumnMention], target: Target, conditions: Sequence[SqlCondition]
) -> float:
    """The share of what is asked that was found by name: a guess at the column halves it."""
    named = 1.0 if target.named else 0.5
    beside = sum(condition.named is not None or isinstance(condition.value, str) for condition in conditions)
    certain = (beside + 1) / (len(conditions) + 1)
    return round(named * certain * (0.9 if mentions or not words else 0.5), 3)
