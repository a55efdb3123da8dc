"""The "reindex" job: every collection embedded again with the configured encoder, while the old index serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from app.errors import Conflict, IntegrityError, Unavailable
from app.index.catalog import Catalog
from app.index.generations import IndexStore, PreparedVersion, Rebuild
from app.index.jobs import JobQueue
from app.index.publication import check_writable
from app.index.records import CollectionRecord, JobRecord
from app.protocols import Encoder
from app.telemetry import get_logger
from ingestion.embedding import embed_by_length

log = get_logger(__name__)

PASSES = 100
"""Looks for versions published meanwhile; each is short, so this many mean that catalog and index do not agree."""
PAUSE_S = 0.05


def check_fit(catalog: Catalog, index: IndexStore) -> None:
    """Returns when every collection's index takes what this encoder and analyser make.

    Raises:
        Unavailable: one was built by another; the message says `attest reindex`.
    """
    for collection in catalog.list_collections():
        own = index.collection(collection.id)
        try:
            check_writable(own.snapshot().manifest, own.layout)
        except Unavailable as error:
            raise Unavailable(f"collection {collection.name!r}: {error.message}") from None


class Reindexer:
    """Stages a whole new index of each collection beside the one that serves and swaps them in one rename."""

    def __init__(
        self, *, catalog: Catalog, jobs: JobQueue, index: IndexStore, encoder: Encoder, batch_chunks: int
    ) -> None:
        self._catalog = catalog
        self._jobs = jobs
        self._index = index
        self._encoder = encoder
        self._batch_chunks = batch_chunks

    def run(self, job: JobRecord, check: Callable[[], None]) -> Mapping[str, Any]:
        """Generations by collection. Where an index is another encoder's, only such are rebuilt; else all are.

        A job that is tried again goes on where it was, collection by collection.
        """
        filled = [each for each in self._catalog.list_collections() if self._index.collection(each.id).generation]
        foreign = [each for each in filled if not self._fits(each)]
        started = job.started_at.isoformat() if job.started_at else ""
        chosen = foreign or [each for each in filled if job.attempts == 1 or self._built_at(each) < started]
        total = sum(self._catalog.collection_counts(each.name)["chunks"] for each in chosen)
        self._jobs.progress(job.id, stage="embedding", done=0, total=total, unit="chunks")
        generations: dict[str, int] = {}
        done = 0
        for collection in chosen:
            with self._index.stage_rebuild(collection.id) as rebuild:
                for added in self._fill(collection, rebuild, check):
                    done += added
                    self._jobs.progress(job.id, done=done, total=max(total, done))
                check()
                generations[collection.name] = self._publish(collection, rebuild, check)
            log.info("reindexed", collection=collection.name, generation=generations[collection.name])
        return {"generations": generations, "encoder": self._encoder.name}

    def _fits(self, collection: CollectionRecord) -> bool:
        own = self._index.collection(collection.id)
        try:
            check_writable(own.snapshot().manifest, own.layout)
        except Unavailable:
            return False
        return True

    def _built_at(self, collection: CollectionRecord) -> str:
        return self._index.collection(collection.id).snapshot().manifest.created_at

    def _publish(self, collection: CollectionRecord, rebuild: Rebuild, check: Callable[[], None]) -> int:
        for _ in range(PASSES):
            try:
                return rebuild.publish()
            except Conflict:  # a worker with the old encoder has published meanwhile
                for _ in self._fill(collection, rebuild, check):
                    pass
        raise Conflict(f"collection {collection.name!r} changes too fast to be rebuilt; stop the workers meanwhile")

    def _fill(self, collection: CollectionRecord, rebuild: Rebuild, check: Callable[[], None]) -> Iterator[int]:
        """Adds what is missing, batch by batch, and yields the chunks added."""
        for _ in range(PASSES):
            missing = rebuild.missing()
            if not missing:
                return
            for batch in self._batches(missing):
                check()
                prepared = self._prepare(batch, check)
                rebuild.add(prepared)
                yield sum(len(version.texts) for version in prepared)
            time.sleep(0 if rebuild.missing() == [] else PAUSE_S)  # a deletion leaves the catalog first
        raise IntegrityError(
            f"collection {collection.name!r}: the index holds version {missing[0]}, of which the catalog has no text; "
            "restore both from one backup"
        )

    def _batches(self, version_ids: Sequence[int]) -> Iterator[list[int]]:
        chunks = {id_: record.chunks for id_, record in self._catalog.get_version_records(version_ids).items()}
        batch: list[int] = []
        for version_id in version_ids:
            batch.append(version_id)
            if sum(chunks.get(each, 0) for each in batch) >= 4 * self._batch_chunks:
                yield batch
                batch = []
        if batch:
            yield batch

    def _prepare(self, version_ids: Sequence[int], check: Callable[[], None]) -> list[PreparedVersion]:
        records = self._catalog.get_version_records(version_ids)
        texts: dict[int, list[str]] = {}
        for (version_id, _), text in sorted(self._catalog.embedding_texts(version_ids).items()):
            texts.setdefault(version_id, []).append(text)
        flat = [text for own in texts.values() for text in own]
        vectors = embed_by_length(self._encoder, flat, self._batch_chunks, check)
        prepared: list[PreparedVersion] = []
        row = 0
        for version_id, own in texts.items():
            prepared.append(
                PreparedVersion(version_id, records[version_id].document_id, own, vectors[row : row + len(own)])
            )
            row += len(own)
        return prepared
