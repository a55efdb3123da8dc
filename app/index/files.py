"""Uploaded files that are no collection's yet: what OpenAI's clients make before they fill a vector store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select

from app.errors import NotFound, Unavailable
from app.index.identifiers import check_limit, check_sha256
from app.index.records import FileRecord
from app.index.tables import documents, files


def add(connection: Connection, record: FileRecord, blob_exists: Callable[[str], bool]) -> None:
    """See `Catalog.add_file`."""
    check_sha256(record.sha256)
    if not blob_exists(record.sha256):
        raise Unavailable("the bytes of the file were removed meanwhile: upload it again")
    connection.execute(
        insert(files).values(
            id=record.id,
            sha256=record.sha256,
            bytes=record.bytes,
            filename=record.filename,
            media_type=record.media_type,
            purpose=record.purpose,
            owner=record.owner,
            created_at=record.created_at,
        )
    )


def get(connection: Connection, file_id: str, owner: str | None) -> FileRecord:
    """See `Catalog.get_file`."""
    row = connection.execute(_visible(owner).where(files.c.id == file_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"file {file_id[:200]!r} does not exist: see GET /v1/files for ids")
    return _record(row)


def list_after(
    connection: Connection, owner: str | None, after: str | None, limit: int, newest_first: bool, purpose: str | None
) -> list[FileRecord]:
    """See `Catalog.list_files`."""
    check_limit(limit, 10_000)
    order = files.c.seq.desc() if newest_first else files.c.seq.asc()
    query = _visible(owner).order_by(order).limit(limit)
    if purpose is not None:
        query = query.where(files.c.purpose == purpose)
    if after is not None:
        seq = connection.scalar(select(files.c.seq).where(files.c.id == after))
        if seq is None:
            raise NotFound(f"file {after[:200]!r} does not exist: pass the last id of the page before")
        query = query.where(files.c.seq < seq if newest_first else files.c.seq > seq)
    return [_record(row) for row in connection.execute(query).mappings()]


def remove(connection: Connection, file_id: str) -> None:
    """See `Catalog.delete_file`."""
    if not connection.execute(delete(files).where(files.c.id == file_id)).rowcount:
        raise NotFound(f"file {file_id[:200]!r} does not exist: see GET /v1/files for ids")


def blobs_in_use(connection: Connection, sha256s: Sequence[str]) -> set[str]:
    """Those of the digests that a file needs."""
    return set(connection.scalars(select(files.c.sha256).where(files.c.sha256.in_(sha256s)).distinct()))


def document_with_bytes(connection: Connection, collection_id: int, sha256: str) -> str | None:
    """The id of the collection's document whose newest version has these bytes."""
    query = select(documents.c.id).where(documents.c.collection_id == collection_id, documents.c.head_sha256 == sha256)
    return connection.scalar(query)


def _visible(owner: str | None) -> Select[tuple[object, ...]]:
    query = select(files)
    return query if owner is None else query.where(files.c.owner == owner)


def _record(row: RowMapping) -> FileRecord:
    return FileRecord(**{name: row[name] for name in FileRecord.__dataclass_fields__})
