"""Lexical retrieval: BM25 over the terms of the index's analyser."""

from __future__ import annotations

from collections.abc import Sequence

from app.retrieval.views import Key, Place, Ranking, View, merge


def search_lexical(views: Sequence[View], texts: Sequence[str], top_k: int, places: dict[Key, Place]) -> list[Ranking]:
    """One ranking a query by BM25 score; a query without an index term finds nothing."""
    return merge(
        views,
        lambda view: view.snapshot.search_lexical(texts, top_k, view.mask),
        queries=len(texts),
        top_k=top_k,
        places=places,
    )
