"""Reading documents, versions, texts and chunks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

from sqlalchemy import Connection, RowMapping, Select, Text, and_, cast, func, select

from app.errors import InvalidInput, NotFound
from app.index import collections as collection_rows
from app.index.dialect import MAX_PARAMETERS, pairs_parameter
from app.index.identifiers import check_limit, decode_cursor, encode_cursor
from app.index.records import DocumentRecord, VersionRecord
from app.index.tables import chunks, collections, documents, texts, versions
from app.types import Chunk, DocumentStatus, PageSpan, StoredChunk

T = TypeVar("T")
_newest = versions.alias("newest")
_shown = func.coalesce(documents.c.serving_version_id, documents.c.newest_version_id)

# the version that a document is seen through, with the newest version's error beside it
_DOCUMENT = (
    select(
        versions,
        documents.c.seq,
        documents.c.status.label("document_status"),
        documents.c.created_at.label("document_created_at"),
        collections.c.name.label("collection"),
        _newest.c.error.label("newest_error"),
        _newest.c.error_code.label("newest_error_code"),
    )
    .select_from(documents)
    .join(collections, collections.c.id == documents.c.collection_id)
    .join(_newest, _newest.c.id == documents.c.newest_version_id)
)

# JSON stays text here: the same version's metadata comes with each of its chunks and is parsed once
_CHUNK = (
    select(
        chunks.c.version_id,
        chunks.c.ordinal,
        versions.c.document_id,
        versions.c.number,
        collections.c.name,
        versions.c.title,
        versions.c.source_url,
        versions.c.media_type,
        chunks.c.text,
        chunks.c.char_start,
        chunks.c.char_end,
        chunks.c.page,
        cast(chunks.c.heading_path, Text),
        cast(versions.c.metadata, Text),
        chunks.c.tokens,
    )
    .select_from(chunks)
    .join(versions, versions.c.id == chunks.c.version_id)
    .join(collections, collections.c.id == versions.c.collection_id)
)

_keys, _key_version_id, _key_ordinal = pairs_parameter("keys")
_CHUNK_OF_KEYS = _CHUNK.join(_keys, and_(chunks.c.version_id == _key_version_id, chunks.c.ordinal == _key_ordinal))


def batches(values: Iterable[T], size: int = MAX_PARAMETERS // 2) -> Iterator[list[T]]:
    """`values` in lists that fit one statement's parameters."""
    whole = list(values)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def get(connection: Connection, document_id: str, version: int | None) -> DocumentRecord:
    statement = _DOCUMENT.where(documents.c.id == document_id)
    if version is None:
        statement = statement.join(versions, versions.c.id == _shown)
    else:
        statement = statement.join(
            versions, and_(versions.c.document_id == documents.c.id, versions.c.number == version)
        )
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise _not_found(document_id, version)
    return _document(row, one_version=version is not None)


def list_page(
    connection: Connection, collection: str | None, status: DocumentStatus | None, cursor: str | None, limit: int
) -> tuple[list[DocumentRecord], str | None]:
    check_limit(limit)
    statement = _DOCUMENT.join(versions, versions.c.id == _shown).order_by(documents.c.seq.desc()).limit(limit + 1)
    if collection is not None:
        statement = statement.where(documents.c.collection_id == collection_rows.get(connection, collection).id)
    if status is None:
        statement = statement.where(documents.c.status != "deleted")
    elif status in get_args(DocumentStatus):
        statement = statement.where(documents.c.status == status)
    else:
        raise InvalidInput(f"status {status!r} is unknown: use one of {', '.join(get_args(DocumentStatus))}")
    if cursor is not None:
        statement = statement.where(documents.c.seq < decode_cursor(cursor))
    rows = connection.execute(statement).mappings().all()
    following = encode_cursor(rows[limit - 1]["seq"]) if len(rows) > limit else None
    return [_document(row, one_version=False) for row in rows[:limit]], following


def get_versions(connection: Connection, document_id: str) -> list[VersionRecord]:
    statement = select(versions).where(versions.c.document_id == document_id).order_by(versions.c.number.desc())
    rows = connection.execute(statement).mappings().all()
    if not rows:
        raise _not_found(document_id, None)
    return [version_record(row) for row in rows]


def get_version_records(connection: Connection, ids: Iterable[int]) -> dict[int, VersionRecord]:
    found: dict[int, VersionRecord] = {}
    for batch in batches(ids):
        rows = connection.execute(select(versions).where(versions.c.id.in_(batch))).mappings()
        found.update((row["id"], version_record(row)) for row in rows)
    return found


def version_ids(connection: Connection, collection_id: int, statuses: Iterable[DocumentStatus]) -> list[int]:
    statement = select(versions.c.id).where(
        versions.c.collection_id == collection_id, versions.c.status.in_(list(statuses))
    )
    return list(connection.scalars(statement.order_by(versions.c.id)))


