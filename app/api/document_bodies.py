"""Wire models of documents, their versions and their chunks."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.api.wire import Utc, WireResponse, json_ready
from app.index.records import DocumentRecord, VersionRecord
from app.types import DocumentStatus, JobStatus, StoredChunk


class SubmittedJobBody(WireResponse):
    id: str
    status: JobStatus


class SubmittedDocumentBody(WireResponse):
    id: str | None = Field(description="null when the document was refused and named no id of its own")
    version: int
    status: DocumentStatus
    duplicate: bool
    error: str | None = None


class SubmittedBody(WireResponse):
    job: SubmittedJobBody
    documents: list[SubmittedDocumentBody] = Field(description="one for each document given, in the order given")


class DocumentBody(WireResponse):
    id: str
    collection: str
    title: str
    version: int
    status: DocumentStatus
    media_type: str
    bytes: int
    pages: int | None
    chars: int
    chunks: int
    sha256: str
    metadata: dict[str, Any]
    source_url: str | None
    filename: str | None
    created_at: Utc
    updated_at: Utc
    error: str | None
    error_code: str | None

    @classmethod
    def of(cls, record: DocumentRecord) -> DocumentBody:
        plain = {name: getattr(record, name) for name in cls.model_fields if name != "metadata"}
        return cls(**plain, metadata=json_ready(record.metadata))


class DocumentListBody(WireResponse):
    data: list[DocumentBody]
    next_cursor: str | None


class VersionBody(WireResponse):
    version: int
    status: DocumentStatus
    sha256: str
    chunks: int
    created_at: Utc
    valid_from: Utc | None
    valid_to: Utc | None
    error: str | None
    error_code: str | None

    @classmethod
    def of(cls, record: VersionRecord) -> VersionBody:
        return cls(**{name: getattr(record, name) for name in cls.model_fields})


class VersionListBody(WireResponse):
    data: list[VersionBody]


class ChunkBody(WireResponse):
    chunk_id: str
    ordinal: int
    text: str
    char_start: int
    char_end: int
    page: int | None
    heading_path: list[str]
    tokens: int

    @classmethod
    def of(cls, chunk: StoredChunk) -> ChunkBody:
        plain = {name: getattr(chunk, name) for name in cls.model_fields if name != "heading_path"}
        return cls(**plain, heading_path=list(chunk.heading_path))


class ChunkListBody(WireResponse):
    data: list[ChunkBody]
    next_cursor: str | None


class DeletedBody(WireResponse):
    id: str
    deleted: bool
    residual: dict[str, int] = Field(examples=[{"vectors": 0, "postings": 0, "chunks": 0, "derived": 0}])
