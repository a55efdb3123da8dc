"""Whether a statement may run: one SELECT, only the schema's tables and columns, only harmless functions, a limit."""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from app.errors import InvalidInput
from app.query.construction.sql_schema import SqlSchema

DEFAULT_LIMIT = 100
MAX_CHARS = 10_000

# everything that a statement may be made of; whatever is not here (commands, pragmas, subqueries on other schemas,
# unions, table functions, casts to blobs …) is refused by not being listed
_ALLOWED: tuple[type[Any], ...] = (
    exp.Select, exp.From, exp.Table, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit,
    exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Null, exp.Boolean, exp.Placeholder, exp.Paren, exp.Alias,
    exp.TableAlias, exp.Distinct, exp.Neg, exp.Collate, exp.Var, exp.Offset,
    exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Is, exp.Like,
    exp.Add, exp.Sub, exp.Mul, exp.Div,
    exp.Count, exp.Sum, exp.Avg, exp.Max, exp.Min, exp.Lower, exp.Upper, exp.Length, exp.Abs, exp.Round,
)  # fmt: skip


def check_statement(text: str, schema: SqlSchema, *, limit: int = DEFAULT_LIMIT) -> str:
    """The statement as it will run, written anew from its tree, with a LIMIT of at most `limit`.

    Raises:
        InvalidInput: it is not one SELECT over the schema's tables; the message says what is wrong.
    """
    if len(text) > MAX_CHARS:
        raise InvalidInput(f"the statement has {len(text)} characters: use at most {MAX_CHARS}")
    try:
        statements = [found for found in sqlglot.parse(text, dialect="sqlite") if found is not None]
    except (SqlglotError, RecursionError, ValueError) as error:
        raise InvalidInput(f"the statement can't be parsed as SQL ({str(error)[:120]}): write one SELECT") from None
    if len(statements) != 1:
        raise InvalidInput(f"the text holds {len(statements)} statements: write exactly one SELECT")
    tree = statements[0]
    if not isinstance(tree, exp.Select):
        raise InvalidInput(f"the statement is {tree.key.upper()}: only SELECT is allowed")
    for node in tree.walk():
        _check_node(node)
        for comment in node.comments or ():
            raise InvalidInput(f"the statement holds the comment {comment[:40]!r}: remove it")
    _check_names(tree, schema)
    return _limited(tree, limit).sql(dialect="sqlite")


def _check_node(node: Any) -> None:
    if type(node) not in _ALLOWED:
        shown = node.sql(dialect="sqlite")[:60]
        raise InvalidInput(
            f"the statement uses {type(node).__name__} ({shown!r}), which is not allowed: use plain SELECT, WHERE, "
            "JOIN, GROUP BY and ORDER BY with COUNT, SUM, AVG, MAX, MIN"
        )
    if isinstance(node, exp.Table) and (node.args.get("db") or node.args.get("catalog")):
        raise InvalidInput(f"the table {node.sql()[:60]!r} names another database: use the table's own name")
    if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
        raise InvalidInput(f"{node.sql()[:60]!r} is no table: table functions are not allowed")
    if isinstance(node, exp.Var) and node.name.upper() not in ("NOCASE", "BINARY"):
        raise InvalidInput(f"{node.name[:60]!r} is not a collation that is allowed: use NOCASE")
    if isinstance(node, exp.Select) and node.parent is not None:
        raise InvalidInput("the statement holds a subquery: use a join along the declared keys")


def _check_names(tree: exp.Select, schema: SqlSchema) -> None:
    tables = {}
    for node in tree.find_all(exp.Table):
        table = schema.get(node.name)
        if table is None:
            known = ", ".join(found.name for found in schema.tables[:20])
            raise InvalidInput(f"the table {node.name[:80]!r} is not in the schema: use one of {known}")
        tables[(node.alias or node.name).casefold()] = table
    if not tables:
        raise InvalidInput("the statement reads no table: select from one of the schema's")
    aliases = {node.alias.casefold() for node in tree.find_all(exp.Alias)}
    for column in tree.find_all(exp.Column):
        name = column.name
        if isinstance(column.this, exp.Star):
            continue
        if column.table:
            owner = tables.get(column.table.casefold())
            owners = [owner] if owner else []
        else:
            owners = list(tables.values())
        if not any(owner.get(name) for owner in owners) and not (not column.table and name.casefold() in aliases):
            raise InvalidInput(
                f"the column {column.sql()[:80]!r} is not in {', '.join(sorted(t.name for t in tables.values()))}: "
                "use a column of the schema"
            )


def _limited(tree: exp.Select, limit: int) -> exp.Select:
    asked = tree.args.get("limit")
    if asked is not None:
        number = asked.expression
        if not isinstance(number, exp.Literal) or number.is_string or not number.name.isdigit():
            raise InvalidInput("LIMIT must be a whole number")
        limit = min(limit, int(number.name))
    return tree.limit(limit)
