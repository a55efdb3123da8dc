"""Checked statements with the ids of the rows that they read, and statements for the rows behind an aggregate.

The ids are added to the tree after the check, which a question's statement can't name: `_rowid_` is no column of the
schema. Only for SQLite files of our own making, where every table has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlglot
from sqlglot import exp

from app.errors import InvalidInput

_MOST_IDS = 10_000


def with_row_ids(checked: str, only: tuple[str, Sequence[int]] | None, *, wanted: bool) -> tuple[str, tuple[str, ...]]:
    """(the statement with a rowid column for each of its tables at the end, those tables in order).

    No columns are added where an aggregate, a GROUP BY or DISTINCT stands between the rows and the result.

    Args:
        checked: a statement that `check_statement` returned.
        only: a table, by its name or alias here, and the rowids that may be read of it.
        wanted: whether to add the columns.
    """
    tree = sqlglot.parse_one(checked, dialect="sqlite")
    assert isinstance(tree, exp.Select)
    tables = list(tree.find_all(exp.Table))
    if only is not None:
        name, ids = only
        if len(ids) > _MOST_IDS:
            raise InvalidInput(f"{len(ids)} rows are to be read: use at most {_MOST_IDS}")
        table = next((t for t in tables if name.casefold() in (t.name.casefold(), t.alias_or_name.casefold())), None)
        assert table is not None
        listed: list[Any] = [exp.Literal.number(int(row_id)) for row_id in ids] or [exp.Null()]
        tree = tree.where(exp.In(this=_row_id(table), expressions=listed))
    if not wanted or not is_plain(tree):
        return tree.sql(dialect="sqlite"), ()
    for number, table in enumerate(tables):
        tree = tree.select(exp.alias_(_row_id(table), f"attest row {number}", quoted=True))
    return tree.sql(dialect="sqlite"), tuple(table.name for table in tables)


def is_plain(tree: exp.Select) -> bool:
    """Whether every row of the result was read from one row of each table."""
    grouped = tree.args.get("group") or tree.args.get("having") or tree.args.get("distinct")
    return not grouped and tree.find(exp.AggFunc) is None


def rows_behind(checked: str, limit: int) -> str | None:
    """The plain statement for the rows that an aggregate was computed from; None for a plain statement.

    Of MAX and MIN, the rows that hold it come first. Of groups, rows of any group.
    """
    tree = sqlglot.parse_one(checked, dialect="sqlite")
    assert isinstance(tree, exp.Select)
    if is_plain(tree):
        return None
    columns: list[Any] = []
    for expression in tree.expressions:
        columns += [column.copy() for column in expression.find_all(exp.Column) if column.copy() not in columns]
    extreme = tree.expressions[0] if len(tree.expressions) == 1 else None
    for part in ("group", "having", "distinct", "order", "limit", "offset"):
        tree.set(part, None)
    tree.set("expressions", columns or [exp.Literal.number(1)])
    if isinstance(extreme, exp.Max | exp.Min) and isinstance(extreme.this, exp.Column):
        tree = tree.order_by(
            exp.Ordered(this=extreme.this.copy(), desc=isinstance(extreme, exp.Max), nulls_first=False)
        )
        tree = tree.where(exp.Not(this=exp.Is(this=extreme.this.copy(), expression=exp.Null())))
        limit = 1
    return tree.limit(limit).sql(dialect="sqlite")


def _row_id(table: exp.Table) -> exp.Column:
    return exp.column("_rowid_", table=exp.to_identifier(table.alias_or_name, quoted=True))
