"""Segments on disk: the vectors of some versions, and what is known of each version."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import IntegrityError
from app.index.durable import fsync_directory, sha256_of, write_fsynced
from app.index.manifest import FileRef, RetiredRef, SegmentRef
from app.index.masks import Bools, Int64

Float32 = npt.NDArray[np.float32]
VECTORS, VERSIONS, GRAPH = "vectors.f32", "versions.json", "graph.hnsw"
FOREVER = 2**63 - 1  # `valid_to` of a version that nothing has replaced


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1e6)


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version inside a segment: `chunks` rows with slots from `slot_start`, valid in `[valid_from, valid_to)` µs.

    `terms` counts its BM25 terms; `crc` is the CRC-32 of its vectors' bytes; the vectors of a `deleted` one are zero.
    """

    version_id: int
    slot_start: int
    chunks: int
    valid_from: int
    valid_to: int
    deleted: bool
    terms: int
    crc: int


@dataclass(frozen=True, slots=True)
class Retirements:
    """`valid_to` (µs) of versions that were replaced, and the ids of those deleted, since their segment was written."""

    retired: dict[int, int]
    deleted: frozenset[int]

    def merged(self, other: Retirements) -> Retirements:
        # the first retirement stands: a version is replaced once
        return Retirements({**other.retired, **self.retired}, self.deleted | other.deleted)


class Segment:
    """An opened segment; everything stays readable after its files are removed.

    Versions are in slot order; row `i` of `vectors` belongs to the version whose `[row_start, row_start + chunks)`
    holds `i`.
    """

    def __init__(self, path: Path, ref: SegmentRef, embed_dim: int) -> None:
        self.name = ref.name
        self.rows = ref.rows
        self.slot_start, self.slot_end = ref.slot_start, ref.slot_end
        content = json.loads((path / VERSIONS).read_bytes())
        table = np.array(content["versions"], dtype=np.int64).reshape(-1, 8)
        self.ids, self.slot_starts, self.counts, self.valid_from, self.valid_to = (table[:, i] for i in range(5))
        self.deleted = table[:, 5].astype(np.bool_)
        self.terms, self.crcs = table[:, 6], table[:, 7]
        self.row_starts = np.concatenate(([0], np.cumsum(self.counts)))[:-1]
        size = (path / VECTORS).stat().st_size
        if size != self.rows * embed_dim * 4 or int(self.counts.sum()) != self.rows:
            raise IntegrityError(
                f"segment {self.name}: vectors.f32 has {size} bytes, stated are {self.rows} rows of {embed_dim}; "
                "restore the index from a backup or run `attest reindex`"
            )
        self.vectors: Float32 = (
            np.memmap(path / VECTORS, dtype="<f4", mode="r", shape=(self.rows, embed_dim))
            if self.rows
            else np.empty((0, embed_dim), np.float32)
        )
        # kept open: the graph is read at the first search, when a publisher may have removed its name
        self.graph_file = (path / GRAPH).open("rb") if GRAPH in ref.files else None

    def __del__(self) -> None:
        if (file := getattr(self, "graph_file", None)) is not None:
            file.close()

    @cached_property
    def row_slots(self) -> Int64:
        """The slot of each row, ascending."""
        return np.repeat(self.slot_starts - self.row_starts, self.counts) + np.arange(self.rows, dtype=np.int64)

    def rows_of(self, by_slot: Bools) -> Bools:
        """What `by_slot` says of each row, [rows]; without a copy while no slot in between has been dropped."""
        if self.rows == self.slot_end - self.slot_start:
            return by_slot[self.slot_start : self.slot_end]
        return by_slot[self.row_slots]

    @cached_property
    def position_of(self) -> dict[int, int]:
        """Version id → its place in the arrays."""
        return {int(version): i for i, version in enumerate(self.ids)}

    def version_at(self, slots: Int64) -> Int64:
        """The place in the arrays of the version that holds each slot; -1 where none does."""
        if not len(self.ids):
            return np.full(len(slots), -1, np.int64)
        at = np.searchsorted(self.slot_starts, slots, side="right") - 1
        # versions without chunks share the next one's start: the rightmost of them is the one with rows
        inside = (at >= 0) & (slots < self.slot_starts[at] + self.counts[at])
        return np.where(inside, at, -1)

    def row(self, i: int, known: Retirements) -> VersionRow:
        """The `i`-th version, with what has happened to it since."""
        version = int(self.ids[i])
        return VersionRow(
            version,
            int(self.slot_starts[i]),
            int(self.counts[i]),
            int(self.valid_from[i]),
            min(int(self.valid_to[i]), known.retired.get(version, FOREVER)),
            bool(self.deleted[i]) or version in known.deleted,
            int(self.terms[i]),
            int(self.crcs[i]),
        )

    def block(self, i: int) -> Float32:
        """The vectors of the `i`-th version, [chunks, embed_dim]."""
        start = int(self.row_starts[i])
        return self.vectors[start : start + int(self.counts[i])]


