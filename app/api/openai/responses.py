"""`POST /v1/responses`: the Responses API with file search over collections, streamed or whole."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sse_starlette import ServerSentEvent

from app.api.answering import run_answer
from app.api.answers import AnswerBody
from app.api.errors import problem_of, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.keys import Principal
from app.api.openai.chat_bodies import generation_options, to_request
from app.api.openai.comparison_filters import to_filters
from app.api.openai.error_shape import error_object
from app.api.openai.response_bodies import (
    RESULTS,
    ResponsesBody,
    file_citations,
    message_item,
    response_object,
    search_call,
    search_results,
    text_part,
)
from app.api.openai.response_tasks import told_task, whole_task
from app.api.openai.shapes import ModelNotFound, new_id, resolve_model
from app.api.openai.store_files import file_names
from app.api.openai.tasks import answer_task
from app.api.openai.wrapped import WARNING, unwrapped
from app.api.routing import AUTO_NAME, Scope, scope_of
from app.api.state import ApiState, Reader, Ready, State, Writer
from app.api.streams import Bridge, event, stream
from app.errors import NotFound, NotPermitted
from app.telemetry import Trace
from app.types import AskRequest, Message, Passage

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["openai"])
_HISTORY_MESSAGES = 100


class _Reply:
    """One response while it grows: its two output items, the passages, and who is told.

    `reach` holds the collections that earlier turns of the conversation were answered from.
    """

    def __init__(self, body: ResponsesBody, question: str, reach: frozenset[str] = frozenset()) -> None:
        self.body = body
        self.question = question
        self.reach = reach
        self.id = new_id("resp")
        self.search_id, self.message_id = new_id("fs"), new_id("msg")
        self.created = int(time.time())
        self.passages: tuple[Passage, ...] = ()
        self.names: dict[str, str] = {}
        self._sequence = -1

    def read(self, services: Services, passages: tuple[Passage, ...]) -> None:
        """Takes note of the passages and of their files' names."""
        self.passages = passages
        self.names = file_names(services, [passage.hit.chunk.document_id for passage in passages])

    def search(self, status: str) -> dict[str, Any]:
        results = (
            search_results(self.passages, self.names)
            if RESULTS in (self.body.include or ()) and self.passages
            else None
        )
        return search_call(self.search_id, status, [self.question] if status != "in_progress" else [], results)

    def message(self, answer: AnswerBody) -> dict[str, Any]:
        return message_item(
            self.message_id, "completed", [text_part(answer.answer, file_citations(answer, self.names))]
        )

    def done(self, answer: AnswerBody) -> dict[str, Any]:
        output = [self.search("completed"), self.message(answer)]
        return response_object(self.id, self.created, self.body, "completed", output, answer=answer)

    def pending(self) -> dict[str, Any]:
        return response_object(self.id, self.created, self.body, "in_progress", [])

    def tell(self, kind: str, **fields: Any) -> ServerSentEvent:
        """One event of the stream: named, typed and numbered, as OpenAI's clients expect."""
        self._sequence += 1
        return event(kind, {"type": kind, "sequence_number": self._sequence, **fields})

    def tell_search(self, step: str) -> ServerSentEvent:
        return self.tell(f"response.file_search_call.{step}", output_index=0, item_id=self.search_id)

    def tell_text(self, kind: str, **fields: Any) -> ServerSentEvent:
        return self.tell(kind, item_id=self.message_id, output_index=1, content_index=0, **fields)


