"""Rerankers trained on feedback, in the catalog, and the ratings that they learn from.

A collection without an active one is served by the shipped model. The models themselves are files; see `model_folder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from app.index.catalog import Catalog
from app.index.identifiers import new_id
from app.index.promotions import SHIPPED, PromotionRecord, PromotionStore
from app.index.tables import answers, feedback, rerankers

__all__ = ["KIND", "SHIPPED", "RatedAnswer", "RerankerRecord", "RerankerStore", "model_folder", "new_reranker_id"]

KIND = "train_reranker"
RerankerRecord = PromotionRecord
_PAGE = 500


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """One rating with what it was about: the chunk that it names, or those that the answer cites."""

    question: str
    rating: int
    chunk_id: str | None
    cited: tuple[str, ...]


def model_folder(home: Path, reranker_id: str) -> Path:
    """Where a reranker's `model.txt` and `SHA256SUMS` lie."""
    return home / "models" / "rerankers" / reranker_id


class RerankerStore(PromotionStore):
    """Rerankers over a catalog's engine; each method is one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog, rerankers, "reranker")

    def ratings(self, collection: str) -> Iterator[RatedAnswer]:
        """Every rating of an answer that was sought in the collection, oldest first."""
        after = 0
        while True:
            statement = (
                select(feedback.c.id, feedback.c.rating, feedback.c.chunk_id, answers.c.question, answers.c.body)
                .join(answers, answers.c.id == feedback.c.answer_id)
                .where(feedback.c.id > after)
                .order_by(feedback.c.id)
                .limit(_PAGE)
            )
            with self._catalog.reading() as connection:
                rows = connection.execute(statement).mappings().all()
            for row in rows:
                after = row["id"]
                if collection in (row["body"].get("collection_generation") or {}):
                    cited = tuple(
                        str(citation["chunk_id"])
                        for citation in row["body"].get("citations") or ()
                        if citation.get("chunk_id")
                    )
                    yield RatedAnswer(row["question"], row["rating"], row["chunk_id"], cited)
            if len(rows) < _PAGE:
                return


def new_reranker_id() -> str:
    return new_id("rrk")
