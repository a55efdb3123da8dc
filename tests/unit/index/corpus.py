"""Small made-up versions whose texts and vectors say which they are, for the tests of the index."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from app.index.generations import CollectionIndex, IndexStore, PreparedVersion

EMBED_DIM = 16
START = datetime(2024, 1, 1, tzinfo=UTC)


def day(n: int) -> datetime:
    return START + timedelta(days=n)


def own_word(version: int) -> str:
    """A word of this version alone, without digits, so that the analyser keeps it whole."""
    return "x" + "".join("bcdfghjklm"[int(digit)] for digit in str(version)) + "x"


def text_of(version: int, ordinal: int) -> str:
    return f"common {own_word(version)} {own_word(version * 1_000 + ordinal)}z"


def vector_of(version: int, ordinal: int) -> np.ndarray:
    vector = np.random.default_rng([version, ordinal]).standard_normal(EMBED_DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def prepared(version: int, chunks: int = 3, replaces: tuple[int, ...] = ()) -> PreparedVersion:
    vectors = [vector_of(version, i) for i in range(chunks)]
    return PreparedVersion(
        version,
        f"d{version}",
        [text_of(version, i) for i in range(chunks)],
        np.array(vectors, np.float32).reshape(chunks, EMBED_DIM),
        replaces,
    )


def publish(index: CollectionIndex, *versions: PreparedVersion, on: int = 0) -> int:
    return index.publish(versions, valid_from=day(on))


def texts(version_ids: Sequence[int], chunks: int = 3) -> dict[tuple[int, int], str]:
    return {(v, i): text_of(v, i) for v in version_ids for i in range(chunks)}


def store(root: Path, **changes: Any) -> IndexStore:
    return IndexStore(root, **({"encoder_name": "fake", "embed_dim": EMBED_DIM, "exact_below": 1_000} | changes))


def lexical(index: CollectionIndex, query: str = "common", top_k: int = 1_000) -> set[tuple[int, int]]:
    snapshot = index.snapshot()
    return set(snapshot.locate([hit.slot for hit in snapshot.search_lexical([query], top_k)[0]]))


def dense(index: CollectionIndex, top_k: int = 1_000) -> set[tuple[int, int]]:
    snapshot = index.snapshot()
    return set(snapshot.locate([hit.slot for hit in snapshot.search_dense(vector_of(0, 0)[None], top_k)[0]]))


def chunks_of(*versions: int, chunks: int = 3) -> set[tuple[int, int]]:
    return {(v, i) for v in versions for i in range(chunks)}
