"""Hybrid retrieval: every query through every retriever, fused by reciprocal rank (RAG-Fusion)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.errors import AttestError, Cancelled, InvalidInput, Unavailable
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.protocols import Encoder, Float32
from app.retrieval.dense import check_encoder, cosines, search_dense
from app.retrieval.fusion import reciprocal_rank_fusion
from app.retrieval.lexical import search_lexical
from app.retrieval.statistics import SnapshotStatistics
from app.retrieval.views import Key, Place, Ranking, View, open_views
from app.telemetry import Trace
from app.types import Hit, Query, RetrievalOptions

# What torch, FAISS and tantivy raise when they break. A wrong argument of the caller's is not among them.
_BREAKDOWNS = (AttestError, RuntimeError, OSError, ValueError, MemoryError)


FEEDBACK_CHUNKS = 5


@dataclass(frozen=True, slots=True)
class Look:
    """What the original question found in a first look: its rankings (empty where a retriever was not asked), the
    texts of the best chunks after fusion, what terms weigh there, and how many milliseconds the searching took.
    """

    texts: Sequence[str]
    statistics: SnapshotStatistics
    dense: Ranking = field(default_factory=list)
    lexical: Ranking = field(default_factory=list)
    ms: float = 0.0


Expand = Callable[[Look], Sequence[Query]]
"""A first look → further queries."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """`hits` in RRF order; `generations[collection]` is what was searched; `statistics` belongs to it."""

    hits: tuple[Hit, ...]
    generations: Mapping[str, int]
    statistics: SnapshotStatistics


@dataclass(frozen=True, slots=True)
class _Found:
    """One retriever's rankings, one a query; None where it was not asked or broke down."""

    dense: list[Ranking] | None
    lexical: list[Ranking] | None
    vectors: Float32 | None
    places: Mapping[Key, Place]

    def joined(self, more: _Found) -> _Found:
        """What two rounds of queries found; the vectors stay those of the first, the original's among them."""
        dense = [*(self.dense or ()), *(more.dense or ())] if self.dense is not None else None
        lexical = [*(self.lexical or ()), *(more.lexical or ())] if self.lexical is not None else None
        return _Found(dense, lexical, self.vectors, {**self.places, **more.places})


