"""A whole new index of a collection, by another encoder or analyser, built while the old one serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType

import numpy as np

from app.errors import Conflict
from app.index.analysis import ANALYSER_VERSION, analyze
from app.index.compaction import move_staged, prepare_staging, write_graph
from app.index.durable import file_lock
from app.index.layout import Layout
from app.index.lexicon import Lexicon
from app.index.manifest import LexiconRef, Manifest, RetiredRef, SegmentRef
from app.index.publication import PreparedVersion, check_prepared, commit_manifest, fresh_name, now_text
from app.index.segments import (
    FOREVER,
    Float32,
    Retirements,
    Segment,
    VersionRow,
    crc_of,
    scrub,
    write_retirements,
    write_segment,
)
from app.index.snapshot import Snapshot


class Rebuild:
    """Add every version of the collection, retired ones included, then `publish`: one manifest swap.

    Versions published meanwhile by the old encoder show in `missing`; those deleted meanwhile are left out. Leaving the
    `with` block without `publish` leaves the old index as it was.
    """

    def __init__(self, layout: Layout, open_current: Callable[[], Snapshot]) -> None:
        self._layout = layout
        self._open_current = open_current
        self._held = ExitStack()
        self._pieces: list[SegmentRef] = []
        self._rows: dict[int, VersionRow] = {}
        self._slot_end = 0
        self._lexicon: Lexicon | None = None

    def __enter__(self) -> Rebuild:
        self._layout.root.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(file_lock(self._layout.compaction_lock, wait_s=0))
        prepare_staging(self._layout)
        self._held.callback(shutil.rmtree, self._layout.staging, ignore_errors=True)
        self._lexicon = self._layout.create_lexicon(self._layout.staging / "lexicon")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def missing(self) -> list[int]:
        """Ids of the served index's versions, retired ones included, that have not been added, ascending."""
        return sorted(set(_validity(self._open_current())) - set(self._rows))

    def add(self, versions: Sequence[PreparedVersion]) -> None:
        """Stages the versions; their `replaces` is not looked at: when each was valid is as the served index says.

        Raises:
            InvalidInput: vectors of another shape than this store's encoder makes, or not of unit length.
        """
        assert self._lexicon is not None, "use the rebuild as a context manager"
        check_prepared(versions, self._layout.embed_dim)
        validity = _validity(self._open_current())
        added: list[tuple[VersionRow, Float32]] = []
        with self._lexicon.writer(bulk=True) as writer:
            for v in versions:
                if v.version_id not in validity or v.version_id in self._rows:
                    continue
                terms = [analyze(text) for text in v.texts]
                valid_from, valid_to = validity[v.version_id]
                vectors = np.ascontiguousarray(v.vectors, np.float32)
                count = sum(map(len, terms))
                start = self._slot_end
                row = VersionRow(v.version_id, start, len(terms), valid_from, valid_to, False, count, crc_of(vectors))
                writer.add((start + i, v.version_id, chunk) for i, chunk in enumerate(terms))
                self._slot_end += len(terms)
                self._rows[v.version_id] = row
                added.append((row, vectors))
            writer.commit()
        if added:
            self._pieces.append(write_segment(self._layout.staging, f"piece-{len(self._pieces)}", added))

    def publish(self) -> int:
        """Puts the new index in the old one's place and returns its generation.

        Raises:
            Conflict: versions are `missing`; add them and publish again.
        """
        self._refuse_if_missing()
        name = fresh_name(0)
        staging = self._layout.staging
        segment = write_segment(
            staging, name, self._staged_versions(), add_files=lambda path: write_graph(path, self._layout)
        )
        self._layout.fault("rebuild_segment_built")
        with file_lock(self._layout.writer_lock):
            current = self._open_current()
            self._refuse_if_missing()
            following = self._manifest(current, segment)
            move_staged(self._layout, segment, staging / "lexicon", following)
            self._layout.fault("rebuild_moved")
            commit_manifest(self._layout, following, "rebuild")
            self._layout.remove_unreferenced(keep=1)
        return following.generation

    def _refuse_if_missing(self) -> None:
        missing = self.missing()
        if missing:
            raise Conflict(
                f"{len(missing)} versions of the served index are not in the rebuilt one, the first is {missing[0]}; "
                "add them and publish again"
            )

    def _staged_versions(self) -> Iterator[tuple[VersionRow, Float32]]:
        for ref in self._pieces:
            segment = Segment(self._layout.staging / ref.name, ref, self._layout.embed_dim)
            for i, version in enumerate(segment.ids.tolist()):
                yield self._rows[version], segment.block(i)

    def _manifest(self, current: Snapshot, segment: SegmentRef) -> Manifest:
        """The new generation, with what became of its versions while it was built."""
        assert self._lexicon is not None
        validity = _validity(current)
        gone = frozenset(self._rows) - frozenset(validity)
        ended = {v: validity[v][1] for v, row in self._rows.items() if v in validity and validity[v][1] != row.valid_to}
        generation = current.generation + 1
        retired: tuple[RetiredRef, ...] = ()
        if gone or ended:
            entries = Retirements({v: end for v, end in ended.items() if end != FOREVER}, gone)
            retired = (write_retirements(self._layout.retired, fresh_name(generation), entries),)
        scrub(self._layout.staging / segment.name, gone)
        kept = [row for version, row in self._rows.items() if version not in gone]
        if gone:
            with self._lexicon.writer() as writer:
                for version in gone:
                    writer.delete_version(version)
                writer.commit()
        lexicon = LexiconRef(
            self._layout.engine,
            f"lexicon-{fresh_name(generation)}",
            sum(row.chunks for row in kept),
            sum(row.terms for row in kept),
            sum(self._rows[version].chunks for version in gone),
        )
        return Manifest(
            generation,
            self._layout.encoder_name,
            self._layout.embed_dim,
            ANALYSER_VERSION,
            slot_end=self._slot_end,
            segments=(segment,) if self._rows else (),
            retired=retired,
            lexicon=lexicon,
            purge=tuple(sorted(gone)),
            created_at=now_text(),
        )


def _validity(snapshot: Snapshot) -> dict[int, tuple[int, int]]:
    """Version id → `(valid_from, valid_to)` in µs, of all versions that are not deleted."""
    result: dict[int, tuple[int, int]] = {}
    for opened, alive in zip(snapshot.segments, snapshot.alive, strict=True):
        segment = opened.segment
        columns = (segment.ids, segment.valid_from, alive.valid_to, alive.kept)
        for version, start, end, kept in zip(*(column.tolist() for column in columns), strict=True):
            if kept:
                result[version] = (start, end)
    return result
