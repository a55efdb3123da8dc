"""`POST /v1/query/route`: where a question would be sent; nothing is asked there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from app.api.errors import documented, invalid_field, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.keys import Principal
from app.api.options import check_question
from app.api.routes import RouteBody
from app.api.routing import permitted_routes
from app.api.state import Reader, Ready, State
from app.api.wire import Text, WireRequest, WireResponse
from app.errors import InvalidInput, Unavailable
from app.query.routing.routes import of_collection
from app.routing_types import Route, RouteKind
from app.telemetry import Trace

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["query"])
RouteName = Annotated[Text, Field(min_length=1, max_length=64)]


class GivenRouteBody(RouteBody):
    """A route that is declared by the request, for this question alone. Its target is not looked at."""

    name: RouteName


class RouteQuestionBody(WireRequest):
    question: Text = Field(examples=["How many days of leave do I have?"])
    routes: list[RouteName | GivenRouteBody] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="names of declared routes or collections, or routes of this request; left out: every declared "
        "route, and where none is declared every collection",
    )
    method: Literal["auto", "logical", "semantic"] | None = Field(
        None, description="left out: as the settings say; logical: a language model or a classifier chooses"
    )


class AlternativeBody(WireResponse):
    route: str
    score: float


class RoutedBody(WireResponse):
    route: str | None = Field(
        description="the likeliest; null where the question holds nothing but orders to the router"
    )
    kind: Literal["logical", "semantic"]
    score: float = Field(description="its calibrated probability in [0, 1]")
    alternatives: list[AlternativeBody] = Field(description="the others, likeliest first")
    sure: bool = Field(description="whether ask would take it; else it asks everywhere")
    threshold: float = Field(description="the score from which on it is sure")
    how: str = Field(description="embeddings, classifier, or the model that chose")
    target: RouteKind | None = Field(description="the kind of the route")
    warnings: list[str]


@router.post("/v1/query/route", response_model=RoutedBody, responses=documented(401, 403, 404, 422, 429, 503))
async def route_question(
    body: RouteQuestionBody, request: Request, state: State, services: Ready, caller: Reader
) -> RoutedBody:
    """The route that a question would take among those that the key may be sent to, with its probability."""
    check_question(("body", "question"), body.question, state.settings.limits)
    if services.routing is None:
        raise Unavailable("routing is not set up in this process")
    candidates = await state.blocking(_candidates, services, caller, body.routes)
    routing, trace = services.routing, Trace(request_id_of(request.scope), metrics=services.metrics)

    def routed() -> RoutedBody:
        with trace.stage("route"):
            found = routing.router.route(body.question, candidates, method=body.method, cancelled=trace.cancelled)
        return RoutedBody(
            route=found.route.name if found.route else None,
            kind=found.kind,
            score=found.score,
            alternatives=[AlternativeBody(route=name, score=score) for name, score in found.alternatives],
            sure=found.sure,
            threshold=routing.router.threshold,
            how=found.how,
            target=found.route.kind if found.route else None,
            warnings=[found.error] if found.error else [],
        )

    return await until_disconnect(request, state.models.submit(routed, line_of(request.scope)), trace.cancel)


def _candidates(services: Services, caller: Principal, given: list[Any] | None) -> tuple[Route, ...]:
    """The routes that take part. Raises `InvalidFields` for a name that is none, or a route that does not hold."""
    declared = {route.name: route for route in permitted_routes(services, caller)}
    records = [record for record in services.catalog.list_collections() if caller.may_touch(record.name)]
    by_collection = {record.name: of_collection(record.name, record.description) for record in records}
    if given is None:
        return tuple((declared or by_collection).values())
    known = by_collection | declared
    chosen: dict[str, Route] = {}
    for place, entry in enumerate(given):
        where = ("body", "routes", place)
        if isinstance(entry, GivenRouteBody):
            route = _given(entry, where)
        elif entry in known:
            route = known[entry]
        else:
            names = ", ".join(list(known)[:20]) or "none"
            message = f"no route and no collection is called {entry[:80]!r}: there are {names}"
            raise invalid_field(where, message, "route")
        if route.name in chosen:
            raise invalid_field(where, f"the route {route.name!r} stands twice: give each name once", "route")
        chosen[route.name] = route
    return tuple(chosen.values())


def _given(body: GivenRouteBody, where: tuple[str | int, ...]) -> Route:
    if body.kind == "sql" and body.source is None:
        body = body.model_copy(update={"source": body.name})
    try:
        return body.to_route(body.name)
    except InvalidInput as error:
        raise invalid_field(where, error.message, "route") from None
