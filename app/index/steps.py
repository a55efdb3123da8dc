"""The worker's steps on one version: queued → loading → chunking → embedding → indexing → ready, or failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import Connection, RowMapping, bindparam, case, delete, insert, select, update

from app.errors import Cancelled, InvalidInput, NotFound
from app.index import job_rows
from app.index.documents import batches
from app.index.metadata_values import check_json, entries, from_loader
from app.index.records import WorkItem
from app.index.tables import chunks as chunk_table
from app.index.tables import collections, documents, metadata_entries, texts, versions
from app.types import Chunk, DocumentStatus, LoadedDocument

_ENDED = ("ready", "failed", "deleted")
_STEPS = tuple(status for status in get_args(DocumentStatus) if status not in ("ready", "deleted"))


def work_item(connection: Connection, version_id: int) -> WorkItem:
    row = _row(connection, version_id)
    if row["status"] in ("failed", "deleted"):
        raise _ended(version_id, row)
    name = connection.scalar(select(collections.c.name).where(collections.c.id == row["collection_id"]))
    given = row["given"]
    return WorkItem(
        version_id=version_id,
        document_id=row["document_id"],
        version=row["number"],
        collection_id=row["collection_id"],
        collection=str(name),
        sha256=row["sha256"],
        media_type=given["media_type"],
        filename=row["filename"],
        title=given["title"],
        source_url=row["source_url"],
        metadata=given["metadata"],
        status=row["status"],
        bytes=row["bytes"],
    )


def why_unwanted(connection: Connection, version_id: int) -> str | None:
    row = connection.execute(select(versions).where(versions.c.id == version_id)).mappings().first()
    if row is None:
        return "its collection was deleted"
    if row["status"] == "deleted":
        return "the document was deleted"
    if row["status"] == "failed":
        return f"it failed: {row['error']}"
    serving = connection.scalar(
        select(versions.c.number)
        .join(documents, documents.c.serving_version_id == versions.c.id)
        .where(documents.c.id == row["document_id"])
    )
    return f"version {serving} serves already" if serving is not None and serving > row["number"] else None


def set_status(
    connection: Connection,
    version_id: int,
    status: DocumentStatus,
    error: str | None,
    error_code: str | None,
    now: datetime,
) -> None:
    if status not in _STEPS:
        raise InvalidInput(f"status {status!r} cannot be set here: use one of {', '.join(_STEPS)}")
    if status == "failed":
        fail(connection, [version_id], error or "unknown error", error_code, now)
        return
    row = _open_row(connection, version_id)
    connection.execute(
        update(versions)
        .where(versions.c.id == version_id)
        .values(status=status, error=None, error_code=None, updated_at=now)
    )
    _show(connection, [row["document_id"]])


def fail(connection: Connection, version_ids: Iterable[int], error: str, error_code: str | None, now: datetime) -> None:
    """Fail those of the versions that have not ended; their bytes may then be submitted again."""
    touched: list[str] = []
    for batch in batches(version_ids):
        open_ = (versions.c.id.in_(batch), versions.c.status.not_in(_ENDED))
        touched.extend(connection.scalars(select(versions.c.document_id).where(*open_).distinct()))
        connection.execute(
            update(versions).where(*open_).values(status="failed", error=error, error_code=error_code, updated_at=now)
        )
    _show(connection, touched)
    for document_id in touched:
        _own_newest_bytes(connection, document_id)


def store_text(
    connection: Connection,
    version_id: int,
    loaded: LoadedDocument,
    title: str,
    chunks: Sequence[Chunk],
    now: datetime,
) -> None:
    row = _open_row(connection, version_id)
    _check_text(loaded.text, title, chunks)
    metadata = from_loader(loaded.metadata) | row["given"]["metadata"]
    for table in (chunk_table, texts, metadata_entries):
        connection.execute(delete(table).where(table.c.version_id == version_id))
    pages = [[span.number, span.char_start, span.char_end] for span in loaded.pages]
    connection.execute(insert(texts).values(version_id=version_id, pages=pages, text=loaded.text))
    if chunks:
        connection.execute(insert(chunk_table), [_chunk_row(version_id, chunk) for chunk in chunks])
    rows = list(entries(version_id, row["collection_id"], metadata))
    if rows:
        connection.execute(insert(metadata_entries), rows)
    connection.execute(
        update(versions)
        .where(versions.c.id == version_id)
        .values(
            status="embedding",
            media_type=loaded.media_type,
            title=title,
            metadata=metadata,
            pages=len(loaded.pages) or None,
            chars=len(loaded.text),
            chunks=len(chunks),
            error=None,
            error_code=None,
            updated_at=now,
        )
    )
    _show(connection, [row["document_id"]])


def replaced_by(connection: Connection, version_ids: Sequence[int]) -> dict[int, tuple[int, ...]]:
    replaced: dict[int, tuple[int, ...]] = {}
    before: dict[str, int] = {}  # the version published just before in this call, by document
    for row in _in_order(connection, version_ids):
        document_id, version_id = row["document_id"], row["id"]
        serving = before.get(document_id, row["serving_version_id"])
        replaced[version_id] = (serving,) if serving not in (None, version_id) else ()
        before[document_id] = version_id
    return replaced


def finish_publication(
    connection: Connection,
    collection_id: int,
    version_ids: Sequence[int],
    valid_from: datetime,
    generation: int,
    now: datetime,
) -> None:
    published: list[int] = []
    fresh: dict[int, datetime | None] = {}  # version id → valid_to
    retired: list[int] = []
    revived: list[str] = []  # documents with a version that was cancelled after the index had it
    serving: dict[str, tuple[int, int]] = {}  # document id → (number, version id)
    for row in _in_order(connection, version_ids):
        if row["status"] == "deleted" or row["collection_id"] != collection_id:
            continue
        published.append(row["id"])
        if row["status"] == "ready":
            continue  # the job was repeated after a crash
        if row["status"] == "failed":
            revived.append(row["document_id"])
        document_id = row["document_id"]
        old = serving.get(document_id) or _serving(connection, row["serving_version_id"])
        late = old is not None and old[0] > row["number"]
        fresh[row["id"]] = valid_from if late else None
        if not late:
            if old is not None:
                retired.append(old[1])
            serving[document_id] = (row["number"], row["id"])
    _publish(connection, fresh, retired, valid_from, generation, now)
    _serve(connection, {document_id: version_id for document_id, (_, version_id) in serving.items()})
    for document_id in revived:
        _own_newest_bytes(connection, document_id)
    job_rows.end_published_items(connection, published)


def _publish(
    connection: Connection,
    fresh: Mapping[int, datetime | None],
    retired: Sequence[int],
    valid_from: datetime,
    generation: int,
    now: datetime,
) -> None:
    if fresh:
        ready = update(versions).where(versions.c.id == bindparam("id_"))
        connection.execute(
            ready.values(
                status="ready",
                valid_from=valid_from,
                valid_to=bindparam("until"),
                generation=generation,
                error=None,
                error_code=None,
                updated_at=now,
            ),
            [{"id_": version_id, "until": valid_to} for version_id, valid_to in fresh.items()],
        )
    for batch in batches(retired):
        connection.execute(update(versions).where(versions.c.id.in_(batch)).values(valid_to=valid_from))


def _serve(connection: Connection, version_of: Mapping[str, int]) -> None:
    if version_of:
        moved = update(documents).where(documents.c.id == bindparam("id_"))
        connection.execute(
            moved.values(serving_version_id=bindparam("version"), status="ready"),
            [{"id_": document_id, "version": version_id} for document_id, version_id in version_of.items()],
        )


def _in_order(connection: Connection, version_ids: Sequence[int]) -> list[RowMapping]:
    found: list[RowMapping] = []
    for batch in batches(version_ids):
        statement = select(versions, documents.c.serving_version_id).join(
            documents, documents.c.id == versions.c.document_id
        )
        found.extend(connection.execute(statement.where(versions.c.id.in_(batch))).mappings())
    return sorted(found, key=lambda row: (row["document_id"], row["number"]))


def _serving(connection: Connection, version_id: int | None) -> tuple[int, int] | None:
    if version_id is None:
        return None
    return connection.execute(select(versions.c.number).where(versions.c.id == version_id)).scalar_one(), version_id


def _set(connection: Connection, version_id: int, **values: Any) -> None:
    connection.execute(update(versions).where(versions.c.id == version_id).values(**values))


def _show(connection: Connection, document_ids: Iterable[str]) -> None:
    """A document is ready while a version serves; else it shows where its newest version is."""
    newest = select(versions.c.status).where(versions.c.id == documents.c.newest_version_id).scalar_subquery()
    status = case((documents.c.serving_version_id.is_not(None), "ready"), else_=newest)
    for batch in batches(document_ids):
        connection.execute(update(documents).where(documents.c.id.in_(batch)).values(status=status))


def _own_newest_bytes(connection: Connection, document_id: str) -> None:
    """Set which bytes make a later submission a duplicate of this document, unless another document owns them."""
    head = connection.execute(
        select(versions.c.sha256, versions.c.collection_id)
        .where(versions.c.document_id == document_id, versions.c.status.not_in(["failed", "deleted"]))
        .order_by(versions.c.number.desc())
        .limit(1)
    ).first()
    digest = head.sha256 if head else None
    if head is not None:
        other = select(documents.c.id).where(
            documents.c.collection_id == head.collection_id,
            documents.c.head_sha256 == digest,
            documents.c.id != document_id,
        )
        if connection.scalar(other) is not None:
            digest = None
    connection.execute(update(documents).where(documents.c.id == document_id).values(head_sha256=digest))


def _row(connection: Connection, version_id: int) -> RowMapping:
    row = connection.execute(select(versions).where(versions.c.id == version_id)).mappings().first()
    if row is None:
        raise NotFound(f"version {version_id} does not exist: its collection was deleted")
    return row


def _open_row(connection: Connection, version_id: int) -> RowMapping:
    row = _row(connection, version_id)
    if row["status"] in _ENDED:
        raise _ended(version_id, row)
    return row


def _ended(version_id: int, row: RowMapping) -> Cancelled:
    why = f" ({row['error']})" if row["error"] else ""
    return Cancelled(f"version {version_id} is {row['status']}{why}: stop working on it")


def _check_text(text: str, title: str, chunks: Sequence[Chunk]) -> None:
    check_json("title", title)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"text holds a lone surrogate at character {error.start}, which UTF-8 cannot: the loader must replace it"
        ) from error
    for expected, chunk in enumerate(chunks):
        if chunk.ordinal != expected:
            raise InvalidInput(f"chunks[{expected}] has ordinal {chunk.ordinal}: number chunks from 0 without gaps")
        if text[chunk.char_start : chunk.char_end] != chunk.text or not 0 <= chunk.char_start < chunk.char_end:
            raise InvalidInput(
                f"chunk {expected} is not the text at [{chunk.char_start}, {chunk.char_end}): "
                "offsets are code points of the document's text"
            )


def _chunk_row(version_id: int, chunk: Chunk) -> dict[str, Any]:
    return {
        "version_id": version_id,
        "ordinal": chunk.ordinal,
        "char_start": chunk.char_start,
        "char_end": chunk.char_end,
        "page": chunk.page,
        "tokens": chunk.tokens,
        "heading_path": list(chunk.heading_path),
        "text": chunk.text,
    }
