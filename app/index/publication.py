"""Publishing and deleting: the changes of one collection's index that take milliseconds, under its writer lock."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain

import numpy as np

from app.errors import InvalidInput, Unavailable
from app.index.analysis import analyze
from app.index.durable import file_lock, fsync_directory
from app.index.layout import Layout
from app.index.lexicon import Row
from app.index.manifest import LexiconRef, Manifest, RetiredRef, publish_manifest, write_manifest
from app.index.segments import (
    FOREVER,
    GRAPH,
    Float32,
    Retirements,
    Segment,
    VersionRow,
    crc_of,
    microseconds,
    scrub,
    write_retirements,
    write_segment,
)
from app.index.snapshot import Snapshot, check_analyser

TextsOf = Callable[[list[int]], Mapping[tuple[int, int], str]]
"""Version ids → the embedding text of each chunk by (version id, ordinal); versions that are gone are left out."""

FAN = 8  # so many tail segments of one size become one of the next: a version is rewritten O(log n) times
MOST_MERGED_ROWS = 8_192  # a publisher merges no more than this; larger segments wait for a compaction
_UNIT_TOLERANCE = 1e-2  # bf16 embeddings are this near to unit length


@dataclass(frozen=True, slots=True)
class PreparedVersion:
    """A version ready to be published: its chunks' `texts` (as embedded) and `vectors` [n, embed_dim], by ordinal.

    `replaces` are the version ids that it retires.
    """

    version_id: int
    document_id: str
    texts: Sequence[str]
    vectors: Float32
    replaces: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Residual:
    """What a search can still reach or a file still holds of deleted versions, measured after the deletion.

    `vectors` counts rows with a bit left on disk or allowed in a search, `postings` BM25 rows. `bytes_due`: bytes of
    their terms lie unreachable in the BM25 files until the next compaction.
    """

    vectors: int
    postings: int
    bytes_due: bool


def check_prepared(versions: Sequence[PreparedVersion], embed_dim: int) -> None:
    """Raises InvalidInput for vectors that could not be searched by cosine."""
    seen: set[int] = set()
    for version in versions:
        where = f"version {version.version_id}"
        shape = np.shape(version.vectors)
        if shape != (len(version.texts), embed_dim):
            raise InvalidInput(
                f"{where}: vectors has shape {shape}, {len(version.texts)} texts and this index take "
                f"{(len(version.texts), embed_dim)}; encode the texts with the index's encoder, or run `attest reindex`"
            )
        norms = np.linalg.norm(np.asarray(version.vectors, np.float32), axis=1)
        if not np.all(np.abs(norms - 1) <= _UNIT_TOLERANCE):
            raise InvalidInput(f"{where}: vectors must be finite and of unit length; the encoder has to normalise them")
        if version.version_id in seen:
            raise InvalidInput(f"{where} stands twice in the versions to publish; pass it once")
        seen.add(version.version_id)


def check_writable(manifest: Manifest, layout: Layout) -> None:
    """Raises Unavailable when what would be added does not fit what is there."""
    if (manifest.encoder_name, manifest.embed_dim) != (layout.encoder_name, layout.embed_dim):
        raise Unavailable(
            f"the index was built by encoder {manifest.encoder_name} [{manifest.embed_dim}], the configured one is "
            f"{layout.encoder_name} [{layout.embed_dim}]; run `attest reindex`, or configure the former encoder"
        )
    check_analyser(manifest)


def fresh_name(generation: int) -> str:
    return f"{generation:08d}-{secrets.token_hex(4)}"


def now_text() -> str:
    return datetime.now(UTC).isoformat()


def absorbed(rows: Sequence[int], added: int) -> int:
    """How many of the last segments, of `rows` rows each, a new one of `added` rows should take in."""
    taken, size = 0, added
    while True:
        level = _level(size)
        run = taken
        while run < len(rows) and _level(rows[-1 - run]) <= level:
            run += 1
        grown = size + sum(rows[-1 - i] for i in range(taken, run))
        if run - taken < FAN - 1 or grown > MOST_MERGED_ROWS:
            return taken
        taken, size = run, grown


def _level(rows: int) -> int:
    level = 0
    while rows >= FAN:
        rows //= FAN
        level += 1
    return level


def kept_versions(segment: Segment, known: Retirements) -> Iterator[tuple[VersionRow, Float32]]:
    """The segment's versions with what is known of them, those deleted left out."""
    for i in range(len(segment.ids)):
        row = segment.row(i, known)
        if not row.deleted:
            yield row, segment.block(i)


