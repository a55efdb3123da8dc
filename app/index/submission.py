"""Submitting documents: what is new becomes versions and one job, what is known is a duplicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.index import collections as collection_rows
from app.index import job_rows
from app.index.documents import batches
from app.index.identifiers import check_document_id, check_sha256, new_id
from app.index.metadata_values import check_json, check_metadata, entries
from app.index.records import JobItem, JobRecord, NewDocument, SubmittedDocument
from app.index.tables import documents, metadata_entries, versions
from app.types import DocumentStatus


@dataclass(slots=True)
class _Version:
    """A version that exists (`id` known) or is about to (`id` None until inserted)."""

    document: _Document
    number: int
    status: DocumentStatus
    sha256: str
    title: str | None
    source_url: str | None
    metadata: Mapping[str, Any]
    id: int | None = None
    new: NewDocument | None = None


@dataclass(slots=True)
class _Document:
    id: str
    collection_id: int
    exists: bool
    deleted: bool
    serves: bool
    newest_number: int
    owns_bytes: str | None  # documents.head_sha256
    head: _Version | None = None  # newest version neither failed nor deleted
    touched: list[_Version] = field(default_factory=list)


def submit(
    connection: Connection,
    collection: str,
    submitted: Sequence[NewDocument],
    kind: str,
    payload: Mapping[str, Any],
    blob_exists: Callable[[str], bool] | None,
    now: datetime,
) -> tuple[JobRecord, list[SubmittedDocument]]:
    """See `Catalog.submit`."""
    if not submitted:
        raise InvalidInput("documents is empty: submit at least one document")
    collection_id = collection_rows.get(connection, collection).id
    new = [_checked(document) for document in submitted]
    by_id, by_bytes = _known(connection, collection_id, new)
    outcomes = [_place(document, collection_id, by_id, by_bytes) for document in new]
    created = [version for version, duplicate in outcomes if not duplicate]
    for version in created:
        if blob_exists is not None and not blob_exists(version.sha256):
            raise Unavailable(f"the uploaded bytes {version.sha256} were deleted meanwhile: upload them again")
    _store(connection, collection_id, created, now)
    results = [
        SubmittedDocument(version.document.id, version.number, _id(version), version.status, duplicate)
        for version, duplicate in outcomes
    ]
    job = job_rows.insert_job(
        connection,
        kind=kind,
        payload=payload,
        collection=collection,
        now=now,
        items=[
            JobItem(r.version_id, r.id, "ready" if r.duplicate else "queued", None, r.version, r.duplicate)
            for r in results
        ],
    )
    return job, results


def _checked(document: NewDocument) -> NewDocument:
    check_sha256(document.sha256)
    if document.document_id is not None:
        check_document_id(document.document_id)
    elif document.replace:
        raise InvalidInput("replace needs a document_id: name the document to replace")
    for name in ("title", "source_url", "filename", "media_type"):
        check_json(name, getattr(document, name))
    check_metadata(document.metadata)
    return document


def _known(
    connection: Connection, collection_id: int, new: Sequence[NewDocument]
) -> tuple[dict[str, _Document], dict[str, _Document]]:
    """Documents that the submission may touch: by id, and by the bytes that they own in this collection."""
    by_id: dict[str, _Document] = {}
    for batch in batches(new, 5_000):
        ids = [document.document_id for document in batch if document.document_id is not None]
        digests = [document.sha256 for document in batch]
        rows = connection.execute(
            select(documents).where(
                or_(
                    documents.c.id.in_(ids),
                    (documents.c.collection_id == collection_id) & documents.c.head_sha256.in_(digests),
                )
            )
        ).mappings()
        for row in rows:
            by_id[row["id"]] = _Document(
                id=row["id"],
                collection_id=row["collection_id"],
                exists=True,
                deleted=row["status"] == "deleted",
                serves=row["serving_version_id"] is not None,
                newest_number=0,
                owns_bytes=row["head_sha256"],
            )
    for some in batches(by_id):
        statement = select(versions).where(versions.c.document_id.in_(some)).order_by(versions.c.number)
        for row in connection.execute(statement).mappings():
            document = by_id[row["document_id"]]
            document.newest_number = row["number"]
            if row["status"] not in ("failed", "deleted"):
                document.head = _Version(
                    document=document,
                    number=row["number"],
                    status=row["status"],
                    sha256=row["sha256"],
                    title=row["title"],
                    source_url=row["source_url"],
                    metadata=row["metadata"],
                    id=row["id"],
                )
    own = [d for d in by_id.values() if d.collection_id == collection_id and d.owns_bytes is not None]
    return by_id, {str(document.owns_bytes): document for document in own}


def _place(
    new: NewDocument, collection_id: int, by_id: dict[str, _Document], by_bytes: dict[str, _Document]
) -> tuple[_Version, bool]:
    """The version that holds the bytes, and whether it did so before."""
    target = by_id.get(new.document_id) if new.document_id is not None else None
    if new.replace and (target is None or target.deleted):
        raise NotFound(f"document {new.document_id!r} does not exist: PUT replaces an existing one, POST makes one")
    if target is not None and not target.deleted:
        if target.collection_id != collection_id:
            raise Conflict(f"document {target.id!r} belongs to another collection: choose another id")
        if target.head is not None and _says_nothing_new(new, target.head):
            return target.head, True
    elif (owner := by_bytes.get(new.sha256)) is not None and owner.head is not None:
        return owner.head, True
    if target is None:
        target = _Document(new.document_id or new_id("doc"), collection_id, False, False, False, 0, None)
        by_id[target.id] = target
    return _add_version(target, new, collection_id, by_bytes), False


def _says_nothing_new(new: NewDocument, head: _Version) -> bool:
    """Same bytes; title, source and metadata left out or as stored (where a loader's metadata stands beside them)."""
    return (
        new.sha256 == head.sha256
        and new.title in (None, head.title)
        and new.source_url in (None, head.source_url)
        and all(name in head.metadata and head.metadata[name] == value for name, value in new.metadata.items())
    )


def _add_version(document: _Document, new: NewDocument, collection_id: int, by_bytes: dict[str, _Document]) -> _Version:
    document.newest_number += 1
    document.collection_id = collection_id
    document.deleted = False
    version = _Version(
        document, document.newest_number, "queued", new.sha256, new.title, new.source_url, dict(new.metadata), new=new
    )
    document.head = version
    document.touched.append(version)
    if document.owns_bytes is not None and by_bytes.get(document.owns_bytes) is document:
        del by_bytes[document.owns_bytes]
    document.owns_bytes = new.sha256 if by_bytes.setdefault(new.sha256, document) is document else None
    return version


def _store(connection: Connection, collection_id: int, created: Sequence[_Version], now: datetime) -> None:
    if not created:
        return
    touched = list({version.document.id: version.document for version in created}.values())
    # first let go of the old bytes, so that no order of the updates below can collide on the unique constraint
    existing = [{"id_": document.id} for document in touched if document.exists]
    if existing:
        connection.execute(
            update(documents).where(documents.c.id == bindparam("id_")).values(head_sha256=None), existing
        )
    fresh = [
        {"id": document.id, "collection_id": collection_id, "status": "queued", "created_at": now}
        for document in touched
        if not document.exists
    ]
    if fresh:
        connection.execute(insert(documents), fresh)
    ids = connection.scalars(
        insert(versions).returning(versions.c.id, sort_by_parameter_order=True),
        [_row(version, collection_id, now) for version in created],
    )
    for version, version_id in zip(created, ids, strict=True):
        version.id = version_id
    connection.execute(
        update(documents)
        .where(documents.c.id == bindparam("id_"))
        .values(
            collection_id=collection_id,
            newest_version_id=bindparam("newest"),
            head_sha256=bindparam("head"),
            status=bindparam("status_"),
        ),
        [
            {
                "id_": document.id,
                "newest": _id(document.touched[-1]),
                "head": document.owns_bytes,
                "status_": "ready" if document.serves else "queued",
            }
            for document in touched
        ],
    )
    rows = [row for version in created for row in entries(_id(version), collection_id, version.metadata)]
    if rows:
        connection.execute(insert(metadata_entries), rows)


def _row(version: _Version, collection_id: int, now: datetime) -> dict[str, Any]:
    new = version.new
    assert new is not None
    return {
        "document_id": version.document.id,
        "collection_id": collection_id,
        "number": version.number,
        "status": "queued",
        "sha256": new.sha256,
        "bytes": new.bytes,
        "media_type": new.media_type,
        "filename": new.filename,
        "title": new.title,
        "source_url": new.source_url,
        "metadata": dict(new.metadata),
        "given": {"title": new.title, "media_type": new.media_type, "metadata": dict(new.metadata)},
        "chars": 0,
        "chunks": 0,
        "created_at": now,
        "updated_at": now,
    }


def _id(version: _Version) -> int:
    assert version.id is not None
    return version.id
