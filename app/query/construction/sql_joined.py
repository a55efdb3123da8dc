"""A question on several tables → one SELECT: nouns, conditions and what is asked for, joined along the schema's keys.

As `sql_build`, the statement is built as a tree: what a question says is a bound parameter or the name of a column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlglot import exp

from app.query.construction.sql_check import DEFAULT_LIMIT, check_statement
from app.query.construction.sql_instances import Instances
from app.query.construction.sql_keys import is_key
from app.query.construction.sql_mentions import Ref
from app.query.construction.sql_nouns import find_nouns, label_of
from app.query.construction.sql_schema import SqlSchema
from app.query.construction.sql_statement import Statement
from app.query.construction.sql_told import Conditions, Counted, Heard, Told, read_conditions
from app.query.construction.sql_wanted import Wanted, find_wanted
from app.query.construction.values import Word

_COMPARE: dict[str, type[exp.Binary]] = {
    "=": exp.EQ, "<>": exp.NEQ, ">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE,
}  # fmt: skip
_FUNCTIONS: dict[str, type[exp.AggFunc]] = {"SUM": exp.Sum, "AVG": exp.Avg, "MAX": exp.Max, "MIN": exp.Min}
_AND = re.compile(r"^[\s\"'”“,.]*(?:,|\band\b|\bwith\b|&|和|与|、)", re.IGNORECASE)
_SMALL = frozenset({
    "the", "a", "an", "of", "in", "on", "at", "by", "for", "with", "to", "and", "or", "that", "which", "who", "whom",
    "whose", "is", "are", "was", "were", "be", "been", "have", "has", "had", "do", "does", "did", "return", "me",
    "show", "give", "list", "find", "all", "what", "how", "many", "number", "there", "their", "its", "it", "please",
    "tell", "name", "than", "more", "most",
})  # fmt: skip


def build_joined(text: str, words: Sequence[Word], schema: SqlSchema, *, today: date) -> Statement | None:
    """The statement; None where the question, as far as it was understood, asks for nothing that the schema has."""
    heard = Heard(text, words, find_nouns(words, schema), schema)
    told = read_conditions(heard, today)
    if told.unknown:
        return None
    wanted = find_wanted(heard, told)
    return _Builder(heard, wanted, told).statement() if wanted is not None else None


class _Builder:
    """Puts one statement together."""

    def __init__(self, heard: Heard, wanted: Wanted, told: Conditions) -> None:
        self._heard = heard
        self._schema = heard.schema
        self._wanted = wanted
        self._told = told
        resolved = {(noun.first, noun.last) for noun in (*wanted.nouns, *told.used)}
        tables = [noun for noun in heard.nouns if noun.column is None and noun.score >= 0.9]
        self._said = {noun.table for noun in tables}
        self._beside = [noun.table for noun in tables if (noun.first, noun.last) not in resolved]
        self._instances = Instances(heard.schema, wanted.table, self._said)
        self._parameters: dict[str, Any] = {}
        self._placed: list[tuple[str, Told]] = []  # each with the alias that it speaks of
        self._others: list[Told] = []  # cells of rows that are not those asked for

    def statement(self) -> Statement | None:
        """The checked statement; None where no keys join its tables."""
        if not self._joined():
            return None
        query = exp.select(*self._selected()).from_(_table(self._wanted.table, self._wanted.table))
        for join in self._instances.joins:
            on = exp.EQ(
                this=self._column(join.alias, join.column), expression=self._column(join.other, join.other_column)
            )
            query = query.join(_table(join.table, join.alias), on=on)
        for alias, condition in self._placed:
            query = query.where(self._compared(alias, condition))
        for cell in self._others:
            column = self._column(cell.ref.table, cell.ref.column.name)
            query = query.where(exp.NEQ(this=column, expression=self._bind(cell.value)))
        query = self._grouped(query)
        if self._is_plain and self._instances.count > 1 and not query.args.get("order"):
            query = query.distinct()
        checked = check_statement(
            query.limit(min(self._wanted.limit or DEFAULT_LIMIT, DEFAULT_LIMIT)).sql(dialect="sqlite"), self._schema
        )
        return Statement(checked, self._parameters, self._explained(), self._confidence())

    @property
    def _is_plain(self) -> bool:
        wanted = self._wanted
        return wanted.aggregate is None and wanted.order_function is None and not self._told.groups and not wanted.group

    def _joined(self) -> bool:
        """Joins every table that takes part and writes the conditions; False where no keys join them."""
        wanted, told = self._wanted, self._told
        needed = [ref.table for ref in (wanted.group, wanted.order) if ref is not None]
        needed += [group.noun.table for group in told.groups]
        needed += [bound.ref.table for bound in told.bounds]
        seen: dict[tuple[str, str], Told] = {}
        again: list[Told] = []
        for cell in told.cells:
            same = (
                wanted.aggregate is None and wanted.column is not None and cell.ref == Ref(wanted.table, wanted.column)
            )
            if cell.operator == "=" and (cell.ref.key in seen or same):
                if cell.ref.key in seen and not self._both(seen[cell.ref.key], cell):
                    return False  # "from A to B": what each is to the row is not known
                again.append(cell)
                seen[cell.ref.key] = cell
                continue
            seen[cell.ref.key] = cell
            needed.append(cell.ref.table)
        for table in needed:
            if not self._instances.connect(table):
                return False
        for table in self._beside:  # "authors who have papers": a row of theirs must be there
            self._instances.connect(table)
        for cell in told.cells:
            if cell not in again:
                self._placed.append((cell.ref.table, cell))
        for bound in told.bounds:
            self._placed.append((bound.ref.table, bound))
        return all(self._joined_again(cell) for cell in again)

    def _both(self, one: Told, other: Told) -> bool:
        """Whether two cells of one column are told of the same thing: "by A and B", "both A and B"."""
        return _AND.search(self._heard.text[one.span[1] : other.span[0]]) is not None

    def _joined_again(self, cell: Told) -> bool:
        """Another row of the cell's table, joined to the same row of what is asked for."""
        anchor = self._wanted.table
        if cell.ref.table == anchor:
            between = self._between(anchor)
            if between is None or not self._instances.connect(between):
                return False
            anchor = between
        alias = self._instances.again(cell.ref.table, anchor)
        if alias is None:
            return False
        self._placed.append((alias, cell))
        if cell.ref.table == self._wanted.table:
            self._others.append(cell)
        return True

    def _between(self, table: str) -> str | None:
        """What two rows of a table have in common: a table that is named, else the best-connected one near."""
        near: dict[str, int] = {}
        for first in self._schema.edges(table):
            for second in self._schema.edges(first.table):
                if second.table != table:
                    near[second.table] = len(self._schema.edges(second.table))
        said = [name for name in near if name in self._said]
        return max(said or near, key=lambda name: (near[name], name), default=None)

    def _selected(self) -> list[Any]:
        wanted = self._wanted
        found: list[Any] = []
        if wanted.group is not None:
            found.append(self._column(*wanted.group.key))
        if wanted.aggregate == "COUNT":
            found.append(self._count(wanted.table, wanted.column))
        elif wanted.column is not None:
            column = self._column(wanted.table, wanted.column.name)
            found.append(_FUNCTIONS[wanted.aggregate](this=column) if wanted.aggregate else column)
        return found

    def _count(self, table: str, column: Any) -> Any:
        """How many rows of the table: each once, however many rows of other tables are joined to it."""
        if self._instances.count == 1 and column is None:
            return exp.Count(this=exp.Star())
        known = self._schema.get(table)
        assert known is not None
        chosen = column or label_of(known) or known.columns[0]
        return exp.Count(this=exp.Distinct(expressions=[self._column(table, chosen.name)]))

    def _grouped(self, query: exp.Select) -> exp.Select:
        wanted = self._wanted
        by = wanted.group
        if by is None and (wanted.order_function or self._told.groups) and wanted.column is not None:
            by = Ref(wanted.table, wanted.column)
        if by is not None:
            query = query.group_by(self._column(*by.key))
        for group in self._told.groups:
            query = query.having(
                _COMPARE[group.operator](this=self._of_group(group), expression=self._bind(group.value))
            )
        if wanted.order is not None:
            key: Any = self._column(*wanted.order.key)
            if wanted.order_function == "COUNT":
                key = exp.Count(this=exp.Distinct(expressions=[key]))
            elif wanted.order_function:
                key = _FUNCTIONS[wanted.order_function](this=key)
            query = query.order_by(exp.Ordered(this=key, desc=wanted.descending))
        return query

    def _of_group(self, group: Counted) -> Any:
        if group.function == "COUNT":
            return self._count(group.noun.table, group.noun.column)
        table = self._schema.get(group.noun.table)
        assert table is not None
        column = group.noun.column or next(
            (c for c in table.columns if c.type == "number" and not is_key(c)), table.columns[0]
        )
        return _FUNCTIONS[group.function](this=self._column(table.name, column.name))

    def _compared(self, alias: str, told: Told) -> Any:
        def one(value: Any) -> Any:
            column: Any = self._column(alias, told.ref.column.name)
            if isinstance(value, str):
                column = exp.Collate(this=column, expression=exp.Var(this="NOCASE"))
            return _COMPARE[told.operator](this=column, expression=self._bind(value))

        # not IN: PostgreSQL's rendering knows the letter case of comparisons only
        return exp.or_(*(one(value) for value in dict.fromkeys((told.value, *told.values))))

    def _bind(self, value: Any) -> exp.Placeholder:
        name = f"p{len(self._parameters) + 1}"
        self._parameters[name] = value
        return exp.Placeholder(this=name)

    def _column(self, alias: str, name: str) -> exp.Column:
        table = exp.to_identifier(alias, quoted=True) if self._instances.count > 1 else None
        return exp.column(exp.to_identifier(name, quoted=True), table=table)

    def _explained(self) -> str:
        wanted = self._wanted
        what = f"{wanted.table}.{wanted.column.name}" if wanted.column else f"the rows of {wanted.table}"
        said = [f"{wanted.aggregate} of {what}" if wanted.aggregate else what]
        for told in (*self._told.cells, *self._told.bounds):
            value = " or ".join(map(repr, dict.fromkeys((told.value, *told.values))))
            said.append(
                f"{told.ref.table}.{told.ref.column.name} {told.operator} {value} (from {self._shown(told.span)!r})"
            )
        said += [
            f"{group.function} of {group.noun.table} {group.operator} {group.value} (from {self._shown(group.span)!r})"
            for group in self._told.groups
        ]
        if wanted.group is not None:
            said.append(f"for each {wanted.group.column.name}")
        if wanted.order is not None:
            of = f"{wanted.order_function} of " if wanted.order_function else ""
            said.append(
                f"ordered by {of}{wanted.order.column.name}, {'highest' if wanted.descending else 'lowest'} first"
            )
        if self._instances.joins:
            said.append("joined with " + ", ".join(dict.fromkeys(join.table for join in self._instances.joins)))
        return "; ".join(said) + "."

    def _confidence(self) -> float:
        """The share of the telling words that the statement accounts for."""
        words = self._heard.words
        nouns = [noun for noun in (*self._told.used, *self._heard.nouns) if noun.last <= len(words)]
        spans = self._told.spans() + [(words[noun.first].start, words[noun.last - 1].end) for noun in nouns]
        telling = [word for word in words if word.text.lower() not in _SMALL]
        heard = [word for word in telling if any(start <= word.start < end for start, end in spans)]
        return round(0.1 + 0.85 * len(heard) / max(1, len(telling)), 3)

    def _shown(self, span: tuple[int, int]) -> str:
        return re.sub(r"\s+", " ", self._heard.text[span[0] : span[1]]).strip()


def _table(name: str, alias: str) -> exp.Table:
    table = exp.Table(this=exp.to_identifier(name, quoted=True))
    if alias != name:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    return table