def crc_of(vectors: Float32) -> int:
    return zlib.crc32(np.ascontiguousarray(vectors, dtype="<f4").data)


def write_segment(
    parent: Path,
    name: str,
    versions: Iterable[tuple[VersionRow, Float32]],
    *,
    add_files: Callable[[Path], Sequence[str]] = lambda _: (),
) -> SegmentRef:
    """Writes and fsyncs `parent/name` from versions in slot order; `add_files` may put more into it and names them."""
    path = parent / name
    path.mkdir(parents=True)
    rows: list[VersionRow] = []
    with (path / VECTORS).open("wb") as file:
        for row, vectors in versions:
            rows.append(row)
            file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        file.flush()
        os.fsync(file.fileno())
    table = [
        [r.version_id, r.slot_start, r.chunks, r.valid_from, r.valid_to, int(r.deleted), r.terms, r.crc] for r in rows
    ]
    write_fsynced(path / VERSIONS, json.dumps({"versions": table}).encode())
    more = add_files(path)
    fsync_directory(path)
    fsync_directory(parent)
    files = {VECTORS: FileRef((path / VECTORS).stat().st_size)}
    for file_name in (VERSIONS, *more):
        files[file_name] = FileRef((path / file_name).stat().st_size, sha256_of(path / file_name))
    start = rows[0].slot_start if rows else 0
    end = rows[-1].slot_start + rows[-1].chunks if rows else 0
    return SegmentRef(name, sum(r.chunks for r in rows), start, end, files)


def scrub(path: Path, versions: frozenset[int]) -> int:
    """Overwrites the vectors of `versions` in the segment at `path` with zeros, through to the disk; returns the rows.

    The one exception to a segment's being immutable: what was deleted must not wait for a compaction.
    """
    content = json.loads((path / VERSIONS).read_bytes())["versions"]
    total = sum(row[2] for row in content)
    if not total or not any(row[0] in versions for row in content):
        return 0
    row_bytes = (path / VECTORS).stat().st_size // total
    at = erased = 0
    with (path / VECTORS).open("r+b") as file:
        for version, _, chunks, *_ in content:
            if version in versions:
                file.seek(at * row_bytes)
                file.write(bytes(chunks * row_bytes))
                erased += chunks
            at += chunks
        file.flush()
        os.fsync(file.fileno())
    return erased


def write_retirements(parent: Path, name: str, entries: Retirements) -> RetiredRef:
    """Writes and fsyncs `parent/name.json`."""
    parent.mkdir(exist_ok=True)
    path = parent / f"{name}.json"
    body: dict[str, Any] = {"retired": sorted(entries.retired.items()), "deleted": sorted(entries.deleted)}
    write_fsynced(path, json.dumps(body).encode())
    fsync_directory(parent)
    count = len(entries.retired) + len(entries.deleted)
    return RetiredRef(name, count, FileRef(path.stat().st_size, sha256_of(path)))


def read_retirements(parent: Path, ref: RetiredRef) -> Retirements:
    """What `write_retirements` wrote under `ref`."""
    body = json.loads((parent / f"{ref.name}.json").read_bytes())
    return Retirements({int(v): int(t) for v, t in body["retired"]}, frozenset(body["deleted"]))
