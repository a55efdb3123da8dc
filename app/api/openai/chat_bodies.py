"""Wire models of chat completions, and the conversation in them as a question with its history."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.api.answers import AnswerBody, CitationBody
from app.api.errors import invalid_field
from app.api.links import web_address
from app.api.openai.shapes import LenientRequest
from app.api.openai.wrapped import unwrapped
from app.api.options import check_question
from app.api.routing import Scope
from app.api.wire import Text
from app.settings import Settings
from app.types import AskRequest, GenerationOptions, Message, RetrievalOptions, Style

_HISTORY_MESSAGES = 100


class ContentPart(LenientRequest):
    type: str = "text"
    text: Text | None = None


class ChatMessage(LenientRequest):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """The written part of the message; pictures and sounds are no question to documents."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class StreamOptions(LenientRequest):
    include_usage: bool = False


class ChatBody(LenientRequest):
    model: Text = Field(min_length=1, max_length=400)
    messages: list[ChatMessage] = Field(min_length=1, max_length=2_000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, description="0 and less, which some front-ends send, is no limit")
    max_completion_tokens: int | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = None
    response_format: Any = None
    tool_choice: Any = None
    style: Style | None = Field(None, description="ours: form of the answer, as generation.style of /v1/ask")

    @property
    def instructions(self) -> str:
        """What the front-end told the model, as against what the person said."""
        return "\n".join(message.text for message in self.messages if message.role in ("system", "developer"))

    @property
    def wants_json(self) -> bool:
        """Whether the answer must be JSON."""
        kind = self.response_format.get("type") if isinstance(self.response_format, dict) else None
        return kind in ("json_object", "json_schema")

    def asked(self) -> tuple[str, bool]:
        """(the question as it was typed, whether the front-end had wrapped it). Raises `InvalidFields` without one."""
        question = self.question()
        typed = unwrapped(question)
        return (question, False) if typed is None else (typed, True)

    def question(self) -> str:
        """The last thing that the user said. Raises `InvalidFields` when there is none."""
        for message in reversed(self.messages):
            if message.role == "user" and message.text.strip():
                return message.text
        raise invalid_field(("body", "messages"), "must hold a message of the role user with some text", "no_question")

    def history(self) -> tuple[Message, ...]:
        """What user and assistant said before the question. Instructions of a front-end are no part of it."""
        last = max(i for i, message in enumerate(self.messages) if message.role == "user" and message.text.strip())
        spoken = [m for m in self.messages[:last] if m.role in ("user", "assistant") and m.text.strip()]
        return tuple(Message(message.role, message.text) for message in spoken[-_HISTORY_MESSAGES:])

    def generation(self, model: str | None, settings: Settings) -> GenerationOptions:
        """The sampling switches as the generator takes them."""
        return generation_options(
            model,
            settings,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            style=self.style,
        )


def generation_options(
    model: str | None,
    settings: Settings,
    *,
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    seed: int | None,
    style: Style | None = None,
) -> GenerationOptions:
    """Switches that a front-end sent, in ranges that every generator takes; without a temperature the best answer.

    Front-ends send their default temperature with every question. A language model varies its words by it; the bundled
    reader, which quotes, would give its second-best quote: it is not told. `POST /v1/ask` is for who wants that.
    """
    return GenerationOptions(
        model=model,
        max_tokens=min(max_tokens, 4_096) if max_tokens and max_tokens > 0 else 512,
        temperature=(temperature or 0.0) if _writes(model, settings) else 0.0,
        top_p=max(top_p, 1e-3) if top_p is not None else 1.0,
        seed=None if seed is None else seed % 2**63,
        style=style,
    )


def _writes(model: str | None, settings: Settings) -> bool:
    """Whether the model of that name, or the one for requests that name none, writes its answer instead of quoting."""
    chosen = settings.generation
    written = [name for name in (chosen.model, *chosen.models) if name != "bundled"]
    return (model or chosen.model) in {*written, *(name.partition(":")[2] for name in written)}


def to_request(
    question: str,
    history: tuple[Message, ...],
    scope: Scope,
    generation: GenerationOptions,
    settings: Settings,
    **where: Any,
) -> AskRequest:
    """The question as the pipeline sees it. Raises `InvalidFields` when it is blank or over the limit."""
    check_question(("body", "messages"), question, settings.limits)
    return AskRequest(
        question=question,
        collections=scope.collections,
        route=scope.route,
        routes=scope.routes,
        history=history,
        retrieval=RetrievalOptions(top_k=settings.retrieval.top_k, rrf_k=settings.retrieval.rrf_k),
        context_chunks=settings.context.chunks,
        generation=generation,
        **where,
    )


def routed_fields(answer: AnswerBody) -> dict[str, Any]:
    """How the question was routed, and what a table or the graph returned, where that is so; as `/v1/ask` tells it."""
    told = {"route": answer.route, "result": answer.result}
    return {name: body.model_dump(mode="json") for name, body in told.items() if body is not None}


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Token counts under the names that chat completions use."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def source_url(base_url: str, citation: CitationBody) -> str:
    """Where a reader of the answer finds the cited words: the source's own address, or our page at that place."""
    if address := web_address(citation.source_url):
        return address
    page = "" if citation.page is None else f"&page={citation.page}"
    place = f"version={citation.version}{page}&start={citation.char_start}&end={citation.char_end}"
    return f"{base_url.rstrip('/')}/#/documents/{citation.document_id}?{place}"


def annotations_of(body: AnswerBody, base_url: str) -> list[dict[str, Any]]:
    """One `url_citation` for each citation; the indices are code points of the answer, half-open."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": source_url(base_url, citation),
                "title": citation.title,
                "start_index": citation.answer_start,
                "end_index": citation.answer_end,
            },
        }
        for citation in body.citations
    ]


def open_webui_sources(body: AnswerBody, base_url: str) -> list[dict[str, Any]]:
    """Open WebUI's source frames, one for each citation: its list opens the nth for `[n]`. `page` there is 0-based."""
    frames = []
    for citation in body.citations:
        url = source_url(base_url, citation)
        place = f"#{citation.char_start}-{citation.char_end}"
        metadata: dict[str, Any] = {
            "source": f"{citation.document_id}{place}",
            "name": citation.title,
            "url": url,
            "document_id": citation.document_id,
            "version": citation.version,
            "char_start": citation.char_start,
            "char_end": citation.char_end,
        }
        if citation.page is not None:
            metadata["page"] = citation.page - 1
        data = {
            "source": {"id": metadata["source"], "name": citation.title, "url": url},
            "document": [citation.quote],
            "metadata": [metadata],
            "distances": [citation.score],
        }
        frames.append({"event": {"type": "source", "data": data}})
    return frames