class HybridRetriever:
    """Dense and BM25 search over the same generation of each collection. Stateless: threads may share it."""

    def __init__(self, catalog: Catalog, store: IndexStore, encoder: Encoder) -> None:
        self._catalog = catalog
        self._store = store
        self._encoder = encoder

    def search(
        self,
        queries: Sequence[Query],
        *,
        collections: Sequence[str],
        filters: Mapping[str, Mapping[str, Any]],
        as_of: datetime | None,
        options: RetrievalOptions,
        trace: Trace,
        expand: Expand | None = None,
    ) -> Retrieved:
        """The best `options.top_k` chunks over every query, retriever and collection.

        Filters and `as_of` bind before each retriever's cut. A retriever that breaks down is left out, and the trace
        says so. Scores: `bm25` the highest over the queries, `cosine` with the first query whichever retriever found
        the chunk, `rrf` the fused one; ranks are the best over the queries.

        Args:
            queries: the first is the original question, the others its translations.
            collections: names; repeats count once.
            filters: `{field: {operator: value}}`; empty for none.
            as_of: versions valid at that time instead of the current ones.
            options: which retrievers, how deep, and `rrf_k`.
            trace: receives the stages open, embed, dense, lexical, fuse and fetch.
            expand: after a first look with `queries`, gives more of them, asked of the same generation; what was found
                already is kept and not asked again.

        Raises:
            InvalidInput: no query, no retriever asked for, `top_k` below 1, or a wrong filter.
            NotFound: an unknown collection.
            Unavailable: every retriever asked for broke down.
            Cancelled: the caller went away.
        """
        _check(queries, collections, options)
        with trace.stage("open") as stage:
            views = open_views(self._catalog, self._store, collections, filters, as_of)
            stage.detail["allowed"] = {view.collection: _allowed(view) for view in views}
        if options.late_interaction:
            trace.warnings.append("late interaction is not built into this version; dense and BM25 were used")
        started = time.perf_counter()
        found = self._find(queries, views, options, trace)
        look_ms = 1_000 * (time.perf_counter() - started)
        statistics = SnapshotStatistics([view.snapshot for view in views])
        if expand is not None:
            dense, lexical = (rankings[0] if rankings else [] for rankings in (found.dense, found.lexical))
            look = Look(self._feedback(found, options), statistics, dense, lexical, look_ms)
            if more := expand(look):
                found = found.joined(self._find(more, views, options, trace))
        with trace.stage("fuse", rrf_k=options.rrf_k) as stage:
            rankings = [*(found.dense or ()), *(found.lexical or ())]
            fused = reciprocal_rank_fusion([[key for key, _ in ranking] for ranking in rankings], options.rrf_k)
            stage.detail.update(rankings=len(rankings), candidates=len(fused))
        with trace.stage("fetch") as stage:
            hits = self._hits(fused[: options.top_k], views, found)
            # Deleted between the search and this query: rightly not shown, yet said.
            stage.detail.update(hits=len(hits), vanished=min(len(fused), options.top_k) - len(hits))
        return Retrieved(
            hits,
            {view.collection: view.snapshot.generation for view in views},
            statistics,
        )

    def _feedback(self, found: _Found, options: RetrievalOptions) -> list[str]:
        """The texts of the best chunks so far, best first."""
        rankings = [[key for key, _ in ranking] for ranking in (*(found.dense or ()), *(found.lexical or ()))]
        best = [key for key, _ in reciprocal_rank_fusion(rankings, options.rrf_k)[:FEEDBACK_CHUNKS]]
        chunks = self._catalog.get_chunks(best)
        return [chunks[key].text for key in best if key in chunks]

    def _find(self, queries: Sequence[Query], views: Sequence[View], options: RetrievalOptions, trace: Trace) -> _Found:
        texts = [query.text for query in queries]
        vectors: Float32 | None = None
        dense: list[Ranking] | None = None
        lexical: list[Ranking] | None = None
        errors: list[str] = []
        places: dict[Key, Place] = {}
        if options.dense:
            try:
                with trace.stage("embed", queries=len(texts)):
                    check_encoder(views, self._encoder.name)
                    vectors = self._encoder.encode_queries(texts)
                with trace.stage("dense", top_k=options.top_k) as stage:
                    dense = search_dense(views, vectors, options.top_k, places)
                    stage.detail["hits"] = [len(ranking) for ranking in dense]
            except Cancelled:
                raise
            except _BREAKDOWNS as error:
                errors.append(_degrade("dense", error, trace))
        if options.lexical:
            try:
                with trace.stage("lexical", top_k=options.top_k) as stage:
                    lexical = search_lexical(views, texts, options.top_k, places)
                    stage.detail["hits"] = [len(ranking) for ranking in lexical]
            except Cancelled:
                raise
            except _BREAKDOWNS as error:
                errors.append(_degrade("lexical", error, trace))
        if dense is None and lexical is None:
            raise Unavailable(f"no retriever works: {'; '.join(errors)}")
        return _Found(dense, lexical, vectors if dense is not None else None, places)

    def _hits(self, fused: Sequence[tuple[Key, float]], views: Sequence[View], found: _Found) -> tuple[Hit, ...]:
        keys = [key for key, _ in fused]
        chunks = self._catalog.get_chunks(keys)
        cosine = cosines(views, keys, found.vectors[0], found.places) if found.vectors is not None else {}
        bm25, bm25_ranks = _best(found.lexical)
        _, cosine_ranks = _best(found.dense)
        hits: list[Hit] = []
        for key, rrf_score in fused:
            if key not in chunks:
                continue
            scores = {"cosine": cosine.get(key), "bm25": bm25.get(key), "rrf": rrf_score}
            ranks = {"cosine": cosine_ranks.get(key), "bm25": bm25_ranks.get(key), "rrf": len(hits) + 1}
            hits.append(
                Hit(
                    chunks[key],
                    {name: score for name, score in scores.items() if score is not None},
                    {name: rank for name, rank in ranks.items() if rank is not None},
                )
            )
        return tuple(hits)


def _check(queries: Sequence[Query], collections: Sequence[str], options: RetrievalOptions) -> None:
    if not queries or not all(query.text.strip() for query in queries):
        raise InvalidInput("queries must hold at least one, and none may be blank: ask a question in words")
    if not collections:
        raise InvalidInput("collections is empty: name at least one (`default` always exists)")
    if not (options.dense or options.lexical):
        raise InvalidInput("retrieval.dense and retrieval.lexical are both false: switch at least one on")
    if options.top_k < 1:
        raise InvalidInput(f"retrieval.top_k is {options.top_k}: it must be at least 1")


def _best(rankings: Sequence[Ranking] | None) -> tuple[dict[Key, float], dict[Key, int]]:
    """The highest score and the best rank of each key over the rankings."""
    scores: dict[Key, float] = {}
    ranks: dict[Key, int] = {}
    for ranking in rankings or ():
        for rank, (key, score) in enumerate(ranking, start=1):
            scores[key] = max(score, scores.get(key, score))
            ranks[key] = min(rank, ranks.get(key, rank))
    return scores, ranks


def _degrade(retriever: str, error: BaseException, trace: Trace) -> str:
    # An AttestError is written for the caller; another error's message may name paths, so only its type is told.
    reason = error.message if isinstance(error, AttestError) else type(error).__name__
    warning = f"{retriever} retrieval failed ({reason}); the other retriever went on alone"
    trace.warnings.append(warning)
    return f"{retriever}: {reason}"


def _allowed(view: View) -> str:
    return "current" if view.mask is None else "masked"
