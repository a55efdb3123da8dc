"""Collections: rows and counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from app.errors import Conflict, NotFound
from app.index.identifiers import DEFAULT_COLLECTION, check_collection_name
from app.index.metadata_values import check_json
from app.index.records import CollectionRecord
from app.index.tables import collections, documents, versions


def ensure_default(connection: Connection, now: datetime) -> None:
    """Make the collection "default" where it is missing."""
    if connection.scalar(select(collections.c.id).where(collections.c.name == DEFAULT_COLLECTION)) is None:
        create(connection, DEFAULT_COLLECTION, "", {}, now)


def create(
    connection: Connection, name: str, description: str, settings: Mapping[str, Any], now: datetime
) -> CollectionRecord:
    check_collection_name(name)
    check_json("settings", settings)
    check_json("description", description)
    if connection.scalar(select(collections.c.id).where(collections.c.name == name)) is not None:
        raise Conflict(f"collection {name!r} exists already: use it, or choose another name")
    connection.execute(
        insert(collections).values(name=name, description=description, settings=dict(settings), created_at=now)
    )
    return get(connection, name)


def get(connection: Connection, name: str) -> CollectionRecord:
    row = connection.execute(select(collections).where(collections.c.name == name)).mappings().first()
    if row is None:
        raise NotFound(f"collection {name!r} does not exist: create it first, or use one of GET /v1/collections")
    return _record(row)


def list_all(connection: Connection) -> list[CollectionRecord]:
    rows = connection.execute(select(collections).order_by(collections.c.name)).mappings()
    return [_record(row) for row in rows]


def update_settings(connection: Connection, name: str, settings: Mapping[str, Any]) -> CollectionRecord:
    """See `Catalog.update_collection`."""
    check_json("settings", settings)
    record = get(connection, name)
    merged = {**record.settings, **settings}
    connection.execute(update(collections).where(collections.c.id == record.id).values(settings=merged))
    return replace(record, settings=merged)


def counts(connection: Connection, name: str) -> dict[str, Any]:
    collection_id = get(connection, name).id
    status_rows = connection.execute(
        select(documents.c.status, func.count())
        .where(documents.c.collection_id == collection_id)
        .group_by(documents.c.status)
    )
    by_status: dict[str, int] = {status: number for status, number in status_rows if status != "deleted"}
    sizes = connection.execute(
        select(
            func.coalesce(func.sum(versions.c.chunks), 0),
            func.coalesce(func.sum(versions.c.bytes), 0),
            func.coalesce(func.sum(versions.c.chars), 0),
        )
        .select_from(documents.join(versions, versions.c.id == documents.c.serving_version_id))
        .where(documents.c.collection_id == collection_id)
    ).one()
    return {
        "documents": sum(by_status.values()),
        "chunks": int(sizes[0]),
        "bytes": int(sizes[1]),
        "chars": int(sizes[2]),
        "by_status": by_status,
    }


def blobs(connection: Connection, name: str) -> list[str]:
    collection_id = get(connection, name).id
    digests = select(versions.c.sha256).where(versions.c.collection_id == collection_id, versions.c.sha256 != "")
    return list(connection.scalars(digests.distinct()))


def _record(row: RowMapping) -> CollectionRecord:
    return CollectionRecord(row["id"], row["name"], row["description"], row["settings"], row["created_at"])
