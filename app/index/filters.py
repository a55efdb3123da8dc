"""Metadata filters: `{field: value | {operator: operand}}` → version ids.

Fields of one mapping are all required; `{"any": [filter, …]}`, `{"all": [filter, …]}` and `{"not": filter}` combine
whole filters. A list matches where one of its elements does. `ne` and `nin` are the complements of `eq` and `in`:
versions without the field pass them. `contains`: a list holds the value, or a string holds it as a part, letter case
ignored. Numbers match numbers, strings strings (by code point, so RFC 3339 dates of one zone order rightly).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, false, func, not_, or_, select, true

from app.errors import InvalidInput
from app.index.metadata_values import MAX_LIST, is_number
from app.index.tables import documents, metadata_entries, versions

OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists")
MAX_CONDITIONS = 100
MAX_DEPTH = 8
MAX_CHARS = 4_000  # of one operand; SQLite refuses patterns over 50,000 bytes
_TEXT_FIELDS = {name: versions.c[name] for name in ("title", "source_url", "media_type", "document_id")}
_TIME_FIELDS = ("created_at", "updated_at")
_ORDER: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value,
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    field: str
    operator: str
    operand: Any


@dataclass(frozen=True, slots=True)
class Combination:
    """`kind` is "all", "any" or "not" (of exactly one part)."""

    kind: str
    parts: tuple[Condition, ...]


Condition = Comparison | Combination


def parse(filters: Mapping[str, Any]) -> Condition:
    """The checked filter. Raises InvalidInput that names the field, the operator and what is allowed."""
    condition = _parse_all(filters, depth=0)
    if (size := _size(condition)) > MAX_CONDITIONS:
        raise InvalidInput(
            f"filters hold {size} conditions (50 values of a list count as one): use at most {MAX_CONDITIONS}"
        )
    return condition


def matching_versions(connection: Connection, collection_id: int, condition: Condition) -> set[int]:
    """Ids of the collection's versions, current and retired, that pass; failed and deleted ones never do."""
    statement = select(versions.c.id).where(
        versions.c.collection_id == collection_id,
        versions.c.status.not_in(["failed", "deleted"]),
        _clause(condition, collection_id),
    )
    return set(connection.scalars(statement))


# --- from JSON to conditions -----------------------------------------------------------------------------------------


def _parse_all(filters: object, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"filters are nested more than {MAX_DEPTH} deep: flatten them")
    if not isinstance(filters, Mapping):
        raise InvalidInput(f"filters {str(filters)[:80]!r} is not an object: use {{field: {{operator: value}}}}")
    parts: list[Condition] = []
    for field, value in filters.items():
        if field in ("any", "all") and not isinstance(value, Mapping):
            if not isinstance(value, list | tuple) or not value:
                raise InvalidInput(f"filter {field!r} needs a list of filters with at least one in it")
            parts.append(Combination(field, tuple(_parse_all(part, depth + 1) for part in value)))
        elif field == "not":
            parts.append(Combination("not", (_parse_all(value, depth + 1),)))
        else:
            parts.extend(_parse_field(field, value))
    return parts[0] if len(parts) == 1 else Combination("all", tuple(parts))


def _parse_field(field: object, value: object) -> list[Comparison]:
    if not isinstance(field, str) or not field:
        raise InvalidInput(f"filter field {field!r} is not a name: use a metadata field or a document field")
    operations = value if isinstance(value, Mapping) else {"eq": value}
    if not operations:
        raise InvalidInput(f"filter on {field!r} has no operator: use one of {', '.join(OPERATORS)}")
    return [_parse_operation(field, operator, operand) for operator, operand in operations.items()]


def _parse_operation(field: str, operator: object, operand: object) -> Comparison:
    where = f"filter on {field!r}"
    if operator not in OPERATORS or not isinstance(operator, str):
        raise InvalidInput(f"{where}: operator {operator!r} is unknown: use one of {', '.join(OPERATORS)}")
    where += f": {operator} {str(operand)[:80]!r}"
    if operator == "exists":
        if not isinstance(operand, bool):
            raise InvalidInput(f"{where} needs true or false")
        return Comparison(field, operator, operand)
    if operator in ("in", "nin"):
        if not isinstance(operand, list | tuple | set | frozenset) or not 1 <= len(operand) <= MAX_LIST:
            raise InvalidInput(f"{where} needs a list of 1 to {MAX_LIST} values")
        return Comparison(field, operator, tuple(_operand(field, element, where) for element in operand))
    if operator == "contains" and field in _TIME_FIELDS:
        raise InvalidInput(f"{where}: a time contains nothing: use eq ne gt gte lt lte in nin exists")
    checked = _operand(field, operand, where)
    if operator in ("gt", "gte", "lt", "lte") and isinstance(checked, bool):
        raise InvalidInput(f"{where}: booleans have no order: use eq or ne")
    return Comparison(field, operator, checked)