@router.post("/v1/responses", response_model=None)
async def create_response(
    body: ResponsesBody, request: Request, state: State, services: Ready, caller: Reader
) -> Response:
    """An answer from the collection that `model` or `file_search` names, with file citations in its text.

    The model `attest-auto` lets the routes choose, within the stores of `file_search` where there are any.
    """
    question, history = body.conversation()
    typed = unwrapped(question)
    question = typed or question
    reach: frozenset[str] = frozenset()
    if body.previous_response_id is not None:
        earlier = await state.blocking(_stored, services, caller, body.previous_response_id)
        history = (*(Message(**message) for message in earlier["conversation"]), *history)
        reach = frozenset(earlier["collections"])
    tool = body.file_search
    scope = await _scope(state, services, caller, body)
    generator = body.model.partition(":")[2] or None
    earlier_words = [message.content for message in history if message.role == "user"]
    task = answer_task(question, earlier_words, instructions=body.instructions or "", wants_json=body.wants_json)
    if task is not None:
        return stream(told_task(body, task)) if body.stream else JSONResponse(whole_task(body, task))
    wanted = to_request(
        question,
        history[-_HISTORY_MESSAGES:],
        scope,
        generation_options(
            generator,
            state.settings,
            max_tokens=body.max_output_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            seed=None,
        ),
        state.settings,
        filters=to_filters(tool.filters, ("body", "tools", 0, "filters")) if tool and tool.filters else {},
    )
    if tool and tool.max_num_results:
        wanted = replace(wanted, context_chunks=tool.max_num_results)
    trace = Trace(request_id_of(request.scope), metrics=services.metrics)
    if typed:
        trace.warnings.append(WARNING)
    reply, line = _Reply(body, question, reach), line_of(request.scope)
    if body.stream:
        return _streamed(state, services, wanted, trace, reply, line)

    def answered() -> dict[str, Any]:
        def keep(name: str, data: dict[str, Any]) -> None:
            if name == "sources":
                reply.read(services, data["passages"])

        return _finish(services, reply, run_answer(services, wanted, trace, keep, with_trace=False), wanted)

    return JSONResponse(await until_disconnect(request, state.models.submit(answered, line), trace.cancel))


async def _scope(state: ApiState, services: Services, caller: Principal, body: ResponsesBody) -> Scope:
    """Where it is asked. Raises `ModelNotFound` and `NotPermitted` as `resolve_model`."""
    tool = body.file_search
    if not tool or not tool.vector_store_ids:
        return (await resolve_model(state, services, caller, body.model))[0]
    route = "auto" if body.model.partition(":")[0] == AUTO_NAME else None
    stores = list(dict.fromkeys(tool.vector_store_ids))
    try:
        return await state.blocking(scope_of, services, caller, route, stores)
    except NotFound as error:
        raise ModelNotFound(f"{error.message}; GET /v1/vector_stores lists those there are") from None


@router.get("/v1/responses/{response_id}")
async def get_response(response_id: str, state: State, services: Ready, caller: Reader) -> dict[str, Any]:
    """A stored response; it goes when a document that it quotes is deleted."""
    found: dict[str, Any] = (await state.blocking(_stored, services, caller, response_id))["response"]
    return found


