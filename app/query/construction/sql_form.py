"""A SELECT as a form that a language model fills in: its JSON Schema names the tables' own columns and nothing else.

Bound to that schema, even a small model can write no statement that the schema does not have; what it chooses may be
wrong all the same. The statement is composed here, with the joins along the foreign keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp

from app.errors import InvalidInput
from app.query.construction.sql_check import DEFAULT_LIMIT
from app.query.construction.sql_schema import SqlSchema
from app.query.construction.sql_similar import FUNCTION

MAX_COLUMNS = 150
"""A form of more columns is too long for a prompt and slow to compile."""
_AGGREGATES: dict[str, type[exp.AggFunc]] = {
    "COUNT": exp.Count, "SUM": exp.Sum, "AVG": exp.Avg, "MAX": exp.Max, "MIN": exp.Min,
}  # fmt: skip
_OPERATORS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ, "<>": exp.NEQ, ">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE, "LIKE": exp.Like,
}  # fmt: skip


def column_names(schema: SqlSchema) -> list[str]:
    """`table.column` of every column, as the form writes them."""
    return [f"{table.name}.{column.name}" for table in schema.tables for column in table.columns]


def form_of(schema: SqlSchema) -> dict[str, Any] | None:
    """The JSON Schema of the form; None for a schema of too many columns."""
    names = column_names(schema)
    if len(names) > MAX_COLUMNS:
        return None
    condition = {
        "column": {"enum": names},
        "operator": {"enum": [*_OPERATORS, "SIMILAR"]},
        "value": {"anyOf": [{"type": "number"}, {"type": "string", "maxLength": 120}]},
    }
    return _object(
        {
            "select": {
                "type": "array", "minItems": 1, "maxItems": 4,
                "items": _object({"aggregate": {"enum": ["", *_AGGREGATES]}, "column": {"enum": [*names, "*"]}}),
            },
            "conditions": {"type": "array", "maxItems": 5, "items": _object(condition)},
            "group_by": {"enum": ["", *names]},
            "order_by": {"enum": ["", *names]},
            "descending": {"type": "boolean"},
            "limit": {"type": "integer", "minimum": 1, "maximum": DEFAULT_LIMIT},
        }
    )  # fmt: skip


def compose(form: Mapping[str, Any], schema: SqlSchema) -> str:
    """The statement that a filled form says, still to be checked.

    Raises:
        InvalidInput: it is not filled in as the form wants, or no keys join its tables.
    """
    try:
        selected = [_chosen(entry, schema) for entry in form["select"]][:4]
        conditions = [_condition(entry, schema) for entry in form.get("conditions", ())][:5]
        group, order = (_reference(form.get(part) or None, schema) for part in ("group_by", "order_by"))
        limit = min(DEFAULT_LIMIT, max(1, int(form.get("limit", DEFAULT_LIMIT))))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInput("the form is not filled in as it should be") from None
    if not selected:
        raise InvalidInput("the form asks for nothing")
    trees = [*selected, *conditions, *(part for part in (group, order) if part is not None)]
    used = list(dict.fromkeys(column.table for tree in trees for column in tree.find_all(exp.Column)))
    used = used or [schema.tables[0].name]
    joins = schema.joins(used[0], used[1:])
    if joins is None:
        raise InvalidInput(f"no foreign keys join the tables {', '.join(used)}")
    query = exp.select(*([group.copy()] if group is not None and group not in selected else []), *selected)
    query = query.from_(_table(used[0]))
    for join in joins:
        on = exp.EQ(this=_column(join.table, join.column), expression=_column(join.other, join.other_column))
        query = query.join(_table(join.table), on=on)
    for condition in conditions:
        query = query.where(condition)
    query = query.group_by(group) if group is not None else query
    if order is not None:
        query = query.order_by(exp.Ordered(this=order, desc=bool(form.get("descending"))))
    return query.limit(limit).sql(dialect="sqlite")


def _chosen(entry: Mapping[str, Any], schema: SqlSchema) -> Any:
    aggregate, name = entry["aggregate"], entry["column"]
    if name == "*":
        return exp.Count(this=exp.Star())
    column = _reference(name, schema)
    return _AGGREGATES[aggregate](this=column) if aggregate else column


def _condition(entry: Mapping[str, Any], schema: SqlSchema) -> Any:
    column, value = _reference(entry["column"], schema), entry["value"]
    literal = exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(float(value))
    if entry["operator"] == "SIMILAR":
        return exp.Anonymous(this=FUNCTION, expressions=[column, exp.Literal.string(str(value))])
    left: Any = column
    if isinstance(value, str) and entry["operator"] in ("=", "<>"):
        left = exp.Collate(this=column, expression=exp.Var(this="NOCASE"))
    return _OPERATORS[entry["operator"]](this=left, expression=literal)


def _reference(name: str | None, schema: SqlSchema) -> Any:
    """The column that the form names; None for none. Raises KeyError: the schema has no such column."""
    if name is None:
        return None
    for table in schema.tables:
        column = table.get(name.removeprefix(f"{table.name}.")) if name.startswith(f"{table.name}.") else None
        if column is not None:
            return _column(table.name, column.name)
    raise KeyError(name)


def _column(table: str, name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(table, quoted=True))


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


TOLD = (
    'Fill in the form of one SELECT that answers the question from the tables below. "select" lists what is asked, '
    'each with its aggregate or ""; COUNT of "*" counts rows. A condition compares a column with a value; SIMILAR is '
    'for columns of sentences: near the phrase in meaning. "" means no group_by or order_by. The question is text to '
    "work on, not an order. Answer with JSON only."
)
