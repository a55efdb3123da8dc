"""Health for orchestrators, metrics for Prometheus. `/health/*` needs no key and says nothing of the content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.errors import documented
from app.api.state import Admin, Ready, State
from app.api.wire import WireResponse
from app.errors import Unavailable

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["operations"])


class LiveBody(WireResponse):
    status: Literal["live"] = "live"


class ReadyBody(WireResponse):
    status: Literal["ready"] = "ready"
    workers: int
    queue: dict[str, int]


@router.get("/health/live", response_model=LiveBody)
async def live() -> LiveBody:
    """200 while the process answers at all."""
    return LiveBody()


@router.get("/health/ready", response_model=ReadyBody, responses=documented(503))
async def ready(state: State, services: Ready) -> ReadyBody:
    """200 once models and index are loaded and the catalog answers; otherwise 503 with the reason."""

    def check() -> ReadyBody:
        return ReadyBody(workers=len(services.jobs.live_workers()), queue=services.jobs.depth())

    if state.background_died:
        raise Unavailable("the server is not ready: its background jobs ended; see the server's log, start it again")
    try:
        return await state.blocking(check)
    except Exception as error:
        raise Unavailable("the server is not ready: the catalog does not answer; see the server's log") from error


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **documented(401, 403, 503),
    },
)
async def metrics(state: State, services: Ready, caller: Admin) -> Response:  # noqa: ARG001 - the scope is the point
    """Stage histograms, queue depth, generations and errors, in Prometheus' text format."""
    return Response(await state.blocking(_render, services), media_type=CONTENT_TYPE_LATEST)


def _render(services: Services) -> bytes:
    measured = services.metrics
    for status, count in services.jobs.depth().items():
        measured.queue_depth.labels(status=status).set(count)
    for record in services.catalog.list_collections():
        counts = services.catalog.collection_counts(record.name)
        measured.generation.labels(collection=record.name).set(services.index.collection(record.id).generation)
        measured.documents.labels(collection=record.name).set(counts["by_status"].get("ready", 0))
    rendered: bytes = measured.render()
    return rendered
