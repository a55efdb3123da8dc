"""What feedback taught about a collection, in the catalog: every version measured, which one serves, and the way back.

Rerankers and calibrations are kept alike: a version is promoted or rejected when it is made, the one that serves is
`active`, and a collection without an active one is served by what is shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Connection, RowMapping, Select, Table, bindparam, func, insert, select, update

from app.errors import Conflict, NotFound
from app.index import collections as collection_rows
from app.index.catalog import Catalog
from app.index.tables import collections

SHIPPED = "shipped"
Status = Literal["active", "superseded", "rolled_back", "rejected"]


@dataclass(frozen=True, slots=True)
class PromotionRecord:
    """A version for one collection; `base` is the id of the one that served before it, None for the shipped."""

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


class PromotionStore:
    """The versions of one kind over a catalog's engine; each method is one transaction.

    Args:
        catalog: whose collections they are for.
        table: with a row for each version.
        noun: what messages call a version; its plural is the last part of the address that lists them.
    """

    def __init__(self, catalog: Catalog, table: Table, noun: str) -> None:
        self._catalog = catalog
        self._table = table
        self.noun = noun
        # made once: every question asks it
        self._active = (
            select(table)
            .join(collections, collections.c.id == table.c.collection_id)
            .where(collections.c.name == bindparam("collection"), table.c.status == "active")
        )

    def active(self, collection: str) -> str | None:
        """The id of the version that serves the collection; None for the shipped one."""
        row = self._serving(collection)
        return None if row is None else str(row["id"])

    def get(self, version_id: str) -> PromotionRecord:
        """Raises NotFound."""
        with self._catalog.reading() as connection:
            return self._get(connection, version_id)

    def all(self, collection: str | None = None) -> list[PromotionRecord]:
        """Every version, newest first; of one collection where it is named. Raises NotFound for an unknown one."""
        table = self._table
        with self._catalog.reading() as connection:
            statement = self._records().order_by(table.c.seq.desc())
            if collection is not None:
                record = collection_rows.get(connection, collection)
                statement = statement.where(table.c.collection_id == record.id)
            return [_record(row) for row in connection.execute(statement).mappings()]

    def ids(self) -> set[str]:
        """Ids of all versions: a file that is named after none of these belongs to nobody any more."""
        with self._catalog.reading() as connection:
            return set(connection.scalars(select(self._table.c.id)))

    def add(
        self,
        collection: str,
        version_id: str,
        *,
        job_id: str,
        promote: bool,
        reason: str,
        figures: Mapping[str, Any],
        base: str | None,
    ) -> PromotionRecord:
        """The stored version, serving from now on where `promote` says so and `base` still served until now."""
        now, table = self._catalog.clock(), self._table
        with self._catalog.writing() as connection:
            collection_id = collection_rows.get(connection, collection).id
            mine = table.c.collection_id == collection_id
            serving = connection.scalar(select(table.c.id).where(mine, table.c.status == "active"))
            if promote and serving != base:
                promote = False
                reason = f"{reason}; not promoted, because another one was put into service while it was trained"
            if promote:
                connection.execute(update(table).where(mine, table.c.id == serving).values(status="superseded"))
            highest = connection.scalar(select(func.max(table.c.number)).where(mine)) or 0
            row = {
                "id": version_id,
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
            connection.execute(insert(table).values(row))
            return self._get(connection, version_id)

    def rollback(self, collection: str) -> tuple[PromotionRecord, PromotionRecord | None]:
        """(the version taken out of service, the one that serves in its place; None for the shipped one).

        Raises:
            NotFound: no such collection.
            Conflict: the shipped one serves already.
        """
        table = self._table
        with self._catalog.writing() as connection:
            mine = table.c.collection_id == collection_rows.get(connection, collection).id
            leaving = connection.scalar(select(table.c.id).where(mine, table.c.status == "active"))
            if leaving is None:
                raise Conflict(
                    f"collection {collection!r} is served by the shipped {self.noun}: there is no way further back"
                )
            before = (
                select(table.c.id)
                .where(mine, table.c.status == "superseded")
                .order_by(table.c.promoted_at.desc(), table.c.seq.desc())
                .limit(1)
            )
            following = connection.scalar(before)
            connection.execute(update(table).where(table.c.id == leaving).values(status="rolled_back"))
            connection.execute(update(table).where(table.c.id == following).values(status="active"))
            return self._get(connection, leaving), self._get(connection, following) if following else None

    def activate(self, version_id: str) -> PromotionRecord:
        """Puts a version that served before back into service.

        Raises:
            NotFound: no such version.
            Conflict: it was never promoted, or it serves already.
        """
        table = self._table
        with self._catalog.writing() as connection:
            record = self._get(connection, version_id)
            if record.status == "active":
                raise Conflict(f"{self.noun} {version_id!r} serves already")
            if record.promoted_at is None:
                raise Conflict(f"{self.noun} {version_id!r} was not promoted ({record.reason}): train another")
            mine = table.c.collection_id == collection_rows.get(connection, record.collection).id
            serving = (mine, table.c.status == "active")
            connection.execute(update(table).where(*serving).values(status="superseded"))
            again = {"status": "active", "promoted_at": self._catalog.clock()}
            connection.execute(update(table).where(table.c.id == version_id).values(again))
            return self._get(connection, version_id)

    def _serving(self, collection: str) -> RowMapping | None:
        with self._catalog.reading() as connection:
            return connection.execute(self._active, {"collection": collection}).mappings().first()

    def _records(self) -> Select[Any]:
        table = self._table
        return select(table, collections.c.name.label("collection")).join(
            collections, collections.c.id == table.c.collection_id
        )

    def _get(self, connection: Connection, version_id: str) -> PromotionRecord:
        row = connection.execute(self._records().where(self._table.c.id == version_id)).mappings().first()
        if row is None:
            raise NotFound(f"{self.noun} {version_id[:200]!r} does not exist: see GET /v1/{self.noun}s for ids")
        return _record(row)


def _record(row: RowMapping) -> PromotionRecord:
    return PromotionRecord(
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
