"""Rerankers trained on feedback, in the catalog: what was measured, which one serves each collection, and the way back.

A collection without an active one is served by the shipped model. The models themselves are files; see `model_folder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy import Connection, RowMapping, Select, bindparam, func, insert, select, update

from app.errors import Conflict, NotFound
from app.index import collections as collection_rows
from app.index.catalog import Catalog
from app.index.identifiers import new_id
from app.index.tables import answers, collections, feedback, rerankers

KIND = "train_reranker"
SHIPPED = "shipped"
Status = Literal["active", "superseded", "rolled_back", "rejected"]
_PAGE = 500
_ACTIVE = (  # made once: every reranked list asks it
    select(rerankers.c.id)
    .join(collections, collections.c.id == rerankers.c.collection_id)
    .where(collections.c.name == bindparam("collection"), rerankers.c.status == "active")
)


@dataclass(frozen=True, slots=True)
class RerankerRecord:
    """A reranker of one collection; `base` is the id of the one that it was trained from, None for the shipped."""

    id: str
    collection: str
    number: int
    status: Status
    reason: str
    figures: Mapping[str, Any]
    base: str | None
    job_id: str
    created_at: datetime
    promoted_at: datetime | None


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


class RerankerStore:
    """Rerankers over a catalog's engine; each method is one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def active(self, collection: str) -> str | None:
        """The id of the reranker that serves the collection; None for the shipped one."""
        with self._catalog.reading() as connection:
            return connection.scalar(_ACTIVE, {"collection": collection})

    def get(self, reranker_id: str) -> RerankerRecord:
        """Raises NotFound."""
        with self._catalog.reading() as connection:
            return _get(connection, reranker_id)

    def all(self, collection: str | None = None) -> list[RerankerRecord]:
        """Every reranker, newest first; of one collection where it is named. Raises NotFound for an unknown one."""
        with self._catalog.reading() as connection:
            statement = _records().order_by(rerankers.c.seq.desc())
            if collection is not None:
                record = collection_rows.get(connection, collection)
                statement = statement.where(rerankers.c.collection_id == record.id)
            return [_record(row) for row in connection.execute(statement).mappings()]

    def ids(self) -> set[str]:
        """Ids of all rerankers: a model's folder that is none of these belongs to nobody any more."""
        with self._catalog.reading() as connection:
            return set(connection.scalars(select(rerankers.c.id)))

    def add(
        self,
        collection: str,
        reranker_id: str,
        *,
        job_id: str,
        promote: bool,
        reason: str,
        figures: Mapping[str, Any],
        base: str | None,
    ) -> RerankerRecord:
        """The stored reranker, serving from now on where `promote` says so and `base` still served until now."""
        now = self._catalog.clock()
        with self._catalog.writing() as connection:
            collection_id = collection_rows.get(connection, collection).id
            mine = rerankers.c.collection_id == collection_id
            serving = connection.scalar(select(rerankers.c.id).where(mine, rerankers.c.status == "active"))
            if promote and serving != base:
                promote = False
                reason = f"{reason}; not promoted, because another model was put into service while it was trained"
            if promote:
                connection.execute(update(rerankers).where(mine, rerankers.c.id == serving).values(status="superseded"))
            highest = connection.scalar(select(func.max(rerankers.c.number)).where(mine)) or 0
            row = {
                "id": reranker_id,
                "collection_id": collection_id,
                "job_id": job_id,
                "number": highest + 1,
                "status": "active" if promote else "rejected",
                "reason": reason,
                "figures": dict(figures),
                "base": base,
                "created_at": now,
                "promoted_at": now if promote else None,
            }
            connection.execute(insert(rerankers).values(row))
            return _get(connection, reranker_id)

    def rollback(self, collection: str) -> tuple[RerankerRecord, RerankerRecord | None]:
        """(the reranker taken out of service, the one that serves in its place; None for the shipped one).

        Raises:
            NotFound: no such collection.
            Conflict: the shipped one serves already.
        """
        with self._catalog.writing() as connection:
            mine = rerankers.c.collection_id == collection_rows.get(connection, collection).id
            leaving = connection.scalar(select(rerankers.c.id).where(mine, rerankers.c.status == "active"))
            if leaving is None:
                raise Conflict(
                    f"collection {collection!r} is served by the shipped reranker: there is no way further back"
                )
            before = (
                select(rerankers.c.id)
                .where(mine, rerankers.c.status == "superseded")
                .order_by(rerankers.c.promoted_at.desc(), rerankers.c.seq.desc())
                .limit(1)
            )
            following = connection.scalar(before)
            connection.execute(update(rerankers).where(rerankers.c.id == leaving).values(status="rolled_back"))
            connection.execute(update(rerankers).where(rerankers.c.id == following).values(status="active"))
            return _get(connection, leaving), _get(connection, following) if following else None

    def activate(self, reranker_id: str) -> RerankerRecord:
        """Puts a reranker that served before back into service.

        Raises:
            NotFound: no such reranker.
            Conflict: it was never promoted, or it serves already.
        """
        with self._catalog.writing() as connection:
            record = _get(connection, reranker_id)
            if record.status == "active":
                raise Conflict(f"reranker {reranker_id!r} serves already")
            if record.promoted_at is None:
                raise Conflict(f"reranker {reranker_id!r} was not promoted ({record.reason}): train another")
            mine = rerankers.c.collection_id == collection_rows.get(connection, record.collection).id
            serving = (mine, rerankers.c.status == "active")
            connection.execute(update(rerankers).where(*serving).values(status="superseded"))
            again = {"status": "active", "promoted_at": self._catalog.clock()}
            connection.execute(update(rerankers).where(rerankers.c.id == reranker_id).values(again))
            return _get(connection, reranker_id)

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


def _records() -> Select[Any]:
    return select(rerankers, collections.c.name.label("collection")).join(
        collections, collections.c.id == rerankers.c.collection_id
    )


def _get(connection: Connection, reranker_id: str) -> RerankerRecord:
    row = connection.execute(_records().where(rerankers.c.id == reranker_id)).mappings().first()
    if row is None:
        raise NotFound(f"reranker {reranker_id[:200]!r} does not exist: see GET /v1/rerankers for ids")
    return _record(row)


def _record(row: RowMapping) -> RerankerRecord:
    return RerankerRecord(
        id=row["id"],
        collection=row["collection"],
        number=row["number"],
        status=cast(Status, row["status"]),
        reason=row["reason"],
        figures=row["figures"],
        base=row["base"],
        job_id=row["job_id"],
        created_at=row["created_at"],
        promoted_at=row["promoted_at"],
    )