def _operand(field: str, operand: object, where: str) -> Any:
    if field in _TIME_FIELDS:
        return _time(operand, where)
    if field in _TEXT_FIELDS and not isinstance(operand, str):
        raise InvalidInput(f"{where} needs a string")
    if isinstance(operand, bool) or is_number(operand):
        return operand
    if isinstance(operand, str):
        if len(operand) > MAX_CHARS:
            raise InvalidInput(f"{where}…: the string has {len(operand)} characters: use at most {MAX_CHARS}")
        try:
            operand.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{where} holds a lone surrogate, which no stored value can: remove it") from error
        return operand
    raise InvalidInput(
        f"{where} needs a string, a finite number or a boolean; for several values use in, for a missing field exists"
    )


def _time(operand: object, where: str) -> datetime:
    try:
        moment = operand if isinstance(operand, datetime) else datetime.fromisoformat(str(operand))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{where} needs an RFC 3339 time such as 2026-01-31T12:00:00Z") from error


def _size(condition: Condition) -> int:
    """Conditions, a list of values counting one for every 50: a statement takes only so many parameters."""
    if isinstance(condition, Combination):
        return sum(map(_size, condition.parts))
    return 1 + len(condition.operand) // 50 if isinstance(condition.operand, tuple) else 1


# --- from conditions to SQL ------------------------------------------------------------------------------------------


def _clause(condition: Condition, collection_id: int) -> ColumnElement[bool]:
    if isinstance(condition, Combination):
        clauses = [_clause(part, collection_id) for part in condition.parts]
        if condition.kind == "not":
            return not_(clauses[0])
        return or_(false(), *clauses) if condition.kind == "any" else and_(true(), *clauses)
    if condition.operator in ("ne", "nin"):
        positive = "eq" if condition.operator == "ne" else "in"
        return not_(_clause(Comparison(condition.field, positive, condition.operand), collection_id))
    if condition.field in _TEXT_FIELDS:
        return _column_clause(_TEXT_FIELDS[condition.field], condition)
    if condition.field == "updated_at":
        return _column_clause(versions.c.updated_at, condition)
    if condition.field == "created_at":
        made = select(documents.c.id).where(_column_clause(documents.c.created_at, condition))
        return versions.c.document_id.in_(made)
    return _entries_clause(condition, collection_id)


def _column_clause(column: ColumnElement[Any], condition: Comparison) -> ColumnElement[bool]:
    """Never NULL, so that its complement is right."""
    operator, operand = condition.operator, condition.operand
    if operator == "exists":
        return column.is_not(None) if operand else column.is_(None)
    if operator == "in":
        return and_(column.is_not(None), column.in_(list(operand)))
    if operator == "contains":
        return and_(column.is_not(None), _has_part(column, operand))
    return and_(column.is_not(None), _ORDER[operator](column, operand))


def _entries_clause(condition: Comparison, collection_id: int) -> ColumnElement[bool]:
    operator, operand = condition.operator, condition.operand
    if operator == "exists":
        matching: ColumnElement[bool] = true()
    elif operator == "in":
        matching = or_(false(), *_one_of(operand))
    elif operator == "contains" and isinstance(operand, str):
        matching = _has_part(metadata_entries.c.value_text, operand)
    else:
        matching = _ORDER["eq" if operator == "contains" else operator](_value_column(operand), operand)
    found = versions.c.id.in_(
        select(metadata_entries.c.version_id).where(
            metadata_entries.c.collection_id == collection_id, metadata_entries.c.field == condition.field, matching
        )
    )
    return not_(found) if operator == "exists" and not operand else found


def _one_of(operands: Sequence[Any]) -> list[ColumnElement[bool]]:
    by_column: dict[str, list[Any]] = {}
    for operand in operands:
        by_column.setdefault(_value_column(operand).name, []).append(operand)
    return [metadata_entries.c[name].in_(values) for name, values in by_column.items()]


def _value_column(operand: object) -> Any:
    if isinstance(operand, bool):
        return metadata_entries.c.value_bool
    return metadata_entries.c.value_text if isinstance(operand, str) else metadata_entries.c.value_num


def _has_part(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    return func.lower(column).contains(part.lower(), autoescape=True)
