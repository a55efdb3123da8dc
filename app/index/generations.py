"""The index of all collections: open a generation, publish the next, delete, compact, rebuild, verify.

Decision 0001 says how a generation lies on disk; this is the façade over the modules that do the work.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from app.errors import Conflict, IntegrityError, InvalidInput
from app.index import compaction, publication
from app.index.analysis import ANALYSER_VERSION
from app.index.durable import file_lock, fsync_directory
from app.index.layout import Layout
from app.index.lexicon import Engine
from app.index.manifest import current_name, read_manifest
from app.index.masks import SlotMask
from app.index.publication import PreparedVersion, Residual, TextsOf
from app.index.rank_lexicon import Variant
from app.index.rebuild import Rebuild
from app.index.residuals import measure
from app.index.snapshot import Snapshot
from app.index.verification import problems

__all__ = ["CollectionIndex", "IndexStore", "PreparedVersion", "Rebuild", "Residual", "SlotMask", "Snapshot", "TextsOf"]

REBUILD_BELOW = 2_000  # chunks: a deletion rebuilds a BM25 index of this size at once (well under a second)
_OPEN_ATTEMPTS = 200


class CollectionIndex:
    """One collection's index. Safe from any thread; any number of processes may read, publish, delete and compact."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._opening = threading.Lock()
        self._held: Snapshot | None = None

    @property
    def generation(self) -> int:
        """The number of the generation that is published now; 0 before the first."""
        name = current_name(self.layout.root)
        return int(name.removeprefix("generation-").removesuffix(".json")) if name else 0

    def snapshot(self) -> Snapshot:
        """The published generation, for one request to keep to its end. Never waits for a publisher.

        Opens only what the last snapshot of this process does not already hold.

        Raises:
            IntegrityError: a file is missing or damaged.
            Unavailable: written by another version of Attest.
        """
        held = self._held
        if held is not None and held.generation == self.generation:
            return held
        with self._opening:
            return self._open()

    def _open(self) -> Snapshot:
        """Reads CURRENT, opens, and reads CURRENT again: a deletion erases postings only after it is published, so that
        an unchanged CURRENT means the BM25 reader misses nothing of this generation."""
        error: Exception | None = None
        for _ in range(_OPEN_ATTEMPTS):
            name = current_name(self.layout.root)
            held = self._held
            if held is not None and held.generation == self.generation:
                return held
            try:
                snapshot = self._open_generation(name, held)
            except (FileNotFoundError, IntegrityError) as failure:
                if current_name(self.layout.root) == name:
                    error = failure
                    break
                continue
            if current_name(self.layout.root) == name:
                self._held = snapshot
                return snapshot
        if isinstance(error, IntegrityError):
            raise error
        raise IntegrityError(
            f"the index of collection {self.layout.root.name} cannot be opened ({error or 'it changes all the time'}); "
            "restore it from a backup or run `attest reindex`"
        ) from error

    def _open_generation(self, name: str | None, held: Snapshot | None) -> Snapshot:
        if name is None:
            return Snapshot(self.layout.empty_manifest(ANALYSER_VERSION), (), {}, None)
        manifest = read_manifest(self.layout.root, name)
        lexicon = None
        if manifest.lexicon is not None:
            before = held.manifest.lexicon if held is not None else None
            same = before is not None and before.name == manifest.lexicon.name
            lexicon = held.lexicon if same and held else self.layout.open_lexicon(manifest.lexicon)
        return Snapshot.open(self.layout.root, manifest, lexicon, held)

    def publish(
        self,
        versions: Sequence[PreparedVersion],
        *,
        valid_from: datetime,
        still_wanted: Callable[[int], bool] = lambda _: True,
        replaced_by: Callable[[Snapshot, list[int]], Mapping[int, tuple[int, ...]]] = lambda _snapshot, _ids: {},
        on_published: Callable[[int, list[int]], None] = lambda _generation, _ids: None,
    ) -> int:
        """Publishes the versions in one generation, all or none, and returns its number.

        Versions already there are not added again. Costs in proportion to the versions, not to the collection.

        Args:
            versions: at most one per document unless one replaces the other.
            valid_from: when they begin, and those they replace end, for searches with `as_of`.
            still_wanted: asked for each version id under the lock; those that are not are left out.
            replaced_by: asked under the lock, with the current snapshot and the ids wanted, what else each one retires.
            on_published: called under the lock, once the generation is published, with its number and the ids of the
                wanted versions in it, those of an earlier, interrupted call included.

        Raises:
            InvalidInput: vectors of another shape, or not of unit length.
            Unavailable: the index was built by another encoder or analyser: `attest reindex`.
        """
        return publication.publish(
            self.layout,
            self.snapshot,
            versions,
            valid_from=valid_from,
            still_wanted=still_wanted,
            replaced_by=replaced_by,
            on_published=on_published,
        )

    def delete(self, version_ids: Sequence[int], texts_of: TextsOf | None = None) -> Residual:
        """Deletes the versions and measures what is left of them; repeating it is harmless.

        They are unreachable and their vectors zeroed when it returns. The terms of a small collection (or of an emptied
        one) leave the disk at once too, given `texts_of`; of a larger one at the next `compact`: `bytes_due` says so.
        """
        publication.delete(self.layout, self.snapshot, version_ids)
        lexicon = self.snapshot().manifest.lexicon
        if lexicon is not None and lexicon.erasable and lexicon.rows <= (REBUILD_BELOW if texts_of else 0):
            # a compaction is at work, or another deletion half done: `bytes_due` will say so
            with suppress(Conflict):
                self.compact(texts_of)
        return measure(self.layout, self.snapshot(), frozenset(version_ids))

    def compact(self, texts_of: TextsOf | None = None, *, threads: int | None = None) -> int:
        """Merges the segments into one, drops what was deleted and builds the HNSW graph; returns the generation.

        Publishing goes on meanwhile. The BM25 index is rebuilt, given `texts_of`, when deleted terms are still on its
        disk or it belongs to another engine or analyser.

        Raises:
            Conflict: another compaction or rebuild is at work.
        """
        return compaction.compact(self.layout, self.snapshot, texts_of, threads)

    def needs_compaction(self, most_segments: int = 16) -> bool:
        """Whether `compact` is worth its time: many segments, deleted terms on disk, or a graph to build or extend."""
        manifest = self.snapshot().manifest
        rows = [ref.rows for ref in manifest.segments]
        graphless = sum(ref.rows for ref in manifest.segments if len(ref.files) < 3)
        due = manifest.lexicon is not None and manifest.lexicon.engine == "tantivy" and manifest.lexicon.erasable > 0
        return due or len(rows) > most_segments or graphless >= max(1, self.layout.exact_below)

    def recover(self) -> None:
        """Finishes or removes what a crash has left behind, at the start of a process; publishing does so too."""
        if self.layout.root.exists():
            publication.delete(self.layout, self.snapshot, self.snapshot().manifest.purge)

    def verify(self) -> list[str]:
        """Every disagreement between manifest, segments and BM25 index, in words; empty when all is sound."""
        return problems(self.layout, self.snapshot)


