"""`POST /v1/chat/completions`: a collection as a chat model, with citations as annotations."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import ServerSentEvent

from app.api.answering import run_answer
from app.api.answers import AnswerBody
from app.api.errors import problem_of, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.openai.chat_bodies import (
    ChatBody,
    annotations_of,
    open_webui_sources,
    routed_fields,
    to_request,
    usage_of,
)
from app.api.openai.error_shape import error_object
from app.api.openai.shapes import new_id, resolve_model
from app.api.openai.tasks import answer_task, forced_function
from app.api.openai.wrapped import WARNING
from app.api.state import ApiState, Reader, Ready, State
from app.api.streams import Bridge, event, stream
from app.telemetry import Trace
from app.types import AskRequest

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["openai"])


@dataclass(frozen=True, slots=True)
class _Reply:
    """What all pieces of one completion share."""

    id: str
    created: int
    model: str
    base_url: str
    include_usage: bool
    open_webui: bool

    def chunk(self, delta: dict[str, Any] | None, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
        """One `chat.completion.chunk`; no `delta` is the usage chunk, whose `choices` are empty."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self.include_usage else {}  # OpenAI: null on every chunk but the last
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [] if delta is None else [choice],
            **usage,
            **more,
        }

    def whole(self, text: str, usage: dict[str, int], *, function: str | None = None, **more: Any) -> dict[str, Any]:
        """The `chat.completion` object; with `function`, the text is the arguments of a call of it."""
        said: dict[str, Any] = (
            {"content": None, "tool_calls": _calls(function, text)} if function else {"content": text}
        )
        message = {"role": "assistant", "refusal": None, "annotations": more.pop("annotations", []), **said}
        finish = "tool_calls" if function else "stop"
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
            "usage": usage,
            **more,
        }


@router.post("/v1/chat/completions", response_model=None)
async def chat_completions(
    body: ChatBody, request: Request, state: State, services: Ready, caller: Reader
) -> Response | dict[str, Any]:
    """An answer from the collection that `model` names, or from where routes send the question (`attest-auto`).

    `message.annotations` and `citations` say where it stands, `attest.route` how it was routed.
    """
    scope, generator = await resolve_model(state, services, caller, body.model)
    question, wrapped = body.asked()
    history = body.history()
    reply = _Reply(
        id=new_id("chatcmpl"),
        created=int(time.time()),
        model=body.model,
        base_url=str(request.base_url),
        include_usage=bool(body.stream and body.stream_options and body.stream_options.include_usage),
        open_webui=state.settings.server.open_webui_sources or _asks_for_sources(request),
    )
    earlier = [message.content for message in history if message.role == "user"]
    function = forced_function(body.tool_choice)
    wants_json = body.wants_json or function is not None
    task = answer_task(question, earlier, instructions=body.instructions, wants_json=wants_json)
    if task is not None:
        usage = usage_of(0, 0)
        if not body.stream:
            return reply.whole(task, usage, function=function)
        return stream(_told(reply, task, usage, function))
    wanted = to_request(question, history, scope, body.generation(generator, state.settings), state.settings)
    trace = Trace(request_id_of(request.scope), metrics=services.metrics)
    if wrapped:
        trace.warnings.append(WARNING)
    if body.stream:
        return _streamed(state, services, wanted, trace, reply, line_of(request.scope))
    future = state.models.submit(
        lambda: run_answer(services, wanted, trace, None, with_trace=False), line_of(request.scope)
    )
    answer = await until_disconnect(request, future, trace.cancel)
    return JSONResponse(_completion(reply, answer))


def _calls(function: str, arguments: str) -> list[dict[str, Any]]:
    return [{"id": new_id("call"), "type": "function", "function": {"name": function, "arguments": arguments}}]


