"""Does the index on disk say what its manifest says?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import faiss as _faiss
import numpy as np

from app.errors import AttestError
from app.index.durable import file_lock, sha256_of
from app.index.layout import Layout
from app.index.manifest import FileRef
from app.index.segments import GRAPH, Segment, crc_of
from app.index.snapshot import Snapshot

faiss = _faiss


def problems(layout: Layout, open_current: Callable[[], Snapshot]) -> list[str]:
    """What is wrong with the published generation; reads every byte of it, under the writer lock."""
    if not layout.root.exists():
        return []
    with file_lock(layout.writer_lock):
        try:
            snapshot = open_current()
            return list(_problems(layout, snapshot))
        except AttestError as error:
            return [error.message]
        except FileNotFoundError as error:
            return [f"{Path(error.filename).name if error.filename else error} is missing"]


def _problems(layout: Layout, snapshot: Snapshot) -> Iterator[str]:
    manifest = snapshot.manifest
    for ref in manifest.retired:
        yield from _files(layout.retired, {f"{ref.name}.json": ref.file})
    slot_end = 0
    seen: set[int] = set()
    for segment_ref in manifest.segments:
        path = layout.segments / segment_ref.name
        damaged = list(_files(path, segment_ref.files))
        yield from damaged
        if damaged:
            continue
        segment = Segment(path, segment_ref, manifest.embed_dim)  # from the disk, not as the snapshot holds it
        for i, version in enumerate(segment.ids.tolist()):
            row = segment.row(i, snapshot.retirements)
            if version in seen:
                yield f"version {version} is in more than one segment"
            seen.add(version)
            if row.slot_start < slot_end:
                yield f"segment {segment.name}: version {version} shares slots with another"
            slot_end = max(slot_end, row.slot_start + row.chunks)
            if row.deleted and np.any(segment.block(i)):
                yield f"segment {segment.name}: vectors of the deleted version {version} are still there"
            if not row.deleted and crc_of(segment.block(i)) != row.crc:
                yield f"segment {segment.name}: vectors of version {version} do not match their checksum"
        if GRAPH in segment_ref.files:
            nodes = faiss.read_index(str(path / GRAPH), faiss.IO_FLAG_SKIP_STORAGE).ntotal
            if nodes != segment.rows:
                yield f"segment {segment.name}: the graph has {nodes} nodes for {segment.rows} rows"
    if slot_end > manifest.slot_end:
        yield f"slots reach {slot_end}, the manifest ends at {manifest.slot_end}"
    yield from _lexicon_problems(snapshot)


def _files(parent: Path, files: Mapping[str, FileRef]) -> Iterator[str]:
    for name, ref in files.items():
        path = parent / name
        where = f"{parent.name}/{name}"
        if not path.exists():
            yield f"{where} is missing"
        elif path.stat().st_size != ref.bytes:
            yield f"{where} has {path.stat().st_size} bytes, the manifest says {ref.bytes}"
        elif ref.sha256 is not None and sha256_of(path) != ref.sha256:
            yield f"{where} does not match its checksum"


def _lexicon_problems(snapshot: Snapshot) -> Iterator[str]:
    ref = snapshot.manifest.lexicon
    if ref is None or snapshot.lexicon is None:
        if snapshot.segments:
            yield "there are segments but no BM25 index"
        return
    reader = snapshot.lexicon.reader()
    expected = 0
    for opened in snapshot.segments:
        for i, version in enumerate(opened.segment.ids.tolist()):
            row = opened.segment.row(i, snapshot.retirements)
            wanted = 0 if row.deleted else row.chunks
            expected += wanted
            found = reader.count_version(version)
            if found != wanted:
                yield f"version {version} has {found} rows in the BM25 index, {wanted} in the segments"
    if ref.rows != expected:
        yield f"the manifest says {ref.rows} BM25 rows, the segments hold {expected}"
    stray = reader.rows - expected
    if stray > 0:
        yield f"{stray} rows in the BM25 index belong to no version: the next publication removes them"
