"""What the metadata of a collection looks like: its fields with types, values and ranges, for building filters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Row, Select, func, select

from app.index import collections
from app.index.tables import documents, metadata_entries

MAX_FIELDS = 100
MAX_VALUES = 300
MAX_VALUE_CHARS = 120  # longer texts are descriptions, not names of anything
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?")


@dataclass(frozen=True, slots=True)
class FieldStatistics:
    """One metadata field over the documents that serve.

    Args:
        type: "date" where every sampled text is an RFC 3339 date or time; "text" where documents disagree.
        values: the most frequent texts, at most 300.
        many: some document holds a list of several values.
        count: documents that have the field.
    """

    name: str
    type: Literal["text", "number", "date", "boolean"]
    values: tuple[str, ...]
    many: bool
    minimum: float | str | None
    maximum: float | str | None
    count: int


def metadata_fields(connection: Connection, collection: str) -> list[FieldStatistics]:
    """The fields of the collection's serving documents, most frequent first, at most 100. Raises NotFound."""
    collection_id = collections.get(connection, collection).id
    entry = metadata_entries.c
    serving = (
        select(
            entry.field,
            func.count(entry.version_id.distinct()).label("documents"),
            func.count(entry.value_text).label("texts"),
            func.count(entry.value_num).label("numbers"),
            func.count(entry.value_bool).label("booleans"),
            func.min(entry.value_num).label("least"),
            func.max(entry.value_num).label("most"),
            func.max(entry.position).label("position"),
        )
        .select_from(metadata_entries.join(documents, documents.c.serving_version_id == entry.version_id))
        .where(entry.collection_id == collection_id)
        .group_by(entry.field)
        .order_by(func.count(entry.version_id.distinct()).desc(), entry.field)
        .limit(MAX_FIELDS)
    )
    return [_field(connection, collection_id, row) for row in connection.execute(serving)]


def _field(connection: Connection, collection_id: int, row: Row[tuple[object, ...]]) -> FieldStatistics:
    many, least, most = bool(row.position), row.least, row.most
    kind: Literal["text", "number", "date", "boolean"] = "text"
    values: tuple[str, ...] = ()
    if row.texts:
        values = tuple(connection.scalars(_values(collection_id, str(row.field))))
        least = most = None
        if values and not row.numbers and all(_DATE.fullmatch(value) for value in values):
            kind, least, most, values = "date", min(values), max(values), ()
    elif row.numbers and not row.booleans:
        kind = "number"
    elif row.booleans and not row.numbers:
        kind = "boolean"
    return FieldStatistics(str(row.field), kind, values, many, least, most, int(row.documents))


def _values(collection_id: int, field: str) -> Select[tuple[str]]:
    entry = metadata_entries.c
    return (
        select(entry.value_text)
        .select_from(metadata_entries.join(documents, documents.c.serving_version_id == entry.version_id))
        .where(
            entry.collection_id == collection_id,
            entry.field == field,
            entry.value_text.is_not(None),
            func.length(entry.value_text).between(1, MAX_VALUE_CHARS),
        )
        .group_by(entry.value_text)
        .order_by(func.count().desc(), entry.value_text)
        .limit(MAX_VALUES)
    )
