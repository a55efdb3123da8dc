"""Compaction: every segment of a collection merged into one, with an HNSW graph past `exact_below` chunks.

The long work happens beside the publishers, in `staging/`; only the swap takes the writer lock.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.errors import Conflict, IntegrityError
from app.index.analysis import ANALYSER_VERSION, analyze
from app.index.durable import file_lock, fsync_directory
from app.index.layout import KEPT_GENERATIONS, Layout
from app.index.lexicon import Lexicon, LexiconWriter
from app.index.manifest import LexiconRef, Manifest, SegmentRef
from app.index.publication import TextsOf, commit_manifest, fresh_name, kept_versions, now_text
from app.index.segments import GRAPH, VECTORS, Float32, VersionRow, scrub, write_segment
from app.index.snapshot import Snapshot
from app.index.vectors import build_graph

EXTEND_BELOW = 0.1  # a graph with fewer deleted rows is extended; with more it is built anew without them
_VERSIONS_AT_ONCE = 256  # whose texts are in memory together


@dataclass(frozen=True, slots=True)
class StagedLexicon:
    """A BM25 index built in `staging/`, and the number of terms of each version in it."""

    path: Path
    lexicon: Lexicon
    terms: Mapping[int, int]


def compact(
    layout: Layout, open_current: Callable[[], Snapshot], texts_of: TextsOf | None, threads: int | None = None
) -> int:
    """See `CollectionIndex.compact`."""
    if not layout.root.exists():
        return 0
    with file_lock(layout.compaction_lock, wait_s=0):
        prepare_staging(layout)
        try:
            with file_lock(layout.writer_lock):
                base = open_current()
            rebuild_lexicon = _lexicon_is_due(layout, base, texts_of is not None)
            if not rebuild_lexicon and not _segments_are_due(layout, base):
                return base.generation
            rows = [base_row for s in base.segments for base_row, _ in kept_versions(s.segment, base.retirements)]
            staged = _stage_lexicon(layout, rows, texts_of) if rebuild_lexicon else None
            layout.fault("compact_lexicon_built")
            name = fresh_name(base.generation + 1)
            segment = _stage_segment(layout, base, name, staged.terms if staged else {}, threads)
            layout.fault("compact_segment_built")
            with file_lock(layout.writer_lock):
                generation = _swap(layout, base, open_current(), segment, staged, texts_of)
        finally:
            shutil.rmtree(layout.staging, ignore_errors=True)
    layout.fault("compact_finished")
    return generation


def prepare_staging(layout: Layout) -> None:
    """An empty `staging/`, for the holder of the compaction lock."""
    shutil.rmtree(layout.staging, ignore_errors=True)
    layout.staging.mkdir(parents=True)
    layout.segments.mkdir(exist_ok=True)


def _segments_are_due(layout: Layout, base: Snapshot) -> bool:
    refs = base.manifest.segments
    if len(refs) > 1 or base.manifest.retired or any(s.segment.deleted.any() for s in base.segments):
        return True
    return len(refs) == 1 and refs[0].rows >= layout.exact_below and GRAPH not in refs[0].files


def _lexicon_is_due(layout: Layout, base: Snapshot, has_texts: bool) -> bool:
    ref = base.manifest.lexicon
    if ref is None or not (has_texts or ref.rows == 0):
        return False
    erasable = ref.erasable > 0 and base.lexicon is not None and not base.lexicon.erases_at_once
    return erasable or ref.engine != layout.engine or base.manifest.analyser != ANALYSER_VERSION


def _stage_lexicon(layout: Layout, rows: Iterable[VersionRow], texts_of: TextsOf | None) -> StagedLexicon:
    path = layout.staging / "lexicon"
    lexicon = layout.create_lexicon(path)
    terms: dict[int, int] = {}
    with lexicon.writer(bulk=True) as writer:
        add_texts(writer, rows, texts_of, terms)
        writer.commit()
    return StagedLexicon(path, lexicon, terms)


def add_texts(
    writer: LexiconWriter, rows: Iterable[VersionRow], texts_of: TextsOf | None, terms: dict[int, int]
) -> None:
    """Analyses and adds the texts of the versions, and counts their terms into `terms`.

    Raises:
        Conflict: the catalog no longer has the text of a version that the index still holds: a deletion is under way.
    """
    batch: list[VersionRow] = []
    todo = [row for row in rows if row.chunks]
    for i, row in enumerate(todo):
        batch.append(row)
        if len(batch) < _VERSIONS_AT_ONCE and i + 1 < len(todo):
            continue
        texts = texts_of([r.version_id for r in batch]) if texts_of is not None else {}
        for r in batch:
            missing = [i for i in range(r.chunks) if (r.version_id, i) not in texts]
            if missing:
                raise Conflict(
                    f"the catalog has no text for chunk {r.version_id}-{missing[0]}, which the index holds; "
                    "compact again when the deletion in progress is done, or run `attest reindex`"
                )
            analysed = [analyze(texts[r.version_id, i]) for i in range(r.chunks)]
            terms[r.version_id] = sum(map(len, analysed))
            writer.add((r.slot_start + i, r.version_id, chunk) for i, chunk in enumerate(analysed))
        batch = []


def _stage_segment(
    layout: Layout, base: Snapshot, name: str, terms: Mapping[int, int], threads: int | None
) -> SegmentRef | None:
    extend = _extendable(layout, base)

    def versions() -> Iterator[tuple[VersionRow, Float32]]:
        for opened in base.segments:
            segment = opened.segment
            for i in range(len(segment.ids)):
                row = segment.row(i, base.retirements)
                if not row.deleted:
                    yield replace(row, terms=terms.get(row.version_id, row.terms)), segment.block(i)
                elif extend is not None and opened is base.segments[0]:
                    # the graph's nodes cannot be removed: a deleted one stays as a row of zeros that no mask allows
                    yield row, np.zeros_like(segment.block(i))

    def graph(path: Path) -> tuple[str, ...]:
        return write_graph(path, layout, extend=extend, threads=threads)

    ref = write_segment(layout.staging, name, versions(), add_files=graph)
    return ref if ref.rows or _has_versions(base) else None


def _has_versions(base: Snapshot) -> bool:
    """Versions without a chunk are in the index too: a document that was read and held nothing to find."""
    return any(alive.kept.any() for alive in base.alive)


def write_graph(
    path: Path, layout: Layout, *, extend: Path | None = None, threads: int | None = None
) -> tuple[str, ...]:
    """Adds the HNSW graph to the segment folder `path` when it has `exact_below` rows; returns the file names."""
    rows = (path / VECTORS).stat().st_size // (4 * layout.embed_dim)
    if rows < max(1, layout.exact_below):
        return ()
    vectors = np.memmap(path / VECTORS, dtype="<f4", mode="r", shape=(rows, layout.embed_dim))
    return (build_graph(path, vectors, extend=extend, threads=threads),)


def _extendable(layout: Layout, base: Snapshot) -> Path | None:
    """The first segment's graph, when few enough of its rows are deleted."""
    refs = base.manifest.segments
    if not refs or GRAPH not in refs[0].files or not refs[0].rows:
        return None
    segment = base.segments[0].segment
    deleted = int(segment.counts[~base.alive[0].kept].sum())
    return layout.segments / refs[0].name / GRAPH if deleted <= EXTEND_BELOW * refs[0].rows else None


