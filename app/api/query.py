"""`POST /v1/query/translate`: the queries that a question would be translated to, without asking them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import Field

from app.api.errors import documented, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.keys import allowed_collections
from app.api.options import TranslationKind, check_question
from app.api.state import Reader, Ready, State
from app.api.wire import CollectionName, Text, WireRequest, WireResponse
from app.telemetry import Trace

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["query"])
_ALL: list[TranslationKind] = ["multi_query", "hyde", "decompose", "step_back"]


class TranslateBody(WireRequest):
    question: Text = Field(examples=["Who is older, Ada Lovelace or Charles Babbage?"])
    kinds: list[TranslationKind] = Field(default_factory=lambda: list(_ALL), min_length=1, max_length=4)
    collections: list[CollectionName] | None = Field(
        None, min_length=1, max_length=100, description="where a first look is taken; default: the default collection"
    )


class QueryBody(WireResponse):
    kind: str = Field(description="original, or the kind that made it")
    text: str
    parent: str | None


class StepBody(WireResponse):
    kind: str
    how: str = Field(description="rules, or the model that wrote it")
    queries: int
    ms: float
    error: str | None


class TranslatedBody(WireResponse):
    queries: list[QueryBody] = Field(description="the original first, always")
    steps: list[StepBody]


@router.post("/v1/query/translate", response_model=TranslatedBody, responses=documented(401, 403, 404, 422, 429, 503))
async def translate(
    body: TranslateBody, request: Request, state: State, services: Ready, caller: Reader
) -> TranslatedBody:
    """The original question and its translations; kinds whose rules need it read the best chunks of a first look."""
    check_question(("body", "question"), body.question, state.settings.limits)
    collections = allowed_collections(caller, body.collections or ["default"])
    for name in collections:
        await state.blocking(services.catalog.get_collection, name)
    trace = Trace(request_id_of(request.scope), metrics=services.metrics)
    future = state.models.submit(lambda: _translated(services, body, collections, trace), line_of(request.scope))
    done = await until_disconnect(request, future, trace.cancel)
    return TranslatedBody(
        queries=[QueryBody(kind=query.kind, text=query.text, parent=query.parent) for query in done.queries],
        steps=[
            StepBody(kind=step.kind, how=step.how, queries=step.queries, ms=round(step.ms, 3), error=step.error)
            for step in done.steps
        ],
    )


def _translated(services: Services, body: TranslateBody, collections: tuple[str, ...], trace: Trace) -> Any:
    return services.pipeline.translate(body.question, body.kinds, collections, trace)
