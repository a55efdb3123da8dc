"""`POST /v1/ask`: an answer with verified citations, as one JSON object or as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field, StrictBool
from sse_starlette import ServerSentEvent

from app.api.answering import run_answer
from app.api.answers import AnswerBody, PassageBody, citation_body
from app.api.errors import documented, problem_of, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.options import RetrievalBody, Translate, WhereBody, check_model, check_question
from app.api.routing import scope_of
from app.api.state import ApiState, Reader, Ready, State
from app.api.streams import Bridge, event, stream
from app.api.wire import Float, Text, WireRequest
from app.settings import Settings
from app.telemetry import Trace
from app.types import AskRequest, GenerationOptions, Message, Style

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["asking"])
Unit = Annotated[Float, Field(ge=0, le=1)]


class MessageBody(WireRequest):
    role: Literal["user", "assistant", "system"]
    content: Text


class GenerationBody(WireRequest):
    model: Text | None = None
    mode: Literal["fusion", "rag_sequence", "rag_token"] = "fusion"
    max_tokens: int = Field(512, ge=1, le=4_096, description="the bundled reader writes fewer by itself")
    temperature: Annotated[Float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[Float, Field(gt=0, le=1)] = 1.0
    top_k: int = Field(0, ge=0, le=1_000_000, description="0 samples from all tokens")
    num_beams: int = Field(1, ge=1, le=16)
    seed: int | None = Field(None, ge=0, lt=2**63)
    style: Style | None = Field(
        None, description="form of the answer; auto: told by the question; left out: as the settings say"
    )


class AskBody(WhereBody):
    question: Text = Field(examples=["What was the net revenue in 2024?"])
    history: list[MessageBody] = Field(default_factory=list, max_length=100)
    translate: Translate = "auto"
    route: Text = Field(
        "auto", max_length=200, description="auto, or the name of a route or a collection; see docs/routing.md"
    )
    auto_filters: StrictBool | None = Field(
        None, description="read conditions on metadata from the question; left out: as the settings say"
    )
    retrieval: RetrievalBody = Field(default_factory=RetrievalBody.model_construct)
    rerank: StrictBool = True
    context_chunks: int | None = Field(None, ge=1, le=50, description="passages shown to the generator; default 6")
    generation: GenerationBody = Field(default_factory=GenerationBody.model_construct)
    abstain: Literal["auto", "never"] | Unit = Field("auto", description="or a confidence threshold in [0, 1]")
    stream: StrictBool = False
    trace: StrictBool = False

    def to_request(self, collections: tuple[str, ...], settings: Settings) -> AskRequest:
        """The question as the pipeline sees it, not routed.

        Raises:
            InvalidFields: blank, or over one of the server's limits.
        """
        check_question(("body", "question"), self.question, settings.limits)
        return AskRequest(
            question=self.question,
            collections=collections,
            history=tuple(Message(message.role, message.content) for message in self.history),
            filters=self.where(),
            as_of=self.as_of,
            translate=self.translate if isinstance(self.translate, str) else tuple(self.translate),
            auto_filters=self.auto_filters,
            retrieval=self.retrieval.to_options(settings),
            rerank=self.rerank,
            context_chunks=self.context_chunks or settings.context.chunks,
            generation=GenerationOptions(**self.generation.model_dump()),
            abstain=self.abstain,
        )


_STREAM_EXAMPLE = (
    'event: status\ndata: {"stage":"retrieve"}\n\nevent: sources\ndata: {"passages":[…]}\n\n'
    'event: token\ndata: {"text":"Net "}\n\nevent: citation\ndata: {"index":1,…}\n\nevent: done\ndata: {…}\n\n'
)


@router.post(
    "/v1/ask",
    response_model=AnswerBody,
    response_model_exclude_unset=True,
    responses={
        200: {
            "description": "The answer; streamed: the events status*, sources, token*, citation*, done | error",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM_EXAMPLE}},
        },
        **documented(401, 403, 404, 409, 422, 429, 503),
    },
)
async def ask(body: AskBody, request: Request, state: State, services: Ready, caller: Reader) -> Any:
    """An answer from the documents, each claim with the exact characters that carry it; or an honest refusal."""
    check_question(("body", "question"), body.question, state.settings.limits)
    check_model(services, body.generation.model)
    scope = await state.blocking(scope_of, services, caller, body.route, body.collections)
    wanted = replace(body.to_request(scope.collections, state.settings), route=scope.route, routes=scope.routes)
    trace = Trace(request_id_of(request.scope), metrics=services.metrics)
    if body.stream:
        return _streamed(state, services, wanted, trace, request, with_trace=body.trace)
    future = state.models.submit(
        lambda: run_answer(services, wanted, trace, None, with_trace=body.trace), line_of(request.scope)
    )
    return await until_disconnect(request, future, trace.cancel)


def _streamed(
    state: ApiState, services: Services, wanted: AskRequest, trace: Trace, request: Request, *, with_trace: bool
) -> Response:
    bridge = Bridge()
    # submitted before the response starts, so that a full queue is still a 429
    future = state.models.submit(
        lambda: run_answer(services, wanted, trace, bridge.emit, with_trace=with_trace), line_of(request.scope)
    )
    future.add_done_callback(bridge.finish)
    where = {"instance": request.url.path, "request_id": trace.request_id}

    def stop() -> None:
        trace.cancel()
        future.cancel()

    async def events() -> AsyncIterator[ServerSentEvent]:
        sources_sent = False
        try:
            async for name, data in bridge:
                if name == "sources":
                    sources_sent = True
                    yield event(name, {"passages": [PassageBody.of(passage) for passage in data["passages"]]})
                elif name == "citation":
                    yield event(name, citation_body(data["citation"]))
                elif name != "status" or not sources_sent:  # the contract's order: no status after the sources
                    yield event(name, data)
            assert bridge.outcome is not None
            if bridge.outcome.cancelled():
                return
            if (error := bridge.outcome.exception()) is not None:
                document = problem_of(error, **where)
                services.metrics.errors.labels(code=document["code"]).inc()
                if document["status"] == 500:
                    structlog.get_logger("api").error("ask_failed", exc_info=error)
                yield event("error", document)
                return
            yield event("done", bridge.outcome.result().model_dump(mode="json", exclude_unset=True))
        finally:
            stop()

    return stream(events(), on_close=stop)
