"""Frozen rows that the catalog returns. Every time is an aware UTC datetime; ids are as the HTTP contract has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from app.types import DocumentStatus, JobStatus, Metadata

ItemStatus = Literal["queued", "ready", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """`id` names the collection's index directory and is never given out twice; `name` is what callers use."""

    id: int
    name: str
    description: str
    settings: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A document seen through one version: the one that serves, or the newest while none serves.

    `status` is "ready" as long as a version serves; `error` is the newest version's, so a failed update shows here
    while the old version still answers. A deleted document keeps its id and numbers only.
    """

    id: str
    collection: str
    title: str
    version: int
    version_id: int
    status: DocumentStatus
    media_type: str
    bytes: int
    pages: int | None
    chars: int
    chunks: int
    sha256: str
    metadata: Metadata
    source_url: str | None
    created_at: datetime
    updated_at: datetime
    error: str | None
    error_code: str | None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One version of a document. It serves searches dated in `[valid_from, valid_to)`; None until published."""

    id: int
    document_id: str
    version: int
    status: DocumentStatus
    sha256: str
    created_at: datetime
    valid_from: datetime | None
    valid_to: datetime | None
    error: str | None
    error_code: str | None = None
    chunks: int = 0
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A unit of background work. `done` of `total` counts `unit`; `attempts` counts claims, killed workers' too."""

    id: str
    kind: str
    status: JobStatus
    stage: str | None
    done: int
    total: int
    unit: str
    attempts: int
    error: str | None
    document_ids: tuple[str, ...]
    payload: Mapping[str, Any]
    result: Mapping[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    collection: str | None = None
    run_after: datetime | None = None
    worker_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobItem:
    """One document version of an ingest job; "queued" until it ended. A duplicate is "ready" from the start."""

    version_id: int
    document_id: str
    status: ItemStatus
    error: str | None
    version: int = 0
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class FileRecord:
    """An uploaded file that stands on its own; `owner` is the short hash of the key that uploaded it."""

    id: str
    sha256: str
    bytes: int
    filename: str
    media_type: str | None
    purpose: str
    owner: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What a caller submits: bytes already in the blob store under `sha256`, and what is said about them.

    `document_id` is the caller's own id (a new version where it exists); `replace` is PUT: the id must exist.
    """

    sha256: str
    bytes: int
    media_type: str | None
    filename: str | None
    title: str | None
    source_url: str | None
    metadata: Metadata = field(default_factory=dict)
    document_id: str | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class SubmittedDocument:
    """What became of one submitted document, in the order given. A duplicate names the document that has the bytes."""

    id: str
    version: int
    version_id: int
    status: DocumentStatus
    duplicate: bool


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Everything the worker needs to load one version."""

    version_id: int
    document_id: str
    version: int
    collection_id: int
    collection: str
    sha256: str
    media_type: str | None
    filename: str | None
    title: str | None
    source_url: str | None
    metadata: Metadata
    status: DocumentStatus = "queued"
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    id: int
    answer_id: str
    rating: int
    chunk_id: str | None
    comment: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    id: str
    started_at: datetime
    seen_at: datetime
