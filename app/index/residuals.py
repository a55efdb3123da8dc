"""What is left of deleted versions, counted on the files and in a search rather than believed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from app.errors import IntegrityError
from app.index.layout import Layout
from app.index.publication import Residual
from app.index.segments import VECTORS, VERSIONS
from app.index.snapshot import Snapshot

_LOOKS, _BETWEEN_S = 500, 0.01  # at a folder that lacks a file: removing or writing one takes milliseconds


def measure(layout: Layout, snapshot: Snapshot, versions: frozenset[int]) -> Residual:
    """Counts, over every segment folder on disk and a freshly opened BM25 reader, what remains of `versions`."""
    reader = snapshot.lexicon.reader() if snapshot.lexicon is not None else None
    postings = sum(reader.count_version(version) for version in versions) if reader is not None else 0
    ref = snapshot.manifest.lexicon
    erased_at_once = snapshot.lexicon is None or snapshot.lexicon.erases_at_once
    return Residual(
        vectors=_vectors_on_disk(layout, versions) + _reachable(snapshot, versions),
        postings=postings,
        bytes_due=ref is not None and ref.erasable > 0 and not erased_at_once,
    )


def _vectors_on_disk(layout: Layout, versions: frozenset[int]) -> int:
    """Rows of `versions` in any segment folder, of whatever generation, that hold anything but zeros."""
    return sum(_left_in(path, versions) for path in (layout.segments.iterdir() if layout.segments.exists() else ()))


def _left_in(path: Path, versions: frozenset[int]) -> int:
    """The same of one folder: 0 once another process, which publishes meanwhile, has removed it altogether."""
    for _ in range(_LOOKS):
        try:
            return _rows_left(path, versions)
        except FileNotFoundError:  # it is being removed, or written: it will be gone, or whole
            if not path.exists():
                return 0
            time.sleep(_BETWEEN_S)
    raise IntegrityError(
        f"what is left of deleted documents can not be counted: segment {path.name} lacks files; run `attest reindex`"
    )


def _rows_left(path: Path, versions: frozenset[int]) -> int:
    table = json.loads((path / VERSIONS).read_bytes())["versions"]
    rows = sum(row[2] for row in table)
    if not rows:
        return 0
    vectors = np.memmap(path / VECTORS, dtype="<f4", mode="r").reshape(rows, -1)
    left = at = 0
    for version, _, chunks, *_ in table:
        if version in versions:
            left += int(np.count_nonzero(vectors[at : at + chunks].any(axis=1)))
        at += chunks
    return left


def _reachable(snapshot: Snapshot, versions: frozenset[int]) -> int:
    """Rows of `versions` that a search without a filter could return."""
    mask = snapshot.mask(versions=set(versions))
    return mask.count if mask is not None else 0