def commit_manifest(layout: Layout, manifest: Manifest, step: str) -> None:
    """Steps 4 and 5 of a publication; `step` prefixes the fault points."""
    write_manifest(layout.root, manifest)
    layout.fault(f"{step}_manifest_written")
    publish_manifest(layout.root, manifest)
    layout.fault(f"{step}_current_replaced")


def publish(
    layout: Layout,
    open_current: Callable[[], Snapshot],
    versions: Sequence[PreparedVersion],
    *,
    valid_from: datetime,
    still_wanted: Callable[[int], bool],
    replaced_by: Callable[[Snapshot, list[int]], Mapping[int, tuple[int, ...]]],
    on_published: Callable[[int, list[int]], None],
) -> int:
    """See `CollectionIndex.publish`."""
    check_prepared(versions, layout.embed_dim)
    terms_of = {v.version_id: [analyze(text) for text in v.texts] for v in versions}  # before the lock: it takes time
    layout.segments.mkdir(parents=True, exist_ok=True)
    with file_lock(layout.writer_lock):
        layout.fault("publish_locked")
        current = open_current()
        check_writable(current.manifest, layout)
        wanted = [v for v in versions if still_wanted(v.version_id)]
        rows = {v.version_id: current.find_version(v.version_id) for v in wanted}
        new = [v for v in wanted if rows[v.version_id] is None]
        also = replaced_by(current, [v.version_id for v in new])
        new = [replace(v, replaces=(*v.replaces, *also.get(v.version_id, ()))) for v in new]
        there = [v.version_id for v in wanted if (row := rows[v.version_id]) is not None and not row.deleted]
        if not new:
            if there:  # published before a crash: only the catalog has to hear of it
                on_published(current.generation, there)
            return current.generation
        generation = _add(layout, current, new, terms_of, microseconds(valid_from), on_published, there)
        layout.fault("publish_finished")
        return generation


def _add(
    layout: Layout,
    current: Snapshot,
    versions: Sequence[PreparedVersion],
    terms_of: Mapping[int, list[list[str]]],
    valid_from: int,
    on_published: Callable[[int, list[int]], None],
    there: list[int],
) -> int:
    manifest = current.manifest
    layout.remove_unreferenced()
    layout.fault("publish_cleaned")
    replaced = {old for v in versions for old in v.replaces}
    slot = manifest.slot_end
    added: list[tuple[VersionRow, Float32]] = []
    postings: list[Row] = []
    for v in versions:
        vectors = np.ascontiguousarray(v.vectors, np.float32)
        terms = terms_of[v.version_id]
        valid_to = valid_from if v.version_id in replaced else FOREVER
        row = VersionRow(
            v.version_id, slot, len(terms), valid_from, valid_to, False, sum(map(len, terms)), crc_of(vectors)
        )
        added.append((row, vectors))
        postings.extend((slot + i, v.version_id, chunk) for i, chunk in enumerate(terms))
        slot += len(terms)
    generation = manifest.generation + 1
    taken = _absorbable(layout, current, slot - manifest.slot_end)
    kept_segments = manifest.segments[: len(manifest.segments) - taken]
    known = current.retirements
    merged = [kept_versions(s.segment, known) for s in current.segments[len(kept_segments) :]]
    segment = write_segment(layout.segments, fresh_name(generation), chain(*merged, added))
    layout.fault("publish_segment_written")
    retired = manifest.retired
    retiring = {old: valid_from for old in replaced if _is_current(current, old)}
    if retiring:
        retired = add_retirements(layout, current, generation, Retirements(retiring, frozenset()))
    layout.fault("publish_retirements_written")
    if manifest.lexicon is None or current.lexicon is None:
        ref = LexiconRef(layout.engine, f"lexicon-{fresh_name(generation)}")
        lexicon = layout.create_lexicon(layout.root / ref.name)
        fsync_directory(layout.root)
    else:
        ref, lexicon = manifest.lexicon, current.lexicon
    # every row of this generation is there; more of them are those of a publication or a deletion that crashed
    leftovers = lexicon.reader().rows > ref.rows
    with lexicon.writer() as writer:
        if leftovers:
            writer.delete_from(manifest.slot_end)
            for version in manifest.purge:
                writer.delete_version(version)
        writer.add(postings)
        layout.fault("publish_lexicon_added")
        writer.commit()
        layout.fault("publish_lexicon_committed")
        scrub_vectors(layout, frozenset(manifest.purge))
        following = manifest.next(
            segments=(*kept_segments, segment),
            retired=retired,
            slot_end=slot,
            lexicon=replace(ref, rows=ref.rows + len(postings), terms=ref.terms + sum(row.terms for row, _ in added)),
            purge=(),
            created_at=now_text(),
        )
        commit_manifest(layout, following, "publish")
        on_published(generation, [*there, *(v.version_id for v in versions)])
        layout.fault("publish_catalog_finished")
    return generation


