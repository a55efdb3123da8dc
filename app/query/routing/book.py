"""The routes that are declared: those of the settings first, then those of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.query.routing.desk import Desk
from app.query.routing.router import Router
from app.query.routing.routes import checked_all, from_json
from app.routing_types import Route

Stored = Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]
"""Name and body of every route that was declared through the API, as `routes.as_json` wrote it."""


class RouteBook:
    """Read anew at every question, so that a route counts from the next one on, in every process.

    Args:
        settings: routes of the settings; a route of the API with the same name gives way to them.
        stored: those of the API.
        sources: names of the SQL sources that can be asked.

    Raises:
        InvalidInput: a route of the settings does not hold.
    """

    def __init__(self, settings: Sequence[Route], stored: Stored, sources: Callable[[], Iterable[str]]) -> None:
        self._settings = checked_all(settings)
        self._stored = stored
        self._sources = sources

    @property
    def names_in_settings(self) -> frozenset[str]:
        """Names that the API can not declare."""
        return frozenset(route.name for route in self._settings)

    def all(self) -> tuple[Route, ...]:
        """Every declared route."""
        fixed = self.names_in_settings
        return (*self._settings, *(from_json(name, body) for name, body in self._stored() if name not in fixed))

    def sources(self) -> frozenset[str]:
        """Names of the SQL sources that a route can have."""
        return frozenset(self._sources())


@dataclass(frozen=True, slots=True)
class Routing:
    """What the surfaces need: the declared routes, who chooses among them, and who sends a question there."""

    book: RouteBook
    router: Router
    desk: Desk
