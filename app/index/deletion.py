"""Deleting: documents to tombstones, collections to nothing, and the count of what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, func, or_, select, update

from app.errors import InvalidInput, NotFound
from app.index import collections as collection_rows
from app.index import dialect, files, job_rows
from app.index.documents import batches, get_versions
from app.index.identifiers import DEFAULT_COLLECTION
from app.index.records import CollectionRecord, VersionRecord
from app.index.tables import (
    answer_documents,
    answers,
    chunks,
    collections,
    documents,
    job_items,
    jobs,
    metadata_entries,
    texts,
    versions,
)


def remove_document(connection: Connection, document_id: str, now: datetime) -> list[VersionRecord]:
    """See `Catalog.remove_document_rows`."""
    records = get_versions(connection, document_id)
    ids = select(versions.c.id).where(versions.c.document_id == document_id)
    for table in (chunks, texts, metadata_entries):
        connection.execute(delete(table).where(table.c.version_id.in_(ids)))
    connection.execute(
        update(versions)
        .where(versions.c.document_id == document_id, versions.c.status != "deleted")
        .values(
            status="deleted",
            sha256="",
            bytes=0,
            media_type=None,
            filename=None,
            title=None,
            source_url=None,
            metadata={},
            given={},
            pages=None,
            chars=0,
            chunks=0,
            error=None,
            error_code=None,
            updated_at=now,
        )
    )
    connection.execute(
        update(documents)
        .where(documents.c.id == document_id)
        .values(status="deleted", serving_version_id=None, head_sha256=None)
    )
    _remove_answers(connection, [document_id])
    _scrub_jobs(connection, document_id)
    dialect.note_deletion(connection)
    return records


def remove_collection(connection: Connection, name: str, now: datetime) -> CollectionRecord:
    """See `Catalog.delete_collection`."""
    if name == DEFAULT_COLLECTION:
        raise InvalidInput(f"collection {name!r} always exists and cannot be deleted: delete its documents instead")
    record = collection_rows.get(connection, name)
    document_ids = list(connection.scalars(select(documents.c.id).where(documents.c.collection_id == record.id)))
    _remove_answers(connection, document_ids)
    for batch in batches(document_ids):
        job_rows.end_items(connection, job_items.c.document_id.in_(batch), "cancelled")
        connection.execute(update(job_items).where(job_items.c.document_id.in_(batch)).values(error=None))
    reason = "the collection was deleted"
    of_collection = jobs.c.collection == name
    connection.execute(update(jobs).where(of_collection, jobs.c.error.is_not(None)).values(error=reason))
    connection.execute(
        update(jobs)
        .where(of_collection, jobs.c.status.not_in(job_rows.ENDED))
        .values(status="cancelled", error=reason, finished_at=now, lease_owner=None, lease_until=None)
    )
    ids = select(versions.c.id).where(versions.c.collection_id == record.id)
    for table in (chunks, texts, metadata_entries):
        connection.execute(delete(table).where(table.c.version_id.in_(ids)))
    connection.execute(delete(versions).where(versions.c.collection_id == record.id))
    connection.execute(delete(documents).where(documents.c.collection_id == record.id))
    connection.execute(delete(collections).where(collections.c.id == record.id))
    dialect.note_deletion(connection)
    return record


def residual(connection: Connection, document_id: str) -> dict[str, int]:
    """See `Catalog.residual_rows`."""
    if connection.scalar(select(documents.c.id).where(documents.c.id == document_id)) is None:
        raise NotFound(f"document {document_id[:200]!r} does not exist: see GET /v1/documents for ids")
    ids = select(versions.c.id).where(versions.c.document_id == document_id)
    described = or_(
        versions.c.sha256 != "",
        *(versions.c[name].is_not(None) for name in ("title", "filename", "source_url", "error")),
    )
    derived = (
        select(func.count()).select_from(texts).where(texts.c.version_id.in_(ids)),
        select(func.count()).select_from(metadata_entries).where(metadata_entries.c.version_id.in_(ids)),
        select(func.count()).select_from(versions).where(versions.c.document_id == document_id, described),
        select(func.count()).select_from(answer_documents).where(answer_documents.c.document_id == document_id),
        select(func.count())
        .select_from(job_items)
        .where(job_items.c.document_id == document_id, job_items.c.error.is_not(None)),
    )
    in_chunks = select(func.count()).select_from(chunks).where(chunks.c.version_id.in_(ids))
    return {
        "chunks": connection.execute(in_chunks).scalar_one(),
        "derived": sum(connection.execute(statement).scalar_one() for statement in derived),
    }


def release_blobs(connection: Connection, sha256s: Iterable[str], delete_blob: Callable[[str], None]) -> list[str]:
    """See `Catalog.release_blobs`."""
    released: list[str] = []
    for batch in batches({digest for digest in sha256s if digest}):
        used = set(connection.scalars(select(versions.c.sha256).where(versions.c.sha256.in_(batch)).distinct()))
        used |= files.blobs_in_use(connection, batch)
        for digest in sorted(set(batch) - used):
            delete_blob(digest)
            released.append(digest)
    return released


def _remove_answers(connection: Connection, document_ids: list[str]) -> None:
    """An answer quotes its documents, and feedback speaks of it: both go."""
    for batch in batches(document_ids):
        quoting = select(answer_documents.c.answer_id).where(answer_documents.c.document_id.in_(batch))
        connection.execute(delete(answers).where(answers.c.id.in_(quoting)))


def _scrub_jobs(connection: Connection, document_id: str) -> None:
    """End the document's open work; errors may name its file, so they go too."""
    item = job_items.c.document_id == document_id
    job_rows.end_items(connection, item, "cancelled")
    faulty = select(job_items.c.job_seq).where(item, job_items.c.error.is_not(None))
    connection.execute(
        update(jobs)
        .where(jobs.c.seq.in_(faulty), jobs.c.error.is_not(None))
        .values(error="removed together with a deleted document")
    )
    connection.execute(update(job_items).where(item).values(error=None))
