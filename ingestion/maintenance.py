"""Looking after home and index: the "compact" job, and what is done when there is nothing else to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

from app.errors import Conflict
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.index.records import CollectionRecord, JobRecord
from app.telemetry import get_logger
from ingestion.graph import GraphBuilder

log = get_logger(__name__)

LOOK_EVERY_S = 2.0
PAUSE_AFTER_FAILURE_S = 60.0
SCRUB_EVERY_S = 600.0
"""The catalog's file is rewritten after deletions, but not once for each of many."""
SWEEP_EVERY_S = 86_400.0
UNUSED_BLOB_S = 86_400.0
"""Bytes that were uploaded this long ago and that no version refers to belong to a submission that crashed."""
MAX_KEEP_DAYS = 36_500.0
"""A century: longer spans are the same to everybody, and no calendar holds them."""
_BLOBS_AT_ONCE = 256


class Maintenance:
    """Compacts indexes that need it, scrubs deleted rows from the catalog's file, and removes bytes and
    ended jobs that nobody needs.

    Publishing and searching go on meanwhile; a crash leaves everything as it was.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        jobs: JobQueue,
        blobs: BlobStore,
        index: IndexStore,
        compact_segments: int,
        keep_jobs: int = 1_000,
        keep_jobs_days: float = 30.0,
    ) -> None:
        self._catalog = catalog
        self._jobs = jobs
        self._blobs = blobs
        self._index = index
        self._compact_segments = compact_segments
        self._keep_jobs = keep_jobs
        self._keep_jobs_for = timedelta(days=min(keep_jobs_days, MAX_KEEP_DAYS))
        self._graphs = GraphBuilder(catalog, index)
        self._thread: threading.Thread | None = None
        self._look_at_s = self._scrub_at_s = self._sweep_at_s = 0.0

    def compact_all(self, job: JobRecord, check: Callable[[], None]) -> Mapping[str, Any]:
        """The "compact" job: every collection, or the one it names; returns the generations by collection."""
        collections = [each for each in self._catalog.list_collections() if job.collection in (None, each.name)]
        generations: dict[str, int] = {}
        for done, collection in enumerate(collections):
            check()
            self._jobs.progress(job.id, stage="compacting", done=done, total=len(collections), unit="collections")
            generations[collection.name] = self._compact(collection)
        return {"generations": generations}

    def start_if_due(self) -> bool:
        """Starts one chore in the background where one is due; true when something is at work."""
        if self._thread is not None and self._thread.is_alive():
            return True
        now_s = time.monotonic()
        if now_s < self._look_at_s:
            return False
        self._look_at_s = now_s + LOOK_EVERY_S
        chore = self._due(now_s)
        if chore is None:
            return False
        # a daemon: a worker that is told to stop does not wait for minutes; what is half done is thrown away
        self._thread = threading.Thread(target=self._do, args=(chore,), name="maintenance", daemon=True)
        self._thread.start()
        return True

    def wait(self, timeout_s: float | None = None) -> None:
        """Returns once the chore at work has ended, or after `timeout_s`."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _due(self, now_s: float) -> Callable[[], object] | None:
        for collection in self._catalog.list_collections():
            if self._index.collection(collection.id).needs_compaction(self._compact_segments):
                return partial(self._compact, collection)
            if self._graphs.due(collection):
                return partial(self._graphs.build, collection)
        if now_s >= self._scrub_at_s and self._catalog.scrub_due():
            self._scrub_at_s = now_s + SCRUB_EVERY_S
            return self._catalog.scrub
        if now_s >= self._sweep_at_s:
            self._sweep_at_s = now_s + SWEEP_EVERY_S
            return self._sweep
        return None

    def _do(self, chore: Callable[[], object]) -> None:
        try:
            chore()
        except Conflict:  # another worker is at it
            self._look_at_s = time.monotonic() + PAUSE_AFTER_FAILURE_S
        except Exception:
            log.exception("maintenance_failed")
            self._look_at_s = time.monotonic() + PAUSE_AFTER_FAILURE_S

    def _compact(self, collection: CollectionRecord) -> int:
        generation = self._index.collection(collection.id).compact(self._catalog.embedding_texts)
        log.info("compacted", collection=collection.name, generation=generation)
        return generation

    def _sweep(self) -> None:
        """A few at a time: deciding and deleting is one transaction, and uploads wait for it."""
        forgotten = 0
        while some_jobs := self._jobs.prune(self._keep_jobs_for, self._keep_jobs):
            forgotten += some_jobs
        if forgotten:
            log.info("old_jobs_forgotten", count=forgotten)
        self._blobs.discard_unfinished()
        unused = iter(self._blobs.sha256s(UNUSED_BLOB_S))
        while some := list(islice(unused, _BLOBS_AT_ONCE)):
            released = self._catalog.release_blobs(some, self._blobs.delete)
            if released:
                log.info("unused_blobs_removed", count=len(released))
