"""The worker's steps on one version: queued → loading → chunking → embedding → indexing → ready, or failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import Connection, RowMapping, Table, bindparam, case, delete, insert, select, update

from app.errors import AttestError, Cancelled, InvalidInput, NotFound
from app.index import job_rows
from app.index.documents import batches
from app.index.metadata_values import check_json, entries, from_loader
from app.index.records import WorkItem
from app.index.tables import chunks as chunk_table
from app.index.tables import collections, documents, metadata_entries, texts, versions
from app.types import Chunk, DocumentStatus, LoadedDocument

_ENDED = ("ready", "failed", "deleted")
Refused = dict[int, AttestError]
"""Version id → why nothing was done for it: `Cancelled`, `NotFound` or `InvalidInput`."""
_STEPS = tuple(status for status in get_args(DocumentStatus) if status not in ("ready", "deleted"))


def work_item(connection: Connection, version_id: int) -> WorkItem:
    items, refused = work_items(connection, [version_id])
    if version_id in refused:
        raise refused[version_id]
    return items[0]


def work_items(connection: Connection, version_ids: Sequence[int]) -> tuple[list[WorkItem], Refused]:
    """What to do for each version, in the order given; those failed, deleted or gone are refused."""
    names = {row.id: row.name for row in connection.execute(select(collections.c.id, collections.c.name))}
    rows, refused = _rows(connection, version_ids, ended=("failed", "deleted"))
    return [_work_item(row, names[row["collection_id"]]) for row in rows], refused


def _work_item(row: RowMapping, collection: str) -> WorkItem:
    given = row["given"]
    return WorkItem(
        version_id=row["id"],
        document_id=row["document_id"],
        version=row["number"],
        collection_id=row["collection_id"],
        collection=collection,
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
    serving = versions.alias()
    statement = (
        select(versions.c.status, versions.c.error, versions.c.number, serving.c.number.label("serving"))
        .join(documents, documents.c.id == versions.c.document_id)
        .outerjoin(serving, serving.c.id == documents.c.serving_version_id)
    )
    row = connection.execute(statement.where(versions.c.id == version_id)).first()
    if row is None:
        return "its collection was deleted"
    if row.status == "deleted":
        return "the document was deleted"
    if row.status == "failed":
        return f"it failed: {row.error}"
    return f"version {row.serving} serves already" if row.serving is not None and row.serving > row.number else None


def set_status(
    connection: Connection,
    version_id: int,
    status: DocumentStatus,
    error: str | None,
    error_code: str | None,
    now: datetime,
) -> None:
    if status == "failed":
        fail(connection, [version_id], error or "unknown error", error_code, now)
        return
    refused = set_statuses(connection, [version_id], status, now)
    if refused:
        raise refused[version_id]


def set_statuses(connection: Connection, version_ids: Sequence[int], status: DocumentStatus, now: datetime) -> Refused:
    """Moves the versions to a step of the work; those ended or gone meanwhile are refused, the others moved."""
    if status not in _STEPS or status == "failed":
        raise InvalidInput(f"status {status!r} cannot be set here: use one of {', '.join(_STEPS)}")
    rows, refused = _rows(connection, version_ids)
    for batch in batches(row["id"] for row in rows):
        connection.execute(
            update(versions)
            .where(versions.c.id.in_(batch))
            .values(status=status, error=None, error_code=None, updated_at=now)
        )
    _show(connection, [row["document_id"] for row in rows])
    return refused


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


@dataclass(frozen=True, slots=True)
class TextToStore:
    """A version's text with what was made of it."""

    version_id: int
    loaded: LoadedDocument
    title: str
    chunks: Sequence[Chunk]


def store_text(connection: Connection, given: TextToStore, now: datetime) -> None:
    refused = store_texts(connection, [given], now)
    if refused:
        raise refused[given.version_id]


def store_texts(connection: Connection, given: Sequence[TextToStore], now: datetime) -> Refused:
    """Texts, chunks and metadata of many versions, instead of what each had; a refused one keeps what it had.

    A few statements for all: one by one, their parsing takes longer than their work.
    """
    rows, refused = _rows(connection, [each.version_id for each in given])
    row_of = {row["id"]: row for row in rows}
    taken: list[tuple[TextToStore, dict[str, Any], list[dict[str, Any]]]] = []
    for each in given:
        if each.version_id not in row_of:
            continue
        row = row_of[each.version_id]
        try:
            _check_text(each.loaded.text, each.title, each.chunks)
            metadata = from_loader(each.loaded.metadata) | row["given"]["metadata"]
            taken.append((each, metadata, list(entries(each.version_id, row["collection_id"], metadata))))
        except InvalidInput as error:
            refused[each.version_id] = error
    for batch in batches(each.version_id for each, _, _ in taken):
        for table in (chunk_table, texts, metadata_entries):
            connection.execute(delete(table).where(table.c.version_id.in_(batch)))
    _insert(connection, texts, [_text_row(each) for each, _, _ in taken])
    _insert(
        connection, chunk_table, [_chunk_row(each.version_id, chunk) for each, _, _ in taken for chunk in each.chunks]
    )
    _insert(connection, metadata_entries, [row for _, _, rows in taken for row in rows])
    if taken:
        stored = update(versions).where(versions.c.id == bindparam("id_"))
        connection.execute(
            stored.values(
                status="embedding",
                media_type=bindparam("media_type_"),
                title=bindparam("title_"),
                metadata=bindparam("metadata_"),
                pages=bindparam("pages_"),
                chars=bindparam("chars_"),
                chunks=bindparam("chunks_"),
                error=None,
                error_code=None,
                updated_at=now,
            ),
            [
                {
                    "id_": each.version_id,
                    "media_type_": each.loaded.media_type,
                    "title_": each.title,
                    "metadata_": metadata,
                    "pages_": len(each.loaded.pages) or None,
                    "chars_": len(each.loaded.text),
                    "chunks_": len(each.chunks),
                }
                for each, metadata, _ in taken
            ],
        )
    _show(connection, [row_of[each.version_id]["document_id"] for each, _, _ in taken])
    return refused


def _text_row(given: TextToStore) -> dict[str, Any]:
    pages = [[span.number, span.char_start, span.char_end] for span in given.loaded.pages]
    return {"version_id": given.version_id, "pages": pages, "text": given.loaded.text}


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


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


def _rows(
    connection: Connection, version_ids: Sequence[int], ended: Sequence[str] = _ENDED
) -> tuple[list[RowMapping], Refused]:
    """The versions' rows in the order given; those gone or with a status in `ended` are refused."""
    found: dict[int, RowMapping] = {}
    for batch in batches(version_ids):
        rows = connection.execute(select(versions).where(versions.c.id.in_(batch))).mappings()
        found.update((row["id"], row) for row in rows)
    refused: Refused = {}
    for version_id in version_ids:
        row = found.get(version_id)
        if row is None:
            refused[version_id] = NotFound(f"version {version_id} does not exist: its collection was deleted")
        elif row["status"] in ended:
            refused[version_id] = _ended(version_id, row)
    return [found[version_id] for version_id in version_ids if version_id not in refused], refused


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
