"""Which documents of a collection are tables: the versions that serve now, by their media type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from app.index import collections as collection_rows
from app.index.tables import documents, versions


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A serving version of a document that is a table; `sha256` names its bytes in the blob store."""

    version_id: int
    document_id: str
    version: int
    title: str
    filename: str | None
    source_url: str | None
    media_type: str
    sha256: str
    bytes: int


def table_versions(
    connection: Connection, collection: str, media_types: Sequence[str], limit: int
) -> tuple[list[TableVersion], int]:
    """(the newest `limit` of them, oldest first; how many there are). Raises NotFound: no such collection."""
    wanted = and_(
        documents.c.collection_id == collection_rows.get(connection, collection).id,
        documents.c.status == "ready",
        versions.c.media_type.in_(media_types),
    )
    joined = documents.join(versions, versions.c.id == documents.c.serving_version_id)
    total = connection.execute(select(func.count()).select_from(joined).where(wanted)).scalar_one()
    statement = (
        select(
            versions.c.id, documents.c.id, versions.c.number, versions.c.title, versions.c.filename,
            versions.c.source_url, versions.c.media_type, versions.c.sha256, versions.c.bytes,
        )
        .select_from(joined)
        .where(wanted)
        .order_by(documents.c.seq.desc())
        .limit(limit)
    )  # fmt: skip
    rows = connection.execute(statement).all()
    found = [
        TableVersion(
            version_id, document_id, number, title or filename or document_id, filename, url, media, digest, size
        )
        for version_id, document_id, number, title, filename, url, media, digest, size in reversed(rows)
    ]
    return found, int(total)
