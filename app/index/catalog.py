"""`Catalog`, the façade over the SQLite catalog: each method is one transaction, on disk when it returns.

Safe to use from many threads and processes at once. The work itself is done by functions over a connection, in
`collections`, `submission`, `documents`, `steps`, `deletion`, `filters` and `answers`; jobs are in `jobs`.
"""

# over 400 lines: one class for all callers, two lines a method; splitting it would scatter the list of what there is

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine

from app.index import (
    answers,
    collections,
    deletion,
    dialect,
    documents,
    field_statistics,
    files,
    filters,
    schema,
    steps,
    submission,
)
from app.index.records import (
    CollectionRecord,
    DocumentRecord,
    FeedbackRecord,
    FileRecord,
    JobRecord,
    NewDocument,
    SubmittedDocument,
    VersionRecord,
    WorkItem,
)
from app.types import Chunk, DocumentStatus, LoadedDocument, PageSpan, StoredChunk

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Catalog:
    """Collections, documents, versions, chunks, answers and feedback."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self.engine = engine
        self.clock = clock
        self._write_lock = dialect.WriteLock()

    @classmethod
    def open(cls, url: str, clock: Clock = utc_now) -> Catalog:
        """The catalog at `url` ("sqlite:////…/attest.db"), created or migrated, with the collection "default" in it.

        Raises:
            InvalidInput: `url` is not a SQLite file.
            Unavailable: the file cannot be opened, or a newer Attest wrote it.
        """
        engine = dialect.open_engine(url)
        catalog = cls(engine, clock)
        try:
            with catalog.writing() as connection:
                schema.migrate(connection)
                collections.ensure_default(connection, clock())
        except BaseException:
            engine.dispose()
            raise
        return catalog

    def close(self) -> None:
        """Close every connection. The catalog must not be used afterwards."""
        self.engine.dispose()

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state and blocks nobody."""
        return dialect.reading(self.engine)

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that holds the write lock; on disk when it has ended. Do not nest: the inner one would wait."""
        return dialect.writing(self.engine, self._write_lock)

    def checkpoint(self) -> bool:
        """Empty the write-ahead log into the database. False when a reader kept it from being emptied: try later."""
        return dialect.checkpoint(self.engine)

    def scrub_due(self) -> bool:
        """Whether something was deleted since the last `scrub`."""
        return dialect.scrub_due(self.engine)

    def scrub(self) -> bool:
        """Rewrite the database file so that no byte of deleted rows is left in it; False when a reader was in the way.

        For idle moments after deletions: it takes time and disk space in proportion to the whole file.
        """
        return dialect.scrub(self.engine, self._write_lock)

    # --- collections -------------------------------------------------------------------------------------------------

    def create_collection(
        self, name: str, description: str = "", settings: Mapping[str, Any] | None = None
    ) -> CollectionRecord:
        """The new collection. Raises InvalidInput for a bad name, Conflict where the name is taken."""
        with self.writing() as connection:
            return collections.create(connection, name, description, settings or {}, self.clock())

    def get_collection(self, name: str) -> CollectionRecord:
        """Raises NotFound."""
        with self.reading() as connection:
            return collections.get(connection, name)

    def list_collections(self) -> list[CollectionRecord]:
        """All collections by name."""
        with self.reading() as connection:
            return collections.list_all(connection)

    def delete_collection(self, name: str) -> CollectionRecord:
        """Remove the collection with all its rows and saved answers, cancel its jobs; returns what it was.

        The index directory and the blobs are the caller's to remove (`collection_blobs` before, `release_blobs` after).

        Raises:
            InvalidInput: `name` is "default".
            NotFound: there is no such collection.
        """
        with self.writing() as connection:
            record = deletion.remove_collection(connection, name, self.clock())
        self.checkpoint()
        return record

    def update_collection(self, name: str, settings: Mapping[str, Any]) -> CollectionRecord:
        """Writes these settings over the collection's; others stay. Raises NotFound, InvalidInput."""
        with self.writing() as connection:
            return collections.update_settings(connection, name, settings)

    def collection_counts(self, name: str) -> dict[str, Any]:
        """`{documents, chunks, bytes, chars, by_status}`: sizes of what serves, documents that are not deleted."""
        with self.reading() as connection:
            return collections.counts(connection, name)

    def metadata_fields(self, name: str) -> list[field_statistics.FieldStatistics]:
        """The metadata fields of the collection's serving documents with types, values and ranges; bounded."""
        with self.reading() as connection:
            return field_statistics.metadata_fields(connection, name)

    def collection_blobs(self, name: str) -> list[str]:
        """sha256 of every blob that the collection's versions refer to."""
        with self.reading() as connection:
            return collections.blobs(connection, name)

    # --- documents ---------------------------------------------------------------------------------------------------

    def submit(
        self,
        collection: str,
        documents: Sequence[NewDocument],
        kind: str = "ingest",
        *,
        payload: Mapping[str, Any] | None = None,
        blob_exists: Callable[[str], bool] | None = None,
    ) -> tuple[JobRecord, list[SubmittedDocument]]:
        """The queued job and what became of each document, in the order given; all of it or nothing.

        Bytes that a document of the collection already holds are a duplicate: nothing is stored, and where every
        document is one the job has already succeeded. A known `document_id` gets a new version, unless bytes, title,
        source_url and metadata say nothing new; it gets it even where another document holds the same bytes, since
        an update must not be lost. `blob_exists` is asked under the write lock, so that a concurrent deletion cannot
        take the bytes away in between.

        Raises:
            NotFound: no such collection; `replace` and no such document.
            Conflict: the id belongs to a document of another collection.
            InvalidInput: a bad id, digest or metadata value; no documents.
            Unavailable: `blob_exists` said no: upload the bytes again.
        """
        with self.writing() as connection:
            return submission.submit(
                connection, collection, documents, kind, dict(payload or {}), blob_exists, self.clock()
            )

    def get_document(self, document_id: str, version: int | None = None) -> DocumentRecord:
        """The document through its serving (else newest) version, or through `version`. Raises NotFound.

        A deleted document is a record with status "deleted" and nothing of its content.
        """
        with self.reading() as connection:
            return documents.get(connection, document_id, version)

    def list_documents(
        self,
        collection: str | None = None,
        status: DocumentStatus | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[DocumentRecord], str | None]:
        """A page of documents, newest first, and the cursor of the next page; deleted ones only where asked for."""
        with self.reading() as connection:
            return documents.list_page(connection, collection, status, cursor, limit)

    def get_versions(self, document_id: str) -> list[VersionRecord]:
        """All versions, newest first. Raises NotFound."""
        with self.reading() as connection:
            return documents.get_versions(connection, document_id)

    def get_version_records(self, version_ids: Iterable[int]) -> dict[int, VersionRecord]:
        """The versions that exist among `version_ids`."""
        with self.reading() as connection:
            return documents.get_version_records(connection, version_ids)

    def version_ids(self, collection_id: int, statuses: Iterable[DocumentStatus]) -> list[int]:
        """Ids of the collection's versions in one of `statuses`, ascending; "ready" includes the retired."""
        with self.reading() as connection:
            return documents.version_ids(connection, collection_id, statuses)

    def serving_versions(self, collection_id: int) -> list[int]:
        """Ids of the versions that serve now, ascending."""
        with self.reading() as connection:
            return documents.serving_versions(connection, collection_id)

    def get_text(self, document_id: str, version: int | None = None) -> str:
        """The extracted text. Raises NotFound, also while there is none yet and after deletion."""
        with self.reading() as connection:
            return documents.get_text(connection, document_id, version)

    def get_texts(self, version_ids: Sequence[int]) -> dict[int, str]:
        """Extracted text by version id; versions without text are left out."""
        with self.reading() as connection:
            return documents.get_texts(connection, version_ids)

    def get_pages(self, version_id: int) -> list[PageSpan]:
        """Page spans of the version's text; empty for formats without pages."""
        with self.reading() as connection:
            return documents.get_pages(connection, version_id)

    def get_document_chunks(self, document_id: str, version: int | None = None) -> list[StoredChunk]:
        """The version's chunks by ordinal. Raises NotFound; empty before chunking."""
        with self.reading() as connection:
            return documents.get_document_chunks(connection, document_id, version)

    def get_chunks(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], StoredChunk]:
        """Chunks by (version_id, ordinal); keys without a row (deleted meanwhile) are left out."""
        with self.reading() as connection:
            return documents.get_chunks(connection, keys)

    def embedding_texts(self, version_ids: Sequence[int]) -> dict[tuple[int, int], str]:
        """What the embedder and BM25 see of every chunk of the versions, by (version_id, ordinal)."""
        with self.reading() as connection:
            return documents.embedding_texts(connection, version_ids)

    def matching_versions(self, collection: str, filters_: Mapping[str, Any]) -> set[int]:
        """Ids of the collection's versions, retired ones included, that pass `filters_` (see `filters`).

        Raises InvalidInput for an unknown operator or a bad operand, NotFound for an unknown collection.
        """
        condition = filters.parse(filters_)
        with self.reading() as connection:
            return filters.matching_versions(connection, collections.get(connection, collection).id, condition)

    # --- the worker's steps ------------------------------------------------------------------------------------------

    def work_item(self, version_id: int) -> WorkItem:
        """Raises NotFound when its collection is gone, Cancelled when it was deleted or cancelled."""
        with self.reading() as connection:
            return steps.work_item(connection, version_id)

    def why_unwanted(self, version_id: int) -> str | None:
        """Why this version must not be published (deleted, failed or cancelled, superseded); None when it is wanted."""
        with self.reading() as connection:
            return steps.why_unwanted(connection, version_id)

    def is_wanted(self, version_id: int) -> bool:
        """Whether the version is still to be published; ask under the collection's writer lock."""
        return self.why_unwanted(version_id) is None

    def set_version_status(
        self, version_id: int, status: DocumentStatus, error: str | None = None, error_code: str | None = None
    ) -> None:
        """Record where the version is. "failed" is final; failing an ended or missing version changes nothing.

        Raises:
            Cancelled: the version was deleted, or its job cancelled: stop working on it.
            NotFound: its collection is gone.
            InvalidInput: "ready" and "deleted" have methods of their own.
        """
        with self.writing() as connection:
            steps.set_status(connection, version_id, status, error, error_code, self.clock())

    def store_text(self, version_id: int, loaded: LoadedDocument, title: str, chunks: Sequence[Chunk]) -> None:
        """Store text and chunks in place of what the version had; its status becomes "embedding".

        The loader's metadata is kept under the caller's, which wins key by key.

        Raises:
            InvalidInput: a chunk's text is not the document's at its offsets, or text that UTF-8 cannot hold.
            Cancelled, NotFound: as `set_version_status`.
        """
        with self.writing() as connection:
            steps.store_text(connection, steps.TextToStore(version_id, loaded, title, chunks), self.clock())

    def replaced_by(self, version_ids: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """For each version, the serving versions of its document that publishing it retires."""
        with self.reading() as connection:
            return steps.replaced_by(connection, version_ids)

    def finish_publication(
        self, collection_id: int, version_ids: Sequence[int], valid_from: datetime, generation: int
    ) -> None:
        """Make the published versions serve, retire those they replace, end their job items. Repeating is harmless.

        Versions deleted meanwhile stay deleted.
        """
        with self.writing() as connection:
            steps.finish_publication(connection, collection_id, version_ids, valid_from, generation, self.clock())

    # --- deletion ----------------------------------------------------------------------------------------------------

    def remove_document_rows(self, document_id: str) -> list[VersionRecord]:
        """The document's versions as they were; its text, chunks, metadata and the answers that quote it are gone.

        A tombstone (ids and numbers) stays. Repeating it is harmless. Blobs: `release_blobs` with the records' sha256.
        Raises NotFound.
        """
        with self.writing() as connection:
            records = deletion.remove_document(connection, document_id, self.clock())
        self.checkpoint()
        return records

    def residual_rows(self, document_id: str) -> dict[str, int]:
        """`{chunks, derived}`, counted now: chunk rows, and every other row that still holds words of the document."""
        with self.reading() as connection:
            return deletion.residual(connection, document_id)

    def deleted_versions(self, collection_id: int) -> list[int]:
        """Ids of the tombstones, ascending: what an index must not hold any more."""
        with self.reading() as connection:
            return documents.version_ids(connection, collection_id, ["deleted"])

    def release_blobs(self, sha256s: Iterable[str], delete: Callable[[str], None]) -> list[str]:
        """Those of `sha256s` that no version refers to, after `delete` was called with each, under the write lock."""
        with self.writing() as connection:
            return deletion.release_blobs(connection, sha256s, delete)

    # --- answers and feedback ----------------------------------------------------------------------------------------

    def save_answer(self, answer_id: str, question: str, body: Mapping[str, Any]) -> bool:
        """Keep an answer. False, and nothing kept, when a document that it quotes has been deleted meanwhile."""
        with self.writing() as connection:
            return answers.save(connection, answer_id, question, body, self.clock())

    def get_answer(self, answer_id: str) -> dict[str, Any]:
        """The body as it was saved. Raises NotFound."""
        with self.reading() as connection:
            return answers.get(connection, answer_id)

    # --- files that belong to no collection ---------------------------------------------------------------------------

    def add_file(self, record: FileRecord, blob_exists: Callable[[str], bool]) -> None:
        """Keeps the file and, until `delete_file`, its blob. Raises Unavailable when the bytes are gone already."""
        with self.writing() as connection:
            files.add(connection, record, blob_exists)

    def get_file(self, file_id: str, owner: str | None = None) -> FileRecord:
        """The file; with `owner`, only one of theirs. Raises NotFound."""
        with self.reading() as connection:
            return files.get(connection, file_id, owner)

    def list_files(
        self,
        owner: str | None = None,
        *,
        after: str | None = None,
        limit: int = 100,
        newest_first: bool = True,
        purpose: str | None = None,
    ) -> list[FileRecord]:
        """Files in the order in which they came, past the file `after`. Raises NotFound when `after` is gone."""
        with self.reading() as connection:
            return files.list_after(connection, owner, after, limit, newest_first, purpose)

    def delete_file(self, file_id: str) -> None:
        """Forgets the file; its blob is `release_blobs`' to remove. Documents made of it stay. Raises NotFound."""
        with self.writing() as connection:
            files.remove(connection, file_id)

    def document_with_bytes(self, collection: str, sha256: str) -> str | None:
        """The id of the collection's document that has these bytes, if there is one."""
        with self.reading() as connection:
            return files.document_with_bytes(connection, collections.get(connection, collection).id, sha256)

    def delete_answer(self, answer_id: str) -> None:
        """Removes the saved answer with its feedback. Raises NotFound."""
        with self.writing() as connection:
            answers.remove(connection, answer_id)

    def add_feedback(self, answer_id: str, rating: int, chunk_id: str | None = None, comment: str | None = None) -> int:
        """The feedback's id. Raises InvalidInput unless rating is -1 or 1, NotFound without such an answer."""
        with self.writing() as connection:
            return answers.add_feedback(connection, answer_id, rating, chunk_id, comment, self.clock())

    def list_feedback(
        self, answer_id: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FeedbackRecord], str | None]:
        """A page of feedback, oldest first, and the cursor of the next page."""
        with self.reading() as connection:
            return answers.list_feedback(connection, answer_id, cursor, limit)
