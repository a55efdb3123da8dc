"""Index cost against size: publishing one document, searching, opening, building the graph, recall.

`python benchmarks/index_scale.py --chunks 1000 100000` prints a table per size. Vectors are random unit vectors in
clusters; texts have words with Zipf frequencies. Everything happens in a temporary directory.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from app.index.generations import CollectionIndex, IndexStore, PreparedVersion
from app.index.lexicon import Engine
from app.index.masks import SlotMask
from app.index.segments import Float32
from app.types import ScoredSlot

CHUNKS_PER_DOCUMENT = 10
BATCH_DOCUMENTS = 250
QUERIES = 200
TOP_K = 50
START = datetime(2024, 1, 1, tzinfo=UTC)


class Corpus:
    """Clustered unit vectors and Zipf texts, the same for the same seed."""

    def __init__(self, embed_dim: int, words: int = 120, vocabulary: int = 50_000, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._centres = self._rng.standard_normal((500, embed_dim)).astype(np.float32)
        weights = 1.0 / np.arange(1, vocabulary + 1)
        self._weights = np.cumsum(weights / weights.sum())
        syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
        letters = self._rng.integers(0, len(syllables), (vocabulary, 4))
        self._vocabulary = np.array(["".join(syllables[i] for i in row) for row in letters])
        self._words = words

    def vectors(self, n: int) -> Float32:
        near = self._centres[self._rng.integers(0, len(self._centres), n)]
        points = near + 0.9 * self._rng.standard_normal(near.shape).astype(np.float32)
        unit: Float32 = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def texts(self, n: int, words: int | None = None) -> list[str]:
        picked = np.searchsorted(self._weights, self._rng.random((n, words or self._words)))
        return [" ".join(self._vocabulary[row]) for row in np.minimum(picked, len(self._vocabulary) - 1)]

    def document(self, version_id: int) -> PreparedVersion:
        texts = self.texts(CHUNKS_PER_DOCUMENT)
        return PreparedVersion(version_id, f"d{version_id}", texts, self.vectors(len(texts)))


@dataclass(frozen=True)
class Cost:
    """Wall time, and processor time of all threads: the fairer of the two on a machine with other work."""

    wall_ms: float
    cpu_ms: float


def cost(action: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Cost((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3)


def milliseconds(action: Callable[[], object]) -> float:
    return cost(action).wall_ms


def p50_p95(costs: list[Cost]) -> str:
    wall = sorted(c.wall_ms for c in costs)
    cpu = sorted(c.cpu_ms for c in costs)
    late = int(0.95 * (len(wall) - 1))
    return f"{statistics.median(wall):.2f} / {wall[late]:.2f}   (cpu {statistics.median(cpu):.2f} / {cpu[late]:.2f})"


def fill(index: CollectionIndex, corpus: Corpus, chunks: int) -> Iterator[float]:
    documents = chunks // CHUNKS_PER_DOCUMENT
    for first in range(0, documents, BATCH_DOCUMENTS):
        batch = [corpus.document(v) for v in range(first, min(documents, first + BATCH_DOCUMENTS))]
        yield milliseconds(lambda: index.publish(batch, valid_from=START))  # noqa: B023 - called at once


def recall(found: list[list[ScoredSlot]], exact: list[list[ScoredSlot]]) -> float:
    pairs = zip(found, exact, strict=True)
    return statistics.mean(len({h.slot for h in f} & {h.slot for h in e}) / max(1, len(e)) for f, e in pairs)


def exact_search(index: CollectionIndex, queries: Float32, top_k: int, mask: SlotMask | None) -> list[list[ScoredSlot]]:
    snapshot = index.snapshot()
    slots = np.concatenate([opened.segment.row_slots for opened in snapshot.segments])
    if mask is not None:
        slots = slots[mask.allowed[slots]]
    scores = queries @ snapshot.vectors(slots.tolist()).T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return [[ScoredSlot(int(slots[i]), float(row[i])) for i in order] for row, order in zip(scores, best, strict=True)]


def measure(chunks: int, embed_dim: int, engine: Engine, exact_below: int) -> None:
    corpus = Corpus(embed_dim)
    with tempfile.TemporaryDirectory() as folder:

        def store() -> IndexStore:
            return IndexStore(
                Path(folder), encoder_name="random", embed_dim=embed_dim, lexicon_engine=engine, exact_below=exact_below
            )

        index = store().collection(1)
        filling = sum(fill(index, corpus, chunks))
        rows = {"fill, ms per 1,000 chunks": f"{filling / chunks * 1e3:.0f}"}
        segments = len(index.snapshot().segments)
        compacting = cost(index.compact)
        rows["compact, s"] = f"{compacting.wall_ms / 1e3:.1f} (cpu {compacting.cpu_ms / 1e3:.1f}; {segments} segments)"
        fresh = store().collection(1)
        rows["open, ms"] = (
            f"{milliseconds(fresh.snapshot):.1f}, vectors and graph {milliseconds(fresh.snapshot().warm):.0f}"
        )

        reader = fresh  # another process's view: it opens what `index` publishes
        publishing, opening = [], []
        for i in range(40):
            document = corpus.document(10_000_000 + i)
            publishing.append(cost(lambda: index.publish([document], valid_from=START)))  # noqa: B023
            opening.append(cost(lambda: reader.snapshot().warm()))
        rows["publish one document, ms p50 / p95"] = p50_p95(publishing)
        rows["open the generation after it, ms"] = p50_p95(opening)

        snapshot = reader.snapshot()
        queries, texts = corpus.vectors(QUERIES), corpus.texts(QUERIES, words=8)
        documents = sorted({v for v, _ in snapshot.locate([h.slot for h in snapshot.search_dense(queries, 50)[0]])})
        every = np.concatenate([opened.segment.ids for opened in snapshot.segments])
        masks = {
            "all": None,
            "half": snapshot.mask(versions=set(every[::2].tolist())),
            "a tenth": snapshot.mask(versions=set(every[::10].tolist())),
            "a hundredth": snapshot.mask(versions=set(every[::100].tolist())),
            f"{len(documents)} documents": snapshot.mask(versions=set(documents)),
        }
        rows["mask of half the versions, ms"] = (
            f"{milliseconds(lambda: snapshot.mask(versions=set(every[::2].tolist()))):.1f}"
        )
        for name, mask in masks.items():
            dense = [cost(partial(snapshot.search_dense, q[None], TOP_K, mask)) for q in queries]
            lexical = [cost(partial(snapshot.search_lexical, [t], TOP_K, mask)) for t in texts]
            rows[f"dense top {TOP_K}, allowed: {name}, ms"] = p50_p95(dense)
            rows[f"lexical top {TOP_K}, allowed: {name}, ms"] = p50_p95(lexical)
            got = snapshot.search_dense(queries, 10, mask)
            rows[f"recall@10, allowed: {name}"] = f"{recall(got, exact_search(reader, queries, 10, mask)):.4f}"
        rows["delete one document, ms"] = f"{milliseconds(lambda: index.delete([10_000_003])):.1f}"
        print(f"\n{chunks:,} chunks of {embed_dim} dimensions, engine {engine}")
        width = max(map(len, rows))
        for name, value in rows.items():
            print(f"  {name:<{width}}  {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--embed-dim", type=int, default=384)
    parser.add_argument("--engine", choices=["tantivy", "rank_bm25"], default="tantivy")
    parser.add_argument("--exact-below", type=int, default=20_000)
    arguments = parser.parse_args()
    for chunks in arguments.chunks:
        measure(chunks, arguments.embed_dim, arguments.engine, arguments.exact_below)


if __name__ == "__main__":
    main()
