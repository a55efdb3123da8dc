"""`POST /retrieval`: a collection as an external knowledge base of Dify."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from app.api.answers import RouteTakenBody
from app.api.errors import documented, invalid_field, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.links import web_address
from app.api.openai.shapes import LenientRequest
from app.api.options import check_question
from app.api.routing import SEARCHED_KINDS, scope_of_name
from app.api.state import Reader, Ready, State
from app.api.wire import Text, json_ready
from app.errors import InvalidInput
from app.index.filters import parse as parse_filters
from app.index.metadata_values import check_json
from app.telemetry import Trace

router = APIRouter(tags=["dify"])
_MOST = 100
_OPERATORS = {
    "is": "eq",
    "is not": "ne",
    "=": "eq",
    "≠": "ne",
    ">": "gt",
    "<": "lt",
    "≥": "gte",
    "≤": "lte",
    "before": "lt",
    "after": "gt",
    "contains": "contains",
}


class Condition(LenientRequest):
    name: list[Text] = Field(min_length=1, max_length=1, description="the metadata field")
    comparison_operator: Text
    value: Any = None


class MetadataCondition(LenientRequest):
    logical_operator: Literal["and", "or"] = "and"
    conditions: list[Condition] = Field(default_factory=list, max_length=100)

    def filters(self) -> dict[str, dict[str, Any]]:
        """The conditions as filters, which all must hold. Raises `InvalidFields` for what they can not say."""
        loc = ("body", "metadata_condition")
        if self.logical_operator == "or" and len(self.conditions) > 1:
            raise invalid_field(loc, "can not be joined by 'or': this server takes conditions that all hold")
        found: dict[str, dict[str, Any]] = {}
        for condition in self.conditions:
            operator, value = _OPERATORS.get(condition.comparison_operator), condition.value
            if condition.comparison_operator in ("empty", "not empty"):
                operator, value = "exists", condition.comparison_operator == "not empty"
            if operator is None:
                known = sorted([*_OPERATORS, "empty", "not empty"])
                raise invalid_field(loc, f"has the operator {condition.comparison_operator[:40]!r}; known are {known}")
            found.setdefault(condition.name[0], {})[operator] = value
        try:
            check_json("metadata_condition", found)
            parse_filters(found)
        except InvalidInput as error:
            raise invalid_field(loc, error.message, "filters") from None
        return found


class RetrievalSetting(LenientRequest):
    top_k: int = Field(ge=1, le=_MOST)
    score_threshold: float = Field(0.0, ge=0, le=1)


class RetrievalBody(LenientRequest):
    knowledge_id: Text = Field(
        description="a collection's name, or attest-auto: where the declared routes send the query",
        min_length=1,
        max_length=200,
    )
    query: Text
    retrieval_setting: RetrievalSetting
    metadata_condition: MetadataCondition | None = None


@router.post("/retrieval", responses=documented(401, 403, 404, 422, 429, 503))
async def retrieval(
    body: RetrievalBody, request: Request, state: State, services: Ready, caller: Reader
) -> dict[str, Any]:
    """The chunks that match best, in Dify's shape; `score` is the cosine with the query, in [0, 1].

    `route` says how the query was routed, where it was.
    """
    from app.pipeline import SearchRequest  # here, so that the process can answer /health before models are imported

    check_question(("body", "query"), body.query, state.settings.limits)
    scope = await state.blocking(scope_of_name, services, caller, body.knowledge_id, SEARCHED_KINDS)
    wanted = SearchRequest(
        query=body.query,
        collections=scope.collections,
        route=scope.route,
        routes=scope.routes,
        filters=body.metadata_condition.filters() if body.metadata_condition else {},
        top_k=body.retrieval_setting.top_k,
    )
    trace = Trace(request_id_of(request.scope), metrics=services.metrics)
    future = state.models.submit(lambda: services.pipeline.search(wanted, trace), line_of(request.scope))
    result = await until_disconnect(request, future, trace.cancel)
    records = [_record(hit) for hit in result.hits]
    threshold = body.retrieval_setting.score_threshold
    found: dict[str, Any] = {"records": [record for record in records if record["score"] >= threshold]}
    if result.route is not None:
        found["route"] = RouteTakenBody.of(result.route).model_dump(mode="json")
    return found


def _record(hit: Any) -> dict[str, Any]:
    chunk = hit.chunk
    place = {
        "path": web_address(chunk.source_url) or chunk.document_id,
        "description": " › ".join(chunk.heading_path),
        "document_id": chunk.document_id,
        "collection": chunk.collection,
        "version": chunk.version,
        "chunk_id": chunk.chunk_id,
        "page": chunk.page,
        "char_start": chunk.char_start,
        "char_end": chunk.char_end,
    }
    return {
        "content": chunk.text,
        "score": round(min(1.0, max(0.0, hit.scores.get("cosine", 0.0))), 6),
        "title": chunk.title,
        "metadata": {**json_ready(chunk.metadata), **place},
    }
