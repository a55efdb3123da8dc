"""The stage of routing: from a request to where it is asked, or to an answer that needs no passages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from app.errors import AttestError, Cancelled
from app.protocols import TextModel
from app.query.routing.replies import reply_of
from app.query.routing.router import Routed, Router
from app.query.routing.targets import Targets
from app.routing_types import Route, RouteTaken, StructuredResult
from app.telemetry import Stage, Trace
from app.types import AskRequest


@dataclass(frozen=True, slots=True)
class Directed:
    """`request` with the collections, and the words for a model, of the route that was taken.

    Args:
        taken: how it was routed; None where no routes took part.
        reply: the whole answer of a chit-chat or refusing route.
        result: the whole answer of a SQL source or the graph.
    """

    request: AskRequest
    taken: RouteTaken | None = None
    reply: str | None = None
    result: StructuredResult | None = None


class Desk:
    """Routes requests; the routes of a request are those that its caller may be sent to, no text adds one.

    Args:
        router: None takes named routes only.
        targets: what answers by statements.
        model: follows instructions; writes statements where there is one.
        today: of dates in questions.
    """

    def __init__(
        self,
        router: Router | None = None,
        targets: Targets | None = None,
        *,
        model: TextModel | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._router = router
        self._targets = targets or {}
        self._model = model
        self._today = today

    @property
    def threshold(self) -> float:
        """Probability below which no route is taken."""
        return self._router.threshold if self._router else 0.5

    def direct(self, question: str, request: AskRequest, trace: Trace) -> Directed:
        """Where the question goes. Without routes: the request as it is, and nothing in the trace.

        Raises:
            Cancelled: the caller went away.
        """
        if not request.routes or (request.route == "auto" and self._router is None):
            return Directed(request)
        with trace.stage("route", routes=[route.name for route in request.routes]) as stage:
            route, taken = self._chosen(question, request, trace, stage)
            stage.detail.update(
                route=taken.route, kind=taken.kind, score=taken.score, how=taken.how, target=taken.target
            )
            stage.detail["alternatives"] = [{"route": name, "score": score} for name, score in taken.alternatives]
        if route is None:
            return Directed(request, taken)
        if route.kind in ("chitchat", "refuse"):
            return Directed(request, taken, reply=reply_of(route, question))
        if route.collections:
            request = replace(request, collections=route.collections)
        if route.kind == "collections":
            return Directed(replace(request, guidance=route.template), taken)
        result, why = self._looked_up(question, route, request, trace)
        return Directed(request, replace(taken, explanation=why), result=result)

    def _chosen(
        self, question: str, request: AskRequest, trace: Trace, stage: Stage
    ) -> tuple[Route | None, RouteTaken]:
        if request.route != "auto":
            (route,) = request.routes
            return route, RouteTaken(route.name, "named", 1.0, target=route.kind)
        assert self._router is not None
        routed = self._router.route(question, request.routes, cancelled=trace.cancelled)
        if routed.error:
            stage.degrade(routed.error)
            trace.warnings.append(f"routing: {routed.error}; {routed.how} chose instead")
        return (routed.route if routed.sure else None), taken_of(routed)

    def _looked_up(
        self, question: str, route: Route, request: AskRequest, trace: Trace
    ) -> tuple[StructuredResult | None, str]:
        """What the target returned, or why it returned nothing."""
        with trace.stage("look_up", target=route.kind, source=route.source) as stage:
            try:
                if route.kind not in self._targets:
                    raise _NotSetUp(f"the target {route.kind!r} of route {route.name!r} is not set up on this server")
                target = self._targets[route.kind](replace(route, collections=request.collections))
                found = target.ask(question, today=self._today(), model=self._model, cancelled=trace.cancelled)
            except Cancelled:
                raise
            except AttestError as error:
                stage.degrade(error.message)
                trace.warnings.append(f"{route.name}: {error.message.rstrip('.')}; the documents were searched instead")
                return None, error.message
            stage.detail.update(
                statement=found.statement,
                parameters=dict(found.parameters),
                rows=len(found.rows),
                confidence=found.confidence,
                how=found.how,
            )
        return found, ""


class _NotSetUp(AttestError):
    """No such target here."""


def taken_of(routed: Routed) -> RouteTaken:
    """What an answer tells of a decision; a route that is not sure was not taken."""
    sure = routed.route if routed.sure else None
    left = routed.alternatives
    if routed.route is not None and sure is None:
        left = ((routed.route.name, routed.score), *left)
    return RouteTaken(
        sure.name if sure else None,
        routed.kind,
        routed.score,
        left,
        routed.how,
        target=sure.kind if sure else None,
    )