class IndexStore:
    """The indexes under `root`, one directory per collection id."""

    def __init__(
        self,
        root: Path,
        *,
        encoder_name: str,
        embed_dim: int,
        lexicon_engine: Engine = "tantivy",
        bm25_variant: Variant = "okapi",
        exact_below: int = 20_000,
        fault: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Creates nothing yet.

        Args:
            root: the directory, `ATTEST_HOME/index`.
            encoder_name: what new vectors are made by; an index made by another is read but not added to.
            embed_dim: length of its vectors.
            lexicon_engine: for BM25 indexes created from now on.
            bm25_variant: of the rank_bm25 engine.
            exact_below: chunks from which a compaction builds an HNSW graph.
            fault: called with a step's name between every two steps of a change; for crash tests.
        """
        if lexicon_engine not in ("tantivy", "rank_bm25") or bm25_variant not in ("okapi", "l", "plus"):
            raise InvalidInput(
                f"lexicon_engine is {lexicon_engine!r} and bm25_variant {bm25_variant!r}; "
                "they must be tantivy or rank_bm25, and okapi, l or plus"
            )
        self.root = root
        self.encoder_name = encoder_name
        self.embed_dim = embed_dim
        self._choices = (encoder_name, embed_dim, lexicon_engine, bm25_variant, exact_below, fault)
        self._lock = threading.Lock()
        self._collections: dict[int, CollectionIndex] = {}
        self._deletion_listeners: list[Callable[[str], None]] = []

    def on_deletion(self, listener: Callable[[str], None]) -> None:
        """Have `listener` called with the collection's name after each deletion in this process.

        For what is remembered outside of the index, such as the prompts that a language model has read.
        """
        self._deletion_listeners.append(listener)

    def tell_deletion(self, collection: str) -> None:
        """Call the listeners: documents of the collection, or all of it, were deleted."""
        for listener in self._deletion_listeners:
            listener(collection)

    def collection(self, collection_id: int) -> CollectionIndex:
        """The collection's index, the same object each time."""
        with self._lock:
            index = self._collections.get(collection_id)
            if index is None:
                index = CollectionIndex(Layout(self.root / str(collection_id), *self._choices))
                self._collections[collection_id] = index
            return index

    def stage_rebuild(self, collection_id: int) -> Rebuild:
        """A new full generation under this store's encoder, built beside the one that serves: `with … as rebuild:`."""
        index = self.collection(collection_id)
        return Rebuild(index.layout, index.snapshot)

    def drop(self, collection_id: int) -> None:
        """Removes the collection's index from the disk. Snapshots already taken stay usable."""
        with self._lock:
            index = self._collections.pop(collection_id, None)
        layout = index.layout if index else Layout(self.root / str(collection_id), *self._choices)
        if not layout.root.exists():
            return
        with file_lock(layout.writer_lock):
            (layout.root / "CURRENT").unlink(missing_ok=True)  # first: from here on the index is empty, not half
            fsync_directory(layout.root)
            shutil.rmtree(layout.root)
        fsync_directory(self.root)