def serving_versions(connection: Connection, collection_id: int) -> list[int]:
    statement = select(documents.c.serving_version_id).where(
        documents.c.collection_id == collection_id, documents.c.serving_version_id.is_not(None)
    )
    return sorted(connection.scalars(statement))


def get_text(connection: Connection, document_id: str, version: int | None) -> str:
    record = get(connection, document_id, version)
    text = connection.scalar(select(texts.c.text).where(texts.c.version_id == record.version_id))
    if text is None:
        raise NotFound(
            f"document {document_id!r} version {record.version} has no text: its status is {record.status}"
            + (f" ({record.error})" if record.error else "")
        )
    return str(text)


def get_texts(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for batch in batches(ids):
        rows = connection.execute(select(texts.c.version_id, texts.c.text).where(texts.c.version_id.in_(batch)))
        found.update((row[0], row[1]) for row in rows)
    return found


def get_pages(connection: Connection, version_id: int) -> list[PageSpan]:
    spans = connection.scalar(select(texts.c.pages).where(texts.c.version_id == version_id))
    return [PageSpan(*span) for span in spans or []]


def get_document_chunks(connection: Connection, document_id: str, version: int | None) -> list[StoredChunk]:
    record = get(connection, document_id, version)
    statement = _CHUNK.where(chunks.c.version_id == record.version_id).order_by(chunks.c.ordinal)
    return list(_stored(connection, statement).values())


def get_chunks(connection: Connection, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], StoredChunk]:
    return _stored(connection, _CHUNK_OF_KEYS, {"keys": json.dumps([[int(a), int(b)] for a, b in keys])})


def embedding_texts(connection: Connection, ids: Sequence[int]) -> dict[tuple[int, int], str]:
    found: dict[tuple[int, int], str] = {}
    columns = (chunks.c.version_id, chunks.c.ordinal, versions.c.title, chunks.c.heading_path, chunks.c.text)
    for batch in batches(ids):
        statement = select(*columns).join(versions, versions.c.id == chunks.c.version_id)
        ordered = statement.where(chunks.c.version_id.in_(batch)).order_by(chunks.c.version_id, chunks.c.ordinal)
        for version_id, ordinal, title, headings, text in connection.execute(ordered):
            chunk = Chunk(ordinal, text, 0, len(text), heading_path=tuple(headings))
            found[version_id, ordinal] = chunk.embedding_text(title)
    return found


def _stored(
    connection: Connection, statement: Select[Any], parameters: Mapping[str, Any] | None = None
) -> dict[tuple[int, int], StoredChunk]:
    parsed: dict[str, Any] = {}

    def loads(raw: str) -> Any:
        if raw not in parsed:
            parsed[raw] = json.loads(raw)
        return parsed[raw]

    return {(row[0], row[1]): _chunk(tuple(row), loads) for row in connection.execute(statement, parameters)}


def _chunk(row: Sequence[Any], loads: Callable[[str], Any]) -> StoredChunk:
    version_id, ordinal, document_id, version, collection, title, source_url, media_type, *rest = row
    text, char_start, char_end, page, heading_path, metadata, tokens = rest
    return StoredChunk(
        f"{version_id}-{ordinal}",
        version_id,
        ordinal,
        document_id,
        version,
        collection,
        title or "",
        source_url,
        media_type or "",
        text,
        char_start,
        char_end,
        page,
        tuple(loads(heading_path)),
        loads(metadata),
        tokens,
    )


def _document(row: RowMapping, *, one_version: bool) -> DocumentRecord:
    return DocumentRecord(
        id=row["document_id"],
        collection=row["collection"],
        title=row["title"] or row["filename"] or "",
        version=row["number"],
        version_id=row["id"],
        status=row["status"] if one_version else row["document_status"],
        media_type=row["media_type"] or "application/octet-stream",
        bytes=row["bytes"],
        pages=row["pages"],
        chars=row["chars"],
        chunks=row["chunks"],
        sha256=row["sha256"],
        metadata=row["metadata"],
        source_url=row["source_url"],
        created_at=row["document_created_at"],
        updated_at=row["updated_at"],
        error=row["error"] if one_version else row["newest_error"],
        error_code=row["error_code"] if one_version else row["newest_error_code"],
        filename=row["filename"],
    )


def version_record(row: RowMapping | Mapping[str, Any]) -> VersionRecord:
    """The record of a row of `versions`."""
    return VersionRecord(
        id=row["id"],
        document_id=row["document_id"],
        version=row["number"],
        status=row["status"],
        sha256=row["sha256"],
        created_at=row["created_at"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        error=row["error"],
        error_code=row["error_code"],
        chunks=row["chunks"],
        generation=row["generation"],
    )


def _not_found(document_id: str, version: int | None) -> NotFound:
    what = f"document {document_id[:200]!r}" + (f" version {version}" if version is not None else "")
    return NotFound(f"{what} does not exist: see GET /v1/documents for ids")