def _absorbable(layout: Layout, current: Snapshot, added: int) -> int:
    """Tail segments to merge into the new one; none while a compaction is reading them."""
    refs = current.manifest.segments
    mergeable: list[int] = []
    for ref in reversed(refs):
        if GRAPH in ref.files:
            break
        mergeable.insert(0, ref.rows)
    taken = absorbed(mergeable, added)
    return taken if taken and layout.staging_is_free() else 0


def _is_current(current: Snapshot, version_id: int) -> bool:
    row = current.find_version(version_id)
    return row is not None and not row.deleted and row.valid_to == FOREVER


def add_retirements(layout: Layout, current: Snapshot, generation: int, entries: Retirements) -> tuple[RetiredRef, ...]:
    """The manifest's list of retirement files with `entries` in it; small files are merged like small segments."""
    refs = current.manifest.retired
    count = len(entries.retired) + len(entries.deleted)
    taken = absorbed([ref.count for ref in refs], count)
    if taken and not layout.staging_is_free():
        taken = 0
    for ref in refs[len(refs) - taken :]:
        entries = current.retirement_files[ref.name].merged(entries)
    return (*refs[: len(refs) - taken], write_retirements(layout.retired, fresh_name(generation), entries))


def scrub_vectors(layout: Layout, versions: frozenset[int]) -> None:
    """Zeroes the vectors of `versions` in every segment folder, also in those of earlier generations."""
    if versions and layout.segments.exists():
        for path in layout.segments.iterdir():
            scrub(path, versions)


def delete(layout: Layout, open_current: Callable[[], Snapshot], version_ids: Sequence[int]) -> None:
    """Makes the versions unreachable, then erases what can be erased at once. Repeating it is harmless."""
    if not layout.root.exists():
        return
    with file_lock(layout.writer_lock):
        layout.fault("delete_locked")
        current = open_current()
        rows = [row for v in dict.fromkeys(version_ids) if (row := current.find_version(v)) is not None]
        # a publication that crashed may have left rows of a version that no generation ever named
        unknown = frozenset(version_ids) - {row.version_id for row in rows}
        doomed = [row for row in rows if not row.deleted]
        manifest = current.manifest
        if doomed:
            ids = frozenset(row.version_id for row in doomed)
            retired = add_retirements(layout, current, manifest.generation + 1, Retirements({}, ids))
            layout.fault("delete_recorded")
            lexicon = manifest.lexicon
            if lexicon is not None:
                lexicon = replace(
                    lexicon,
                    rows=lexicon.rows - sum(row.chunks for row in doomed),
                    terms=lexicon.terms - sum(row.terms for row in doomed),
                    erasable=lexicon.erasable + sum(row.chunks for row in doomed),
                )
            manifest = manifest.next(
                retired=retired, lexicon=lexicon, purge=tuple(sorted({*manifest.purge, *ids})), created_at=now_text()
            )
            commit_manifest(layout, manifest, "delete")
        erased = frozenset(row.version_id for row in rows) | unknown
        # a fresh reader: the snapshot's may be older than what a publication that crashed has left
        reader = current.lexicon.reader() if current.lexicon is not None else None
        if current.lexicon is not None and reader is not None and any(reader.count_version(v) for v in erased):
            with current.lexicon.writer() as writer:
                for version in erased:
                    writer.delete_version(version)
                writer.commit()
            layout.fault("delete_postings_committed")
        scrub_vectors(layout, erased)
        layout.fault("delete_vectors_scrubbed")
        layout.remove_unreferenced(keep=1)  # earlier generations' files hold what must go
        layout.fault("delete_cleaned")