@router.delete("/v1/responses/{response_id}")
async def delete_response(response_id: str, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Forgets a stored response."""
    await state.blocking(_stored, services, caller, response_id)
    await state.blocking(services.catalog.delete_answer, response_id)
    return {"id": response_id, "object": "response", "deleted": True}


def _stored(services: Services, caller: Principal, response_id: str) -> dict[str, Any]:
    try:
        stored = services.catalog.get_answer(response_id)
    except NotFound:
        stored = {}
    if "response" not in stored:
        raise NotFound(f"there is no response {response_id!r}: it was not stored, or a document it quotes is gone")
    for collection in stored["collections"]:
        caller.need_collection(collection)
    if stored.get("unlimited") and caller.collections is not None:
        raise NotPermitted("this response holds rows of a SQL source: a key that is limited to collections reads none")
    return stored


def _finish(services: Services, reply: _Reply, answer: AnswerBody, wanted: AskRequest) -> dict[str, Any]:
    """The finished object, kept with its conversation unless the caller said `store: false`."""
    whole = reply.done(answer)
    if reply.body.store is not False:
        said = [*wanted.history, Message("user", reply.question)]
        if answer.result is None:
            said.append(Message("assistant", answer.answer))
        kept = {
            "response": whole if answer.result is None else reply.done(_without_cells(answer)),
            **_reach(wanted, answer, reply.reach),
            "conversation": [{"role": m.role, "content": m.content} for m in said[-_HISTORY_MESSAGES:]],
            "citations": whole["citations"],
        }
        services.catalog.save_answer(reply.id, reply.question, kept)
    return whole


def _without_cells(answer: AnswerBody) -> AnswerBody:
    """The answer as it is kept: cells of a table that no citation names would outlive their document."""
    return answer.model_copy(update={"answer": "", "short_answer": "", "citations": [], "result": None})


def _reach(wanted: AskRequest, answer: AnswerBody, earlier: frozenset[str]) -> dict[str, Any]:
    """What a key must be allowed to read so that it may read the stored response again."""
    collections = {*earlier, *(answer.collection_generation or wanted.collections)}
    taken = next((route for route in wanted.routes if answer.route and route.name == answer.route.route), None)
    if answer.result is not None and taken is not None:
        collections |= set(taken.collections or wanted.collections)
        return {"collections": sorted(collections), "unlimited": taken.source is not None}
    return {"collections": sorted(collections)}


def _streamed(
    state: ApiState, services: Services, wanted: AskRequest, trace: Trace, reply: _Reply, line: str
) -> Response:
    bridge = Bridge()

    def work() -> tuple[dict[str, Any], AnswerBody]:
        answer = run_answer(services, wanted, trace, bridge.emit, with_trace=False)
        return _finish(services, reply, answer, wanted), answer

    future = state.models.submit(work, line)
    future.add_done_callback(bridge.finish)

    def stop() -> None:
        trace.cancel()
        future.cancel()

    async def events() -> AsyncIterator[ServerSentEvent]:
        try:
            yield reply.tell("response.created", response=reply.pending())
            yield reply.tell("response.in_progress", response=reply.pending())
            yield reply.tell("response.output_item.added", output_index=0, item=reply.search("in_progress"))
            yield reply.tell_search("in_progress")
            yield reply.tell_search("searching")
            async for name, data in bridge:
                if name == "sources":
                    await state.blocking(reply.read, services, data["passages"])
                    yield reply.tell_search("completed")
                    yield reply.tell("response.output_item.done", output_index=0, item=reply.search("completed"))
                    item = message_item(reply.message_id, "in_progress", [])
                    yield reply.tell("response.output_item.added", output_index=1, item=item)
                    yield reply.tell_text("response.content_part.added", part=text_part("", []))
                elif name == "token":
                    yield reply.tell_text("response.output_text.delta", delta=data["text"], logprobs=[])
            assert bridge.outcome is not None
            if bridge.outcome.cancelled():
                return
            if (error := bridge.outcome.exception()) is not None:
                yield _failed(services, reply, error, trace)
                return
            whole, answer = bridge.outcome.result()
            for told in _ending(reply, whole, answer):
                yield told
        finally:
            stop()

    return stream(events(), on_close=stop)


def _ending(reply: _Reply, whole: dict[str, Any], answer: AnswerBody) -> list[ServerSentEvent]:
    annotations = file_citations(answer, reply.names)
    told = [
        reply.tell_text("response.output_text.annotation.added", annotation_index=number, annotation=annotation)
        for number, annotation in enumerate(annotations)
    ]
    told.append(reply.tell_text("response.output_text.done", text=answer.answer, logprobs=[]))
    told.append(reply.tell_text("response.content_part.done", part=text_part(answer.answer, annotations)))
    told.append(reply.tell("response.output_item.done", output_index=1, item=reply.message(answer)))
    told.append(reply.tell("response.completed", response=whole))
    return told


def _failed(services: Services, reply: _Reply, error: BaseException, trace: Trace) -> ServerSentEvent:
    document = problem_of(error, instance="/v1/responses", request_id=trace.request_id)
    services.metrics.errors.labels(code=document["code"]).inc()
    if document["status"] == 500:
        structlog.get_logger("api").error("response_failed", exc_info=error)
    shape = error_object(document)["error"]
    code = "rate_limit_exceeded" if document["status"] == 429 else "server_error"
    failure = {"code": code, "message": shape["message"]}
    whole = response_object(reply.id, reply.created, reply.body, "failed", [], error=failure)
    return reply.tell("response.failed", response=whole)
