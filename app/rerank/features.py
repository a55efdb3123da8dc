"""The reranker's features: one builder for training and serving.

Everything is computed from the question, the hits and the corpus statistics, never from an engine's own BM25, so that a
model means the same over tantivy, rank-bm25 or any other index. Most features are relative to the query's own list or
bounded: what holds on one collection shall hold on the next. Features that are equal for the whole list (its top
cosine, the question's length) were tried and left out: they tell collections apart rather than passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from app.protocols import Float32
from app.rerank.expansion import expansion_scores
from app.rerank.passages import PASSAGE_FEATURES, QueryWeights, passage_row
from app.rerank.terms import read_chunk, read_query
from app.types import Hit

RRF_K = 60

LIST_FEATURES = (
    "bm25_z",
    "bm25_to_top",
    "bm25_rank",
    "cosine",
    "cosine_z",
    "cosine_to_top",
    "cosine_rank",
    "rrf",
    "rrf_to_top",
    "coverage_to_top",
    "window_to_top",
    "expansion_z",
    "expansion_to_top",
)

FEATURES: tuple[str, ...] = (*PASSAGE_FEATURES, *LIST_FEATURES)
"""Names in column order. A model trained on other names is refused."""


class CorpusStatistics(Protocol):
    """What a term weighs in the collections searched: a snapshot of the index, or the corpus of a trainer."""

    @property
    def avgdl(self) -> float:
        """Mean chunk length in index terms."""

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        """BM25's inverse document frequency of each term."""


def build(query: str, hits: Sequence[Hit], statistics: CorpusStatistics) -> Float32:
    """`[n, len(FEATURES)]` float32, one row a hit in the order given; NaN where a feature does not apply.

    Args:
        query: the original question.
        hits: the whole candidate list: ranks, maxima and means are taken over it.
        statistics: of the collections that the hits come from.
    """
    if not hits:
        return np.empty((0, len(FEATURES)), dtype=np.float32)
    asked = read_query(query)
    chunks = [read_chunk(hit.chunk) for hit in hits]
    idf = statistics.idf(asked.terms) if asked.terms else {}
    weights = QueryWeights.of(asked, idf, statistics.avgdl)
    rows = np.array(
        [passage_row(weights, chunk, hit.chunk.ordinal) for hit, chunk in zip(hits, chunks, strict=True)],
        dtype=np.float64,
    )
    passage = dict(zip(PASSAGE_FEATURES, rows.T, strict=True))
    cosine = np.array([hit.scores.get("cosine", np.nan) for hit in hits])
    bm25_rank, cosine_rank = _ranks(passage["bm25"]), _ranks(cosine)
    rrf = np.nan_to_num(1 / (RRF_K + bm25_rank)) + np.nan_to_num(1 / (RRF_K + cosine_rank))
    expansion = expansion_scores(chunks, rrf)
    columns = {
        "bm25_z": _z(passage["bm25"]),
        "bm25_to_top": _to_top(passage["bm25"]),
        "bm25_rank": np.log2(1 + bm25_rank),
        "cosine": cosine,
        "cosine_z": _z(cosine),
        "cosine_to_top": cosine - np.nanmax(cosine) if not np.isnan(cosine).all() else cosine,
        "cosine_rank": np.log2(1 + cosine_rank),
        "rrf": rrf,
        "rrf_to_top": _to_top(rrf),
        "coverage_to_top": _to_top(passage["coverage"]),
        "window_to_top": _to_top(passage["window_coverage"]),
        "expansion_z": _z(expansion),
        "expansion_to_top": _to_top(expansion),
    }
    listed = np.stack([columns[name] for name in LIST_FEATURES], axis=1)
    return np.concatenate([rows, listed], axis=1).astype(np.float32)


def _ranks(scores: np.ndarray) -> np.ndarray:
    """1-based ranks by falling score, equal scores sharing their mean rank; NaN stays NaN."""
    known = ~np.isnan(scores)
    ranks = np.full(len(scores), np.nan)
    values, inverse, counts = np.unique(-scores[known], return_inverse=True, return_counts=True)
    if len(values):
        last = np.cumsum(counts)
        ranks[known] = (last - (counts - 1) / 2)[inverse]
    return ranks


def _z(scores: np.ndarray) -> np.ndarray:
    if np.isnan(scores).all():
        return scores
    spread = np.nanstd(scores)
    return (scores - np.nanmean(scores)) / spread if spread > 1e-9 else np.where(np.isnan(scores), np.nan, 0.0)


def _to_top(scores: np.ndarray) -> np.ndarray:
    top = scores.max()
    return scores / top if top > 0 else np.zeros_like(scores)
