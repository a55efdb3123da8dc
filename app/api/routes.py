"""Declared routes: where questions of one sort are answered. Those of the settings are shown here, not changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from app.api.errors import documented, invalid_field
from app.api.keys import Principal
from app.api.routing import missing, visible_routes
from app.api.state import Admin, Reader, Ready, State
from app.api.wire import CollectionName, Text, WireRequest, WireResponse
from app.errors import Conflict, InvalidInput, NotFound, NotPermitted
from app.index.routes import RouteStore
from app.query.routing.routes import MAX_ROUTES, as_json, checked, from_json
from app.routing_types import Route, RouteKind

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["routes"])
Name = Annotated[str, Path(min_length=1, max_length=64)]


class RouteBody(WireRequest):
    """`kind` may be left out: "sql" where a source is named, else "collections"."""

    kind: Literal["collections", "sql", "graph", "chitchat", "refuse"] | None = None
    collections: list[CollectionName] = Field(
        default_factory=list, max_length=100, description="none: where the request asks anyway"
    )
    source: Text | None = Field(None, min_length=1, max_length=200, description="the SQL source of the kind sql")
    description: Text = Field("", max_length=2_000)
    examples: list[Text] = Field(default_factory=list, max_length=50, description="questions of this sort")
    template: Text = Field("", max_length=4_000, description="what a language model is told beside its instruction")
    reply: Text = Field("", max_length=2_000, description="of chitchat and refuse: what is said")

    def to_route(self, name: str) -> Route:
        """The route, checked. Raises InvalidInput."""
        return checked(
            Route(
                name,
                self.kind or ("sql" if self.source is not None else "collections"),
                tuple(self.collections),
                self.source,
                self.description,
                tuple(self.examples),
                self.template,
                self.reply,
            )
        )


class DeclaredRouteBody(WireResponse):
    name: str
    kind: RouteKind
    collections: list[str]
    source: str | None
    description: str
    examples: list[str]
    template: str
    reply: str
    declared_in: Literal["settings", "api"]
    problems: list[str] = Field(description="why it takes no part now: a collection or source that is gone")

    @classmethod
    def of(
        cls, route: Route, declared_in: Literal["settings", "api"], problems: Sequence[str] = ()
    ) -> DeclaredRouteBody:
        return cls(
            name=route.name,
            kind=route.kind,
            collections=list(route.collections),
            source=route.source,
            description=route.description,
            examples=list(route.examples),
            template=route.template,
            reply=route.reply,
            declared_in=declared_in,
            problems=list(problems),
        )


class RouteListBody(WireResponse):
    data: list[DeclaredRouteBody]


class DeletedRouteBody(WireResponse):
    name: str
    deleted: bool


@router.get("/v1/routes", response_model=RouteListBody, responses=documented(401, 403, 503))
async def list_routes(state: State, services: Ready, caller: Reader) -> RouteListBody:
    """The routes that the key may be sent to."""

    def read() -> RouteListBody:
        return RouteListBody(data=[_body(services, *found) for found in visible_routes(services, caller)])

    return await state.blocking(read)


@router.get("/v1/routes/{name}", response_model=DeclaredRouteBody, responses=documented(401, 403, 404, 503))
async def get_route(name: Name, state: State, services: Ready, caller: Reader) -> DeclaredRouteBody:
    """One route."""

    def read() -> DeclaredRouteBody:
        for route, problems in visible_routes(services, caller):
            if route.name == name:
                return _body(services, route, problems)
        raise NotFound(f"route {name!r} does not exist: see GET /v1/routes")

    return await state.blocking(read)


@router.put(
    "/v1/routes/{name}",
    response_model=DeclaredRouteBody,
    responses={
        201: {"model": DeclaredRouteBody, "description": "Declared"},
        **documented(401, 403, 404, 409, 422, 503),
    },
)
async def put_route(
    name: Name, body: RouteBody, response: Response, state: State, services: Ready, caller: Admin
) -> DeclaredRouteBody:
    """Declares a route, or declares it anew; it counts from the next question on. 409 for one of the settings."""
    try:
        route = body.to_route(name)
    except InvalidInput as error:
        raise invalid_field(("body",), error.message, "route") from None
    _need_route(caller, route)

    def put() -> bool:
        _check_declarable(services, route)
        store = RouteStore(services.catalog)
        return store.put(name, as_json(route), most=MAX_ROUTES - len(_fixed(services)))

    response.status_code = 201 if await state.blocking(put) else 200
    return DeclaredRouteBody.of(route, "api")


@router.delete("/v1/routes/{name}", response_model=DeletedRouteBody, responses=documented(401, 403, 404, 409, 503))
async def delete_route(name: Name, state: State, services: Ready, caller: Admin) -> DeletedRouteBody:
    """Forgets a route that was declared here. 409 for one of the settings."""

    def remove() -> None:
        _check_fixed(services, name)
        store = RouteStore(services.catalog)
        _need_route(caller, from_json(name, store.get(name).body))
        store.remove(name)

    await state.blocking(remove)
    return DeletedRouteBody(name=name, deleted=True)


def _need_route(caller: Principal, route: Route) -> None:
    """A route answers everybody's questions: a key that is limited to collections declares routes to those alone."""
    if caller.collections is None:
        return
    if not route.collections:
        raise NotPermitted(
            "this key is limited to some collections: it may declare routes that name collections of its own, no others"
        )
    for name in route.collections:
        caller.need_collection(name)


def _check_declarable(services: Services, route: Route) -> None:
    """Raises Conflict for a name of the settings, NotFound and InvalidFields for targets that do not exist."""
    _check_fixed(services, route.name)
    for name in route.collections:
        services.catalog.get_collection(name)
    sources = services.routing.book.sources() if services.routing else frozenset()
    if lacking := missing(route, route.collections, sources):
        known = ", ".join(sorted(sources)) or "none: set ATTEST_SQL__SOURCES"
        raise invalid_field(("body", "source"), f"{lacking[0]}; there are {known}", "source")


def _check_fixed(services: Services, name: str) -> None:
    if name in _fixed(services):
        raise Conflict(f"route {name!r} is declared in the settings: change it there")


def _fixed(services: Services) -> frozenset[str]:
    return services.routing.book.names_in_settings if services.routing else frozenset()


def _body(services: Services, route: Route, problems: Sequence[str]) -> DeclaredRouteBody:
    return DeclaredRouteBody.of(route, "settings" if route.name in _fixed(services) else "api", problems)
