"""load → chunk → embed → publish: all documents of one job, readable on one screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePath

from app.errors import AttestError, Cancelled, IntegrityError, InvalidInput, MissingPackage, NotFound
from app.index import steps
from app.index.catalog import Catalog
from app.index.generations import IndexStore, PreparedVersion
from app.index.jobs import JobQueue
from app.index.publishing import publish
from app.index.records import JobRecord, WorkItem
from app.protocols import Encoder
from app.telemetry import get_logger
from app.types import Chunk, DocumentStatus, LoadedDocument
from ingestion.embedding import embed_by_length

Load = Callable[[WorkItem], LoadedDocument]
Split = Callable[[LoadedDocument, str], Sequence[Chunk]]
"""(document, title) → chunks."""
Check = Callable[[], None]
"""Called at every boundary; raises when the worker must let go of the job (lease lost, cancelled, stopping)."""

PERMANENT = (InvalidInput, MissingPackage, IntegrityError, NotFound)
"""What trying again would not change: the document fails with the message."""
WINDOW_DOCUMENTS = 64
WINDOW_BYTES = 4 * 2**20
"""Small documents are read in windows of at most this, so that the catalog commits once a window."""
LARGE_CHARS = 200_000
"""Text past which chunking takes long enough to be shown as a status of its own."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    """A document that was loaded and chunked."""

    item: WorkItem
    loaded: LoadedDocument
    title: str
    chunks: Sequence[Chunk]

    @property
    def texts(self) -> list[str]:
        """What the embedder and BM25 see, by ordinal."""
        return [chunk.embedding_text(self.title) for chunk in self.chunks]


class IngestionPipeline:
    """Takes an ingest job's pending documents to `ready` or, each on its own, to `failed` with its reason.

    Documents are gathered until they have `batch_chunks` chunks, embedded together (sorted by length, in slices of
    `batch_chunks`, so that a huge document reaches a boundary between slices) and published in one generation.
    Running a job again is safe: what is published stays so, what was in the middle is redone from its blob.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        jobs: JobQueue,
        index: IndexStore,
        encoder: Encoder,
        load: Load,
        split: Split,
        batch_chunks: int,
    ) -> None:
        self.catalog = catalog
        self.jobs = jobs
        self.index = index
        self.encoder = encoder
        self.load = load
        self.split = split
        self.batch_chunks = batch_chunks

    def run(self, job: JobRecord, check: Check) -> None:
        """Returns once every document of the job has ended.

        Raises:
            Exception: what `check` raises, at a boundary; and, after all other documents were dealt with, the first
                error that is no document's own fault, so that the worker tries again what is left.
        """
        unexpected: list[Exception] = []
        batch: list[Read] = []
        pending = self._pending(job)
        left_behind = {item.version_id for item in pending if item.status != "queued"}
        self._move(job, [item for item in pending if item.version_id in left_behind], "queued")
        for window in windows(pending, left_behind):
            check()
            self.jobs.progress(job.id, stage="loading")
            batch += self._read(job, window, check, unexpected)
            if sum(len(read.chunks) for read in batch) >= self.batch_chunks or window[-1].version_id in left_behind:
                self._embed_and_publish(job, batch, check)
                batch = []
        self._embed_and_publish(job, batch, check)
        if unexpected:
            raise unexpected[0]

    def _pending(self, job: JobRecord) -> list[WorkItem]:
        """The documents that have not ended, in order; those deleted or cancelled meanwhile are ended here."""
        waiting = [item.version_id for item in self.jobs.items(job.id) if item.status == "queued"]
        with self.catalog.reading() as connection:
            pending, gone = steps.work_items(connection, waiting)
        self._let_go(job, gone)
        return pending

    def _read(
        self, job: JobRecord, window: Sequence[WorkItem], check: Check, unexpected: list[Exception]
    ) -> list[Read]:
        """The window's documents with text and chunks in the catalog, invisible until they are published."""
        reads: list[Read] = []
        for item in self._move(job, window, "loading"):
            check()
            try:
                reads.append(self._load_and_split(item))
            except Cancelled as gone:
                self.jobs.finish_item(job.id, item.version_id, "cancelled", gone.message)
            except PERMANENT as error:
                self._fail(job, item, error)
            except Exception as error:
                log.exception("document_failed_unexpectedly", document_id=item.document_id, job_id=job.id)
                unexpected.append(error)
        return self._store(job, reads)

    def _load_and_split(self, item: WorkItem) -> Read:
        loaded = self.load(item)
        title = item.title or loaded.title or _stem(item.filename) or item.document_id
        if len(loaded.text) > LARGE_CHARS:
            self.catalog.set_version_status(item.version_id, "chunking")
        chunks = self.split(loaded, title)
        if not chunks:
            raise InvalidInput(f"the document holds no text that could be found again ({len(loaded.text)} characters)")
        return Read(item, loaded, title, chunks)

    def _store(self, job: JobRecord, reads: Sequence[Read]) -> list[Read]:
        """Text and chunks of all in one transaction; returns those that were taken."""
        now = self.catalog.clock()
        given = [steps.TextToStore(read.item.version_id, read.loaded, read.title, read.chunks) for read in reads]
        with self.catalog.writing() as connection:
            refused = steps.store_texts(connection, given, now)
        unfit = {
            read.item.version_id: read.item
            for read in reads
            if isinstance(refused.get(read.item.version_id), InvalidInput)
        }
        for version_id, item in unfit.items():
            self._fail(job, item, refused.pop(version_id))
        self._let_go(job, refused)
        return [read for read in reads if read.item.version_id not in refused.keys() | unfit.keys()]

    def _embed_and_publish(self, job: JobRecord, batch: Sequence[Read], check: Check) -> None:
        if not batch:
            return
        self.jobs.progress(job.id, stage="embedding")
        texts = [text for read in batch for text in read.texts]
        vectors = embed_by_length(self.encoder, texts, self.batch_chunks, check)
        self.jobs.progress(job.id, stage="indexing")
        wanted = {item.version_id for item in self._move(job, [read.item for read in batch], "indexing")}
        prepared: list[PreparedVersion] = []
        row = 0
        for read in batch:
            own = slice(row, row + len(read.chunks))
            row = own.stop
            if read.item.version_id in wanted:
                prepared.append(PreparedVersion(read.item.version_id, read.item.document_id, read.texts, vectors[own]))
        check()
        if prepared:
            publish(self.catalog, self.index, batch[0].item.collection_id, prepared)

    def _move(self, job: JobRecord, items: Sequence[WorkItem], status: DocumentStatus) -> list[WorkItem]:
        """Sets the status of all in one transaction; those deleted or cancelled meanwhile are ended and left out."""
        now = self.catalog.clock()
        with self.catalog.writing() as connection:
            gone = steps.set_statuses(connection, [item.version_id for item in items], status, now)
        self._let_go(job, gone)
        return [item for item in items if item.version_id not in gone]

    def _let_go(self, job: JobRecord, gone: steps.Refused) -> None:
        for version_id, why in gone.items():
            self.jobs.finish_item(job.id, version_id, "cancelled", why.message)

    def _fail(self, job: JobRecord, item: WorkItem, error: AttestError) -> None:
        log.info("document_failed", document_id=item.document_id, job_id=job.id, code=error.code)
        self.catalog.set_version_status(item.version_id, "failed", error.message, error.code)
        self.jobs.finish_item(job.id, item.version_id, "failed", error.message)


def windows(pending: Sequence[WorkItem], left_behind: Set[int]) -> Iterator[list[WorkItem]]:
    """`pending` in order, in windows of at most `WINDOW_DOCUMENTS` documents and `WINDOW_BYTES` bytes.

    A larger document comes alone, and so does one that a worker left in the middle (`left_behind`, version ids): if it
    was the cause, no other document shares its fate.
    """
    window: list[WorkItem] = []
    for item in pending:
        alone = item.version_id in left_behind or item.bytes > WINDOW_BYTES
        full = len(window) == WINDOW_DOCUMENTS or sum(each.bytes for each in window) + item.bytes > WINDOW_BYTES
        if window and (alone or full):
            yield window
            window = []
        window.append(item)
        if alone:
            yield window
            window = []
    if window:
        yield window


def _stem(filename: str | None) -> str:
    return PurePath(filename).stem if filename else ""
