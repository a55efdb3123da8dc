"""Schemas as a caller gives them in JSON → checked schemas; several natural ways of writing one are understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import InvalidInput
from app.query.construction.fields import MAX_FIELDS, MAX_VALUES, Field, FieldSchema, FieldType
from app.query.construction.sql_keys import inferred_keys
from app.query.construction.sql_schema import MAX_TABLES, Column, ForeignKey, SqlSchema, Table

_TYPES: dict[str, FieldType] = {
    **dict.fromkeys(("text", "string", "str", "keyword", "varchar", "char", "enum", "list", "array"), "text"),
    **dict.fromkeys(
        ("number", "integer", "int", "float", "double", "real", "numeric", "decimal", "bigint", "smallint"), "number"
    ),
    **dict.fromkeys(("date", "datetime", "time", "timestamp"), "date"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
}
_FORM = 'use {"fields": [{"name": "year", "type": "number"}, {"name": "company", "type": "text", "values": ["Acme"]}]}'
_SQL_FORM = (
    'use {"tables": [{"name": "sales", "columns": [{"name": "amount", "type": "number"}], '
    '"foreign_keys": [{"column": "shop_id", "to_table": "shops", "to_column": "id"}]}]}'
)


def field_schema(given: Mapping[str, Any]) -> FieldSchema:
    """The fields of `{"fields": [...]}`, `{"fields": {name: type}}`, `{"properties": {...}}` or `{name: type}`.

    Raises:
        InvalidInput: it is none of those; the message names the part that is wrong.
    """
    entries = given.get("fields", given.get("properties", given))
    named = _entries("schema.fields", entries, _FORM)
    if len(named) > MAX_FIELDS:
        raise InvalidInput(f"schema has {len(named)} fields: use at most {MAX_FIELDS}")
    return FieldSchema(tuple(_field(f"schema field {name!r}", name, entry) for name, entry in named))


def sql_schema(given: Mapping[str, Any]) -> SqlSchema:
    """The tables of `{"tables": [{"name", "columns", "foreign_keys"?}]}`, `{"tables": {name: columns}}`, or one table.

    Where no table has a foreign key, names of columns say which tables belong together.

    Raises:
        InvalidInput: it is none of those; the message names the part that is wrong.
    """
    if "tables" not in given and "columns" in given:
        given = {"tables": [{"name": given.get("name", given.get("table", "data")), **given}]}
    tables = []
    for name, entry in _entries("schema.tables", given.get("tables", given), _SQL_FORM):
        where = f"schema table {name!r}"
        columns = entry.get("columns") if isinstance(entry, Mapping) and "columns" in entry else entry
        read = []
        for column, told in _entries(f"{where} columns", columns, _SQL_FORM):
            found = _field(f"{where} column {column!r}", column, told)
            read.append(Column(found.name, found.type, found.values))
        keys = entry.get("foreign_keys", ()) if isinstance(entry, Mapping) and "columns" in entry else ()
        tables.append(Table(name, tuple(read), tuple(_key(where, key) for key in keys or ())))
    if not any(table.foreign_keys for table in tables) and len(tables) <= MAX_TABLES:
        guessed = inferred_keys(tables)
        tables = [Table(table.name, table.columns, guessed.get(table.name, ())) for table in tables]
    return SqlSchema(tuple(tables))


def _entries(where: str, given: Any, form: str) -> list[tuple[str, Any]]:
    """(name, what is told of it) of an object, of a list of objects with names, or of a list of names."""
    if isinstance(given, Mapping) and given:
        return [(_name(where, name), entry) for name, entry in given.items()]
    if isinstance(given, Sequence) and not isinstance(given, str | bytes) and given:
        found: list[tuple[str, Any]] = []
        for entry in given:
            if isinstance(entry, str):
                found.append((_name(where, entry), "text"))
            elif isinstance(entry, Mapping):
                found.append((_name(where, entry.get("name", entry.get("field"))), entry))
            else:
                raise InvalidInput(f"{where} holds {str(entry)[:60]!r}: {form}")
        return found
    raise InvalidInput(f"{where} is {str(given)[:60]!r}: {form}")


def _name(where: str, name: Any) -> str:
    if not isinstance(name, str) or not len(name.strip()) >= 1 or len(name) > 128 or "\x00" in name:
        raise InvalidInput(f"{where}: {str(name)[:60]!r} is no name: use 1 to 128 characters")
    return name


def _field(where: str, name: str, told: Any) -> Field:
    entry = told if isinstance(told, Mapping) else {"type": told}
    kind = entry.get("type", "text" if entry.get("values") or entry.get("enum") else None)
    many = kind in ("list", "array") or bool(entry.get("many", False))
    if isinstance(entry.get("items"), Mapping):
        kind = entry["items"].get("type", "string")
    if entry.get("format") in ("date", "date-time"):
        kind = "date"
    base = kind.lower().split("(")[0].strip() if isinstance(kind, str) else ""
    if base not in _TYPES:
        raise InvalidInput(f"{where} has the type {str(kind)[:40]!r}: use text, number, date or boolean")
    values = entry.get("values", entry.get("enum", entry.get("examples", ())))
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) > MAX_VALUES:
        raise InvalidInput(f"{where}: values must be a list of at most {MAX_VALUES}")
    texts = tuple(dict.fromkeys(str(value)[:200] for value in values if isinstance(value, str) and value.strip()))
    return Field(name, _TYPES[base], values=texts if _TYPES[base] == "text" else (), many=many)


def _key(where: str, given: Any) -> ForeignKey:
    parts = [given.get(part) for part in ("column", "to_table", "to_column")] if isinstance(given, Mapping) else []
    if len(parts) != 3 or not all(isinstance(part, str) for part in parts):
        raise InvalidInput(f"{where} has the foreign key {str(given)[:80]!r}: {_SQL_FORM}")
    return ForeignKey(*map(str, parts))
