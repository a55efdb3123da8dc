"""Relevance of a caller's own texts to a query: the shipped model over a list that no index holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from app.index.analysis import analyze
from app.protocols import Encoder, Float32
from app.rerank.ranker import Ranker
from app.types import Hit, StoredChunk


class TextStatistics:
    """Corpus statistics of the list itself: what a term weighs among the texts that compete."""

    def __init__(self, texts: Sequence[str]) -> None:
        terms = [analyze(text) for text in texts]
        self._rows = len(terms)
        self._df = Counter(term for found in terms for term in set(found))
        self._avgdl = sum(map(len, terms)) / max(1, self._rows)

    @property
    def avgdl(self) -> float:
        return self._avgdl

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        """ln(1 + (N − df + ½) / (df + ½)). Source: Robertson and Zaragoza, 2009."""
        return {
            term: math.log(1 + (self._rows - self._df[term] + 0.5) / (self._df[term] + 0.5))
            for term in dict.fromkeys(terms)
        }


def score_texts(
    query: str, texts: Sequence[str], encoder: Encoder, ranker: Ranker | None, vectors: Float32 | None = None
) -> list[float]:
    """Relevance in [0, 1] of each text, in the order given: the logistic of the model's score, or without a model
    the cosine moved into [0, 1].

    Args:
        query: what the texts are ordered for.
        texts: at least one.
        encoder: gives the cosines, a feature of the model.
        ranker: None where reranking is off.
        vectors: [n, embed_dim], of the texts, where the caller has encoded them already.
    """
    if vectors is None:
        vectors = encoder.encode_passages(list(texts))
    cosines = (vectors @ encoder.encode_queries([query])[0]).tolist()
    if ranker is None:
        return [min(1.0, max(0.0, (1 + cosine) / 2)) for cosine in cosines]
    hits = [
        Hit(StoredChunk.of_text(text, f"text-{ordinal}", ordinal=ordinal), {"cosine": cosines[ordinal]})
        for ordinal, text in enumerate(texts)
    ]
    scored = ranker.rerank(query, hits, TextStatistics(texts))
    logits = {hit.chunk.ordinal: hit.scores["rerank"] for hit in scored}
    return [1 / (1 + math.exp(-max(-60.0, min(60.0, logits[ordinal])))) for ordinal in range(len(texts))]
