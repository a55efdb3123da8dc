"""Our BM25 engines against rank-bm25 and against the formula, on random collections."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rank_bm25

from app.index.lexicon import TantivyLexicon
from app.index.rank_lexicon import RankBm25Lexicon, Variant


def corpus(rows: int = 120, vocabulary: int = 60, seed: int = 0) -> list[list[str]]:
    """Documents of 1 to 38 Zipf-like terms: up to 40, tantivy keeps lengths exactly."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, vocabulary + 1)
    weights /= weights.sum()
    return [[f"t{w}" for w in rng.choice(vocabulary, rng.integers(1, 39), p=weights)] for _ in range(rows)]


def queries(seed: int = 1) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [[f"t{w}" for w in rng.integers(0, 60, rng.integers(1, 6))] for _ in range(20)]


@pytest.mark.parametrize(
    ("variant", "oracle"), [("okapi", rank_bm25.BM25Okapi), ("l", rank_bm25.BM25L), ("plus", rank_bm25.BM25Plus)]
)
def test_the_rank_bm25_engine_gives_rank_bm25s_scores(tmp_path: Path, variant: Variant, oracle: type) -> None:
    documents = corpus()
    lexicon = RankBm25Lexicon.create(tmp_path / "l", variant)
    with lexicon.writer() as writer:
        writer.add((slot, slot // 3, terms) for slot, terms in enumerate(documents))
        writer.commit()
    reader, model = lexicon.reader(), oracle(documents)
    for query in queries():
        scores = model.get_scores(query)
        matching = [i for i, terms in enumerate(documents) if set(terms) & set(query)]
        expected = sorted(matching, key=lambda i: (-scores[i], i))[:10]
        found = reader.search(query, 10, None)
        assert [hit.slot for hit in found] == expected
        assert [hit.score for hit in found] == pytest.approx([scores[i] for i in expected])


def okapi(documents: list[list[str]], query: list[str], k1: float, b: float) -> np.ndarray:
    """Robertson's BM25 with the idf that is never negative."""
    avgdl = sum(map(len, documents)) / len(documents)
    scores = np.zeros(len(documents))
    for term in query:
        df = sum(term in terms for terms in documents)
        idf = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
        for i, terms in enumerate(documents):
            tf = terms.count(term)
            scores[i] += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(terms) / avgdl))
    return scores


def test_tantivy_gives_the_formulas_scores(tmp_path: Path) -> None:
    documents = corpus()
    lexicon = TantivyLexicon.create(tmp_path / "l")
    with lexicon.writer() as writer:
        writer.add((slot, slot // 3, terms) for slot, terms in enumerate(documents))
        writer.commit()
    reader = lexicon.reader()
    for query in queries():
        scores = okapi(documents, query, 1.2, 0.75)
        found = reader.search(query, len(documents), None)
        assert {hit.slot for hit in found} == set(np.flatnonzero(scores > 0).tolist())
        assert [hit.score for hit in found] == pytest.approx([scores[hit.slot] for hit in found], rel=1e-5)


def test_tantivy_ranks_as_rank_bm25_does_with_the_same_idf(tmp_path: Path) -> None:
    """rank-bm25's idf may be negative for common terms; with ours put in, its ranking is tantivy's."""
    documents = corpus(seed=5)
    lexicon = TantivyLexicon.create(tmp_path / "l")
    with lexicon.writer() as writer:
        writer.add((slot, slot, terms) for slot, terms in enumerate(documents))
        writer.commit()
    reader = lexicon.reader()
    model = rank_bm25.BM25Okapi(documents, k1=1.2, b=0.75)
    for term in model.idf:
        df = reader.document_frequency(term)
        model.idf[term] = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
    for query in queries(6):
        scores = model.get_scores(query)
        found = reader.search(query, 10, None)
        assert [hit.score for hit in found] == pytest.approx(sorted(scores[scores > 0], reverse=True)[:10], rel=1e-5)
