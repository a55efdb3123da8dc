"""Which routes a caller may be sent to, and what the `route` of a request means. No text of a question is read here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.api.errors import invalid_field
from app.api.keys import Principal, allowed_collections
from app.errors import NotFound, NotPermitted
from app.routing_types import Route, RouteKind

if TYPE_CHECKING:
    from app.bootstrap import Services

ALL_KINDS: frozenset[RouteKind] = frozenset({"collections", "sql", "graph", "chitchat", "refuse"})
SEARCHED_KINDS: frozenset[RouteKind] = frozenset({"collections"})
"""What a surface that returns passages instead of an answer can be routed to."""
AUTO_NAME = "attest-auto"
"""What a front-end names as its model or knowledge base to let the routes choose; a collection called so goes first."""

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a request is asked: `collections` unless one of `routes` is taken; `route` is "auto" or the only one."""

    collections: tuple[str, ...]
    route: str = "auto"
    routes: tuple[Route, ...] = ()


def scope_of(
    services: Services,
    caller: Principal,
    route: str | None,
    collections: Sequence[str] | None,
    kinds: Collection[RouteKind] = ALL_KINDS,
) -> Scope:
    """The collections and routes of a request; opens the catalog, so call it on a thread.

    Args:
        services: of the process.
        caller: whose key it is.
        route: "auto", the name of a route or of a collection; None does not route.
        collections: as given in the request: routes that ask others are left out.
        kinds: that the surface can answer.

    Raises:
        NotPermitted: the key may not touch a collection. NotFound: a collection does not exist.
        InvalidFields: no route and no collection has the name, or the route asks other collections than those given.
    """
    candidates = () if route is None else permitted_routes(services, caller, kinds)
    if route in (None, "auto"):
        within = None if collections is None else frozenset(collections)
        routes = tuple(entry for entry in candidates if within is None or _stays(entry, within))
        return Scope(_known(services, _asked_if_unsure(caller, collections, routes)), "auto", routes)
    assert route is not None
    named = next((entry for entry in candidates if entry.name == route), None)
    if named is None:
        return Scope(_known(services, _as_collection(services, caller, route, collections, candidates)))
    if collections is not None and not _stays(named, frozenset(collections)):
        where = ", ".join(named.collections) or f"the source {named.source}"
        raise invalid_field(
            ("body", "route"),
            f"the route {route!r} asks {where}, which is not among the collections given: leave collections out",
            "route",
        )
    asked = named.collections or allowed_collections(caller, collections or _default_of(caller, named))
    return Scope(_known(services, asked), route, (named,))


def scope_of_name(services: Services, caller: Principal, name: str, kinds: Collection[RouteKind] = ALL_KINDS) -> Scope:
    """Where a model or knowledge base of that name is asked: the collection, or with `AUTO_NAME` where routes send it.

    Raises:
        NotPermitted: the key may not touch the collection. NotFound: there is none, or no route that could choose.
    """
    if name == AUTO_NAME and not _exists(services, name):
        if permitted_routes(services, caller, kinds):
            return scope_of(services, caller, "auto", None, kinds)
        raise NotFound(
            f"{AUTO_NAME!r} lets the routes choose, and none is declared that this key may take: name a collection, or "
            "declare routes (PUT /v1/routes/NAME)"
        )
    caller.need_collection(name)
    return Scope(_known(services, (name,)))


def routes_choose(services: Services, caller: Principal) -> bool:
    """Whether the caller can ask `AUTO_NAME`, so that it is worth listing."""
    try:
        return bool(scope_of_name(services, caller, AUTO_NAME).routes)
    except (NotFound, NotPermitted):
        return False


def permitted_routes(
    services: Services, caller: Principal, kinds: Collection[RouteKind] = ALL_KINDS
) -> tuple[Route, ...]:
    """The declared routes that the caller may be sent to and whose targets exist."""
    return tuple(route for route, problems in visible_routes(services, caller) if route.kind in kinds and not problems)


def visible_routes(services: Services, caller: Principal) -> list[tuple[Route, list[str]]]:
    """The declared routes that the caller may be sent to, each with what its target lacks."""
    if services.routing is None:
        return []
    book = services.routing.book
    declared = [route for route in book.all() if _may_take(caller, route)]
    if not declared:
        return []
    existing = frozenset(record.name for record in services.catalog.list_collections())
    sources = book.sources()
    return [(route, missing(route, existing, sources)) for route in declared]


def missing(route: Route, collections: Collection[str], sources: Collection[str]) -> list[str]:
    """What the route's target lacks, in words; empty where it can be asked."""
    lacking = [f"collection {name!r} does not exist" for name in route.collections if name not in collections]
    if route.source is not None and route.source not in sources:
        lacking.append(f"SQL source {route.source!r} is not configured")
    return lacking


def _may_take(caller: Principal, route: Route) -> bool:
    """SQL sources belong to no collection: a key that is limited to some collections does not reach them."""
    if route.source is not None:
        return caller.collections is None
    return all(caller.may_touch(name) for name in route.collections)


def _stays(route: Route, within: frozenset[str]) -> bool:
    return route.source is None and within.issuperset(route.collections)


def _asked_if_unsure(caller: Principal, given: Sequence[str] | None, routes: Sequence[Route]) -> tuple[str, ...]:
    """What the request names; else every collection that a route names, beside the default one."""
    if given is not None:
        return allowed_collections(caller, given)
    named = [name for route in routes if route.kind == "collections" for name in route.collections]
    default = ["default"] if caller.may_touch("default") or not named else []
    return allowed_collections(caller, [*default, *named])


def _default_of(caller: Principal, route: Route) -> list[str]:
    """Where a route without collections of its own is asked; one that asks no documents needs no permission for any."""
    if route.kind in ("chitchat", "refuse") and not caller.may_touch("default"):
        return []
    return ["default"]


def _as_collection(
    services: Services, caller: Principal, name: str, given: Sequence[str] | None, routes: Sequence[Route]
) -> tuple[str, ...]:
    """The collection that the name means."""
    known = frozenset(record.name for record in services.catalog.list_collections())
    if name in known:
        caller.need_collection(name)
        if given is not None and name not in given:
            raise invalid_field(
                ("body", "route"),
                f"the route {name!r} is a collection that is not among those given: leave collections out",
                "route",
            )
        return (name,)
    names = [*(route.name for route in routes), *sorted(each for each in known if caller.may_touch(each))]
    more = ", …" if len(names) > _SHOWN else ""
    raise invalid_field(
        ("body", "route"),
        f"no route and no collection is called {name[:80]!r}: give auto, or one of {', '.join(names[:_SHOWN])}{more}",
        "route",
    )


def _exists(services: Services, name: str) -> bool:
    return any(record.name == name for record in services.catalog.list_collections())


def _known(services: Services, names: Sequence[str]) -> tuple[str, ...]:
    """The names; raises NotFound for one that is no collection."""
    for name in names:
        services.catalog.get_collection(name)
    return tuple(names)
