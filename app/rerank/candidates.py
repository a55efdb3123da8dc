"""Judged candidate lists for training and evaluation, made by the index, the encoder and the features that serve."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from app.index.generations import IndexStore, PreparedVersion, Snapshot
from app.protocols import Encoder, Float32
from app.rerank.collections import Collection, Document
from app.rerank.features import RRF_K, build
from app.types import Hit, ScoredSlot, StoredChunk

Int64 = npt.NDArray[np.int64]
CUT = 10
DEPTH = 50
"""`RetrievalOptions.top_k`: a reranker is best at the lists that it was trained on."""


@dataclass(frozen=True, slots=True)
class JudgedList:
    """One query's candidates in RRF order (ties by slot).

    `features` [n, f]; `grades` [n], 0 for irrelevant; `ideal` are all positive grades of the query, falling, those that
    no retriever found included; `first_stage` is nDCG@10 of BM25, of dense search and of their RRF, uncut by the list.
    """

    features: Float32
    grades: Int64
    ideal: tuple[float, ...]
    first_stage: tuple[float, float, float]


def ndcg(grades: npt.ArrayLike, ideal: Sequence[float], k: int = CUT) -> float:
    """nDCG@k with linear gains of grades in ranked order against all positive grades of the query, falling."""
    found = np.asarray(grades, dtype=np.float64)[:k]
    best = np.asarray(ideal, dtype=np.float64)[:k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    return float(found @ discounts[: len(found)] / (best @ discounts[: len(best)]))


def judged_lists(
    collection: Collection, encoder: Encoder, *, depth: int = DEPTH, cache_dir: Path | None = None
) -> list[JudgedList]:
    """One list for each query that has a candidate: the best `depth` of the best `depth` of either retriever, fused.

    Args:
        collection: with its judgements.
        encoder: of documents and queries.
        depth: of each retriever, and of the fused list, as in service.
        cache_dir: keeps embeddings between runs; None embeds anew.
    """
    documents, queries = collection.documents, [text for _, text in collection.queries]
    texts = [document.embedding_text for document in documents]
    vectors = _embedded(encoder, "passages", texts, cache_dir)
    query_vectors = _embedded(encoder, "queries", queries, cache_dir)
    with TemporaryDirectory(prefix="attest-reranker-") as folder:
        store = IndexStore(
            Path(folder), encoder_name=encoder.name, embed_dim=encoder.embed_dim, exact_below=len(texts) + 1
        )
        index = store.collection(1)
        index.publish([PreparedVersion(1, collection.name, texts, vectors)], valid_from=datetime.now(UTC))
        snapshot = index.snapshot()
        dense = snapshot.search_dense(query_vectors, depth)
        lexical = snapshot.search_lexical(queries, depth)
        found = [
            _judged(collection, snapshot, query, vector, rows, depth)
            for query, vector, *rows in zip(collection.queries, query_vectors, dense, lexical, strict=True)
        ]
    return [judged for judged in found if judged is not None]


def _judged(
    collection: Collection,
    snapshot: Snapshot,
    query: tuple[str, str],
    vector: Float32,
    found: Sequence[Sequence[ScoredSlot]],
    depth: int,
) -> JudgedList | None:
    dense, lexical = ({row.slot: rank for rank, row in enumerate(rows, start=1)} for rows in found)
    rrf = {
        slot: sum(1 / (RRF_K + ranks[slot]) for ranks in (dense, lexical) if slot in ranks) for slot in dense | lexical
    }
    fused = sorted(rrf, key=lambda slot: (-rrf[slot], slot))
    if not fused:
        return None
    query_id, text = query
    grades = collection.qrels[query_id]
    document_of = {
        slot: collection.documents[ordinal] for slot, (_, ordinal) in zip(fused, snapshot.locate(fused), strict=True)
    }
    grade_of = {slot: grades.get(document.id, 0.0) for slot, document in document_of.items()}
    ideal = tuple(sorted(grades.values(), reverse=True))
    slots = fused[:depth]
    cosines = (snapshot.vectors(slots) @ vector).tolist()
    hits = [
        Hit(_chunk(collection.name, document_of[slot]), {"cosine": cosine})
        for slot, cosine in zip(slots, cosines, strict=True)
    ]
    bm25_score, dense_score, rrf_score = (
        ndcg([grade_of[slot] for slot in order], ideal) for order in (lexical, dense, fused)
    )
    return JudgedList(
        features=build(text, hits, snapshot),
        grades=np.array([round(grade_of[slot]) for slot in slots], dtype=np.int64),
        ideal=ideal,
        first_stage=(bm25_score, dense_score, rrf_score),
    )


def _chunk(collection: str, document: Document) -> StoredChunk:
    return StoredChunk.of_text(document.text, document.id, collection=collection, title=document.title)


def _embedded(encoder: Encoder, kind: str, texts: Sequence[str], cache_dir: Path | None) -> Float32:
    encode = encoder.encode_passages if kind == "passages" else encoder.encode_queries
    if cache_dir is None:
        return encode(texts)
    key = hashlib.sha256("\0".join([encoder.name, kind, *texts]).encode()).hexdigest()[:24]
    path = cache_dir / f"embeddings-{key}.npy"
    if path.is_file():
        cached: Float32 = np.load(path)
        return cached
    vectors = encode(texts)
    cache_dir.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, vectors)
    partial.replace(path)
    return vectors
