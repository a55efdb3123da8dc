"""The catalog's tables (SQLAlchemy Core). Portable SQL only: what differs between databases lives in `dialect.py`.

A change here needs a revision in `migrations/versions/`; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes, also on databases that keep no zone; a naive value is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value!r} has no zone; pass datetime.now(UTC) or value.replace(tzinfo=UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)  # type: ignore[no-any-return]


collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,  # an id names a directory of the index: never reused
)

# `head_sha256`: bytes of the newest version that has neither failed nor been deleted; unique in the collection, which
# is what makes two concurrent submissions of the same bytes one document. NULL when there is no such version, or when
# an explicit update gave this document the bytes of another.
documents = Table(
    "documents",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(128), nullable=False, unique=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("newest_version_id", Integer),
    Column("serving_version_id", Integer),
    Column("head_sha256", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("collection_id", "head_sha256"),
    Index(None, "collection_id", "seq"),
    Index(None, "collection_id", "status", "seq"),
    Index(None, "status", "seq"),
    sqlite_autoincrement=True,
)

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("document_id", ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("media_type", Text),
    Column("filename", Text),
    Column("title", Text),
    Column("source_url", Text),
    Column("metadata", JSON, nullable=False),
    Column("given", JSON, nullable=False),  # title, media_type, metadata as the caller gave them, before the loader's
    Column("pages", Integer),
    Column("chars", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("error", Text),
    Column("error_code", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("valid_from", UtcDateTime),
    Column("valid_to", UtcDateTime),
    Column("generation", Integer),
    UniqueConstraint("document_id", "number"),
    Index(None, "collection_id", "status"),
    Index(None, "sha256"),
    sqlite_autoincrement=True,  # version ids stand in the index's files: never reused
)

# Uploaded, but not (yet) a document of any collection; `owner` is the short hash of the key that uploaded it.
files = Table(
    "files",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("bytes", Integer, nullable=False),
    Column("filename", Text, nullable=False),
    Column("media_type", Text),
    Column("purpose", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

texts = Table(
    "texts",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("pages", JSON, nullable=False),  # [[number, char_start, char_end], …]
    Column("text", Text, nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("char_start", Integer, nullable=False),
    Column("char_end", Integer, nullable=False),
    Column("page", Integer),
    Column("tokens", Integer, nullable=False),
    Column("heading_path", JSON, nullable=False),
    Column("text", Text, nullable=False),
)

metadata_entries = Table(
    "metadata_entries",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("field", String(128), primary_key=True),
    Column("position", Integer, primary_key=True),  # of a list's element; 0 for a single value
    Column("collection_id", Integer, nullable=False),
    Column("value_text", Text),
    Column("value_num", Float),
    Column("value_bool", Boolean),
    Index("ix_metadata_entries_text", "collection_id", "field", "value_text", "version_id"),
    Index("ix_metadata_entries_num", "collection_id", "field", "value_num", "version_id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    Column("collection", String(64)),
    Column("status", String(16), nullable=False),
    Column("stage", String(64)),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("unit", String(32), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fruitless", Integer, nullable=False),  # claims since the last finished item: what `max_attempts` limits
    Column("max_attempts", Integer, nullable=False),
    Column("error", Text),
    Column("payload", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("run_after", UtcDateTime, nullable=False),
    Column("lease_owner", String(128)),
    Column("lease_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Index(None, "status", "run_after"),
    sqlite_autoincrement=True,
)

job_items = Table(
    "job_items",
    metadata,
    Column("job_seq", ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("version_id", Integer, nullable=False, index=True),
    Column("document_id", String(128), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("duplicate", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("crashes", Integer, nullable=False),  # workers that died while they had this version in hand
    Column("error", Text),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("question", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

# every document whose words an answer's body holds, so that deleting the document can take the answer along
answer_documents = Table(
    "answer_documents",
    metadata,
    Column("answer_id", ForeignKey("answers.id", ondelete="CASCADE"), primary_key=True),
    Column("document_id", String(128), primary_key=True, index=True),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("answer_id", ForeignKey("answers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("rating", Integer, nullable=False),
    Column("chunk_id", String(64)),
    Column("comment", Text),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# an evaluation has the id of the job that runs it: what state it is in stands there, and only there
evaluations = Table(
    "evaluations",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("golden", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("report", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# what one setting made of one question: numbers and document ids, never words of a document
evaluation_scores = Table(
    "evaluation_scores",
    metadata,
    Column("evaluation_seq", ForeignKey("evaluations.seq", ondelete="CASCADE"), primary_key=True),
    Column("question", Integer, primary_key=True),
    Column("setting", Integer, primary_key=True),
    Column("observed", JSON, nullable=False),
)


def _promotions(name: str) -> Table:
    """Versions for a collection that its feedback taught, of which one serves; see `app.index.promotions`."""
    return Table(
        name,
        metadata,
        Column("seq", Integer, primary_key=True),
        Column("id", String(64), nullable=False, unique=True),
        Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
        Column("job_id", String(64), nullable=False),
        Column("number", Integer, nullable=False),
        Column("status", String(16), nullable=False),  # active, superseded, rolled_back or rejected
        Column("reason", Text, nullable=False),
        Column("figures", JSON, nullable=False),
        Column("base", String(64)),  # the one that served before it; NULL: the shipped one
        Column("created_at", UtcDateTime, nullable=False),
        Column("promoted_at", UtcDateTime),
        UniqueConstraint("collection_id", "number"),
        Index(None, "collection_id", "status"),
        sqlite_autoincrement=True,
    )


rerankers = _promotions("rerankers")  # the model lies in `models/rerankers/<id>/`
calibrations = _promotions("calibrations")  # the correction stands in `figures`

# routes that were declared through the API; those of the settings are not kept here
routes = Table(
    "routes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("body", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
