"""Routes that were declared through the API, in the catalog. What a route may hold is the query room's to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update

from app.errors import Conflict, NotFound
from app.index.catalog import Catalog
from app.index.metadata_values import check_json
from app.index.tables import routes


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """A declared route; `body` is what it was declared with, but for its name."""

    name: str
    body: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime


class RouteStore:
    """Routes over a catalog's engine; each method is one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def list_all(self) -> list[RouteRecord]:
        """Every route, by name."""
        with self._catalog.reading() as connection:
            return [_record(row) for row in connection.execute(select(routes).order_by(routes.c.name)).mappings()]

    def get(self, name: str) -> RouteRecord:
        """Raises NotFound."""
        with self._catalog.reading() as connection:
            row = connection.execute(select(routes).where(routes.c.name == name)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"route {name[:80]!r} does not exist: see GET /v1/routes")
        return _record(row)

    def put(self, name: str, body: Mapping[str, Any], *, most: int) -> bool:
        """Declares the route, or declares it anew; True where the name is new.

        Raises:
            InvalidInput: `body` is no JSON that can be kept. Conflict: there are `most` routes already.
        """
        check_json("route", body)
        now = self._catalog.clock()
        with self._catalog.writing() as connection:
            changed = connection.execute(
                update(routes).where(routes.c.name == name).values(body=dict(body), updated_at=now)
            )
            if changed.rowcount:
                return False
            if (connection.scalar(select(func.count()).select_from(routes)) or 0) >= most:
                raise Conflict(f"there are {most} routes, the most that can be declared: delete one first")
            connection.execute(insert(routes).values(name=name, body=dict(body), created_at=now, updated_at=now))
            return True

    def remove(self, name: str) -> None:
        """Raises NotFound."""
        with self._catalog.writing() as connection:
            if not connection.execute(delete(routes).where(routes.c.name == name)).rowcount:
                raise NotFound(f"route {name[:80]!r} does not exist: see GET /v1/routes")


def _record(row: RowMapping) -> RouteRecord:
    return RouteRecord(row["name"], row["body"], row["created_at"], row["updated_at"])