def _asks_for_sources(request: Request) -> bool:
    """Open WebUI forwards who asks when it is told to; such a server reads its own event frames."""
    headers = request.headers
    return headers.get("x-attest-sources", "").lower() == "open-webui" or "x-openwebui-user-id" in headers


def _extras(answer: AnswerBody) -> dict[str, Any]:
    """Our own fields at the top of a completion."""
    return {
        "citations": [citation.model_dump(mode="json") for citation in answer.citations],
        "attest": {
            "answer_id": answer.id,
            "abstained": answer.abstained,
            "confidence": answer.confidence,
            "threshold": answer.threshold,
            "collection_generation": answer.collection_generation,
            "warnings": answer.warnings,
            **routed_fields(answer),
        },
    }


def _completion(reply: _Reply, answer: AnswerBody) -> dict[str, Any]:
    usage = usage_of(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    extras = _extras(answer)
    if reply.open_webui:
        extras["sources"] = [frame["event"]["data"] for frame in open_webui_sources(answer, reply.base_url)]
    return reply.whole(answer.answer, usage, annotations=annotations_of(answer, reply.base_url), **extras)


def _streamed(
    state: ApiState, services: Services, wanted: AskRequest, trace: Trace, reply: _Reply, line: str
) -> Response:
    bridge = Bridge()
    future = state.models.submit(lambda: run_answer(services, wanted, trace, bridge.emit, with_trace=False), line)
    future.add_done_callback(bridge.finish)

    def stop() -> None:
        trace.cancel()
        future.cancel()

    async def events() -> AsyncIterator[ServerSentEvent]:
        try:
            yield event(None, reply.chunk({"role": "assistant", "content": ""}))
            async for name, data in bridge:
                if name == "token":
                    yield event(None, reply.chunk({"content": data["text"]}))
            assert bridge.outcome is not None
            if bridge.outcome.cancelled():
                return
            if (error := bridge.outcome.exception()) is not None:
                yield event(None, _failure(services, error, trace))
            else:
                for chunk in _ending(reply, bridge.outcome.result()):
                    yield event(None, chunk)
            yield ServerSentEvent(data="[DONE]", sep="\n")
        finally:
            stop()

    return stream(events(), on_close=stop)


def _ending(reply: _Reply, answer: AnswerBody) -> Sequence[dict[str, Any]]:
    """After the text: sources for Open WebUI, annotations, the finish, and the usage where it was asked for."""
    frames = open_webui_sources(answer, reply.base_url) if reply.open_webui else []
    chunks = [frame | reply.chunk(None) for frame in frames]  # a chunk besides: other clients stumble over less
    if answer.citations:
        chunks.append(reply.chunk({"annotations": annotations_of(answer, reply.base_url)}))
    chunks.append(reply.chunk({}, "stop", **_extras(answer)))
    if reply.include_usage:
        usage = usage_of(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        chunks.append(reply.chunk(None) | {"usage": usage})
    return chunks


async def _told(
    reply: _Reply, text: str, usage: dict[str, int], function: str | None
) -> AsyncIterator[ServerSentEvent]:
    """A finished text as a stream."""
    yield event(None, reply.chunk({"role": "assistant", "content": ""}))
    if function is None:
        yield event(None, reply.chunk({"content": text}))
    else:
        yield event(None, reply.chunk({"tool_calls": [{"index": 0, **call} for call in _calls(function, text)]}))
    yield event(None, reply.chunk({}, "stop" if function is None else "tool_calls"))
    if reply.include_usage:
        yield event(None, reply.chunk(None) | {"usage": usage})
    yield ServerSentEvent(data="[DONE]", sep="\n")


def _failure(services: Services, error: BaseException, trace: Trace) -> dict[str, Any]:
    document = problem_of(error, instance="/v1/chat/completions", request_id=trace.request_id)
    services.metrics.errors.labels(code=document["code"]).inc()
    if document["status"] == 500:
        structlog.get_logger("api").error("chat_failed", exc_info=error)
    return error_object(document)
