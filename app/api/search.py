"""`POST /v1/search`: chunks with every stage's score and rank."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, StrictBool

from app.api.answers import RouteTakenBody
from app.api.errors import documented, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.options import (
    RetrievalBody,
    StageBody,
    TraceBody,
    Translate,
    WhereBody,
    check_question,
    check_top_k,
)
from app.api.routing import SEARCHED_KINDS, scope_of
from app.api.state import Reader, Ready, State
from app.api.wire import Text, WireResponse, json_ready
from app.telemetry import Trace
from app.types import Hit

router = APIRouter(tags=["asking"])


class SearchBody(WhereBody):
    query: Text = Field(examples=["net revenue 2024"])
    top_k: int = Field(10, ge=1)
    translate: Translate = Field(default_factory=list)
    retrieval: RetrievalBody = Field(default_factory=RetrievalBody.model_construct)
    rerank: StrictBool = True
    route: Text | None = Field(
        None, max_length=200, description="auto, or the name of a route or a collection; left out: not routed"
    )
    trace: StrictBool = False


class ScoresBody(WireResponse):
    """Each stage's own score; null where the stage did not score this chunk."""

    bm25: float | None
    cosine: float | None
    rrf: float | None
    rerank: float | None
    late_interaction: float | None


class HitBody(WireResponse):
    rank: int = Field(description="1-based place in the final order")
    chunk_id: str
    document_id: str
    version: int
    collection: str
    title: str
    source_url: str | None
    page: int | None
    char_start: int
    char_end: int
    heading_path: list[str]
    text: str
    metadata: dict[str, Any]
    scores: ScoresBody
    ranks: dict[str, int]

    @classmethod
    def of(cls, rank: int, hit: Hit) -> HitBody:
        chunk = hit.chunk
        return cls(
            rank=rank,
            chunk_id=chunk.chunk_id,
            document_id=chunk.document_id,
            version=chunk.version,
            collection=chunk.collection,
            title=chunk.title,
            source_url=chunk.source_url,
            page=chunk.page,
            char_start=chunk.char_start,
            char_end=chunk.char_end,
            heading_path=list(chunk.heading_path),
            text=chunk.text,
            metadata=json_ready(chunk.metadata),
            scores=ScoresBody(**{name: json_ready(hit.scores.get(name)) for name in ScoresBody.model_fields}),
            ranks=dict(hit.ranks),
        )


class SearchResponse(WireResponse):
    hits: list[HitBody]
    collection_generation: dict[str, int]
    timings_ms: dict[str, float]
    warnings: list[str]
    route: RouteTakenBody | None = Field(None, description="where routes took part")
    trace: TraceBody | None = None


@router.post(
    "/v1/search",
    response_model=SearchResponse,
    response_model_exclude_unset=True,
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def search(body: SearchBody, request: Request, state: State, services: Ready, caller: Reader) -> SearchResponse:
    """The chunks that match best, reranked, with the scores and ranks that every stage gave them."""
    from app.pipeline import SearchRequest  # here, so that the process can answer /health before models are imported

    limits = state.settings.limits
    check_question(("body", "query"), body.query, limits)
    check_top_k(("body", "top_k"), body.top_k, limits)
    scope = await state.blocking(scope_of, services, caller, body.route, body.collections, SEARCHED_KINDS)
    wanted = SearchRequest(
        query=body.query,
        collections=scope.collections,
        route=scope.route,
        routes=scope.routes,
        filters=body.where(),
        as_of=body.as_of,
        top_k=body.top_k,
        translate=body.translate if isinstance(body.translate, str) else tuple(body.translate),
        retrieval=body.retrieval.to_options(state.settings),
        rerank=body.rerank,
    )
    request_id = request_id_of(request.scope)
    trace = Trace(request_id, metrics=services.metrics)
    future = state.models.submit(lambda: services.pipeline.search(wanted, trace), line_of(request.scope))
    result = await until_disconnect(request, future, trace.cancel)
    response = SearchResponse(
        hits=[HitBody.of(rank, hit) for rank, hit in enumerate(result.hits, start=1)],
        collection_generation=dict(result.generations),
        timings_ms=trace.timings_ms(),
        warnings=list(trace.warnings),
    )
    if result.route is not None:
        response = response.model_copy(update={"route": RouteTakenBody.of(result.route)})
    if not body.trace:
        return response
    stages = [StageBody.of(stage) for stage in trace.stages()]
    return response.model_copy(update={"trace": TraceBody(request_id=request_id, stages=stages)})
