"""Calibrations of one collection's confidence, in the catalog, and the rated answers that they learn from.

A collection without an active one has the confidence of the shipped calibration. The numbers of a correction stand in
its `figures`; there are no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from app.index.catalog import Catalog
from app.index.identifiers import new_id
from app.index.promotions import SHIPPED, PromotionRecord, PromotionStore
from app.index.tables import answers, calibrations, feedback

__all__ = ["KIND", "SHIPPED", "CalibrationRecord", "CalibrationStore", "GivenAnswer", "new_calibration_id"]

KIND = "train_calibration"
CalibrationRecord = PromotionRecord
_PAGE = 500


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer that a collection alone gave.

    `confidence` is that of the shipped calibration, whose id is `calibration`. `votes` is the sum of the ratings of
    the answer as a whole; those of one of its chunks are about the chunk. `threshold` is the confidence that it needed.
    """

    question: str
    confidence: float
    calibration: str
    votes: int
    threshold: float


class CalibrationStore(PromotionStore):
    """Calibrations over a catalog's engine; each method is one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog, calibrations, "calibration")

    def correction(self, collection: str) -> Mapping[str, Any] | None:
        """The numbers of the collection's active correction; None where the shipped calibration serves."""
        row = self._serving(collection)
        return None if row is None else row["figures"]["correction"]

    def given(self, collection: str, check: Callable[[], None] = lambda: None) -> Iterator[GivenAnswer]:
        """Every answer with a calibrated confidence that was given from the collection alone; no refusals.

        Args:
            collection: its name.
            check: called before each page; raises to abandon.
        """
        votes = (
            select(feedback.c.answer_id, func.sum(feedback.c.rating).label("votes"))
            .where(feedback.c.chunk_id.is_(None))
            .group_by(feedback.c.answer_id)
            .subquery()
        )
        after = ""
        while True:
            check()
            statement = (
                select(answers.c.id, answers.c.question, answers.c.body, votes.c.votes)
                .outerjoin(votes, votes.c.answer_id == answers.c.id)
                .where(answers.c.id > after)
                .order_by(answers.c.id)
                .limit(_PAGE)
            )
            with self._catalog.reading() as connection:
                rows = connection.execute(statement).mappings().all()
            for row in rows:
                after, body = row["id"], row["body"]
                if (
                    list(body.get("collection_generation") or ()) == [collection]
                    and not body.get("abstained", True)
                    and body.get("confidence_kind") == "calibrated"
                    and body.get("calibration")
                ):
                    confidence, calibration = float(body["global_confidence"]), str(body["calibration"])
                    threshold = float(body.get("threshold") or 0.0)
                    yield GivenAnswer(row["question"], confidence, calibration, int(row["votes"] or 0), threshold)
            if len(rows) < _PAGE:
                return


def new_calibration_id() -> str:
    return new_id("cal")