def _swap(
    layout: Layout,
    base: Snapshot,
    current: Snapshot,
    segment: SegmentRef | None,
    staged: StagedLexicon | None,
    texts_of: TextsOf | None,
) -> int:
    layout.fault("compact_locked")
    manifest = current.manifest
    count = len(base.manifest.segments)
    if manifest.segments[:count] != base.manifest.segments:
        raise Conflict("the index was replaced while it was being compacted; compact again")
    since = current.retirements.deleted - base.retirements.deleted
    if segment is not None:
        scrub(layout.staging / segment.name, since)
    lexicon = manifest.lexicon
    if staged is not None:
        lexicon = _finish_lexicon(layout, current, current.segments[count:], staged, since, texts_of)
    segments = (*((segment,) if segment else ()), *manifest.segments[count:])
    folded = {ref.name for ref in base.manifest.retired}
    following = manifest.next(
        segments=segments,
        retired=tuple(ref for ref in manifest.retired if ref.name not in folded),
        lexicon=lexicon,
        analyser=ANALYSER_VERSION if staged else manifest.analyser,
        purge=tuple(sorted(since)),
        created_at=now_text(),
    )
    move_staged(layout, segment, staged.path if staged else None, following)
    layout.fault("compact_moved")
    commit_manifest(layout, following, "compact")
    erased = bool(since or base.retirements.deleted or (manifest.lexicon and manifest.lexicon.erasable))
    layout.remove_unreferenced(keep=1 if erased else KEPT_GENERATIONS)
    return following.generation


def _finish_lexicon(
    layout: Layout,
    current: Snapshot,
    tail: Iterable[object],
    staged: StagedLexicon,
    since: frozenset[int],
    texts_of: TextsOf | None,
) -> LexiconRef:
    """Brings the staged BM25 index up to what was published and deleted while it was built."""
    tail_rows = [
        row
        for opened in current.segments
        if opened in tail
        for row, _ in kept_versions(opened.segment, current.retirements)
    ]
    terms = dict(staged.terms)
    with staged.lexicon.writer() as writer:
        for version in since:
            writer.delete_version(version)
            terms.pop(version, None)
        add_texts(writer, tail_rows, texts_of, terms)
        writer.commit()
    rows = staged.lexicon.reader().rows
    expected = current.num_docs
    if rows != expected:
        raise IntegrityError(
            f"the rebuilt BM25 index has {rows} rows, the index states {expected}; run `attest reindex`"
        )
    name = f"lexicon-{fresh_name(current.generation + 1)}"
    erasable = 0 if staged.lexicon.erases_at_once else len(since)
    return LexiconRef(layout.engine, name, rows, sum(terms.values()), erasable)


def move_staged(layout: Layout, segment: SegmentRef | None, lexicon: Path | None, manifest: Manifest) -> None:
    """Renames what was staged to where the manifest names it."""
    if segment is not None:
        (layout.staging / segment.name).rename(layout.segments / segment.name)
        fsync_directory(layout.segments)
    if lexicon is not None and manifest.lexicon is not None:
        lexicon.rename(layout.root / manifest.lexicon.name)
        fsync_directory(layout.root)
