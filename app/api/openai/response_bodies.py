"""Wire models of the Responses API: what comes in, and the response object that goes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from app.api.answers import AnswerBody
from app.api.errors import invalid_field
from app.api.openai.chat_bodies import ContentPart, routed_fields
from app.api.openai.shapes import LenientRequest, relevance_of
from app.api.openai.store_files import attributes_of, file_id_of
from app.api.wire import Metadata, Text
from app.types import Message, Passage

RESULTS = "file_search_call.results"


class InputItem(LenientRequest):
    """A message of the conversation; items of other types (calls, results, reasoning) say nothing to documents."""

    type: str = "message"
    role: str | None = None
    content: Text | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class Tool(LenientRequest):
    type: str
    vector_store_ids: list[Text] | None = Field(None, max_length=100)
    max_num_results: int | None = Field(None, ge=1, le=50)
    filters: dict[str, Any] | None = None


class ResponsesBody(LenientRequest):
    model: Text = Field("default", min_length=1, max_length=400)
    input: Text | list[InputItem]
    instructions: Text | None = None
    previous_response_id: Text | None = Field(None, max_length=200)
    tools: list[Tool] = Field(default_factory=list, max_length=100)
    include: list[str] | None = None
    metadata: Metadata | None = None
    stream: bool = False
    store: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_output_tokens: int | None = None
    text: Any = None

    @property
    def wants_json(self) -> bool:
        """Whether the answer must be JSON."""
        form = self.text.get("format") if isinstance(self.text, dict) else None
        return isinstance(form, dict) and form.get("type") in ("json_object", "json_schema")

    @property
    def file_search(self) -> Tool | None:
        return next((tool for tool in self.tools if tool.type == "file_search"), None)

    def conversation(self) -> tuple[str, tuple[Message, ...]]:
        """The last thing that the user said, and what was said before. Raises `InvalidFields` without a question."""
        if isinstance(self.input, str):
            spoken = [Message("user", self.input)]
        else:
            spoken = [
                Message(item.role, item.text)
                for item in self.input
                if item.type == "message" and item.role in ("user", "assistant") and item.text.strip()
            ]
        last = max((i for i, message in enumerate(spoken) if message.role == "user"), default=-1)
        if last < 0 or not spoken[last].content.strip():
            raise invalid_field(("body", "input"), "must hold a user's question", "no_question")
        return spoken[last].content, tuple(spoken[:last])


def search_call(
    item_id: str, status: str, queries: Sequence[str], results: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """The output item of a file search; `results` are null unless the caller asked to include them."""
    return {
        "id": item_id,
        "type": "file_search_call",
        "status": status,
        "queries": list(queries),
        "results": results,
    }


def search_results(passages: Sequence[Passage], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The passages that were read, as file search tells them; `score` is in [0, 1], `names` those of the files."""
    return [
        {
            "file_id": file_id_of(passage.hit.chunk.document_id),
            "filename": names.get(passage.hit.chunk.document_id, passage.hit.chunk.title),
            "score": relevance_of(passage.hit),
            "text": passage.text,
            "attributes": attributes_of(passage.hit.chunk.metadata),
        }
        for passage in passages
    ]


def file_citations(answer: AnswerBody, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One `file_citation` for each citation; `index` is the place in the text after which it stands. The offsets of
    the quote in the document are ours."""
    return [
        {
            "type": "file_citation",
            "index": citation.answer_end,
            "file_id": file_id_of(citation.document_id),
            "filename": names.get(citation.document_id, citation.title),
            "quote": citation.quote,
            "char_start": citation.char_start,
            "char_end": citation.char_end,
        }
        for citation in answer.citations
    ]


def text_part(text: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def message_item(item_id: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def response_object(
    response_id: str,
    created: int,
    body: ResponsesBody,
    status: Literal["in_progress", "completed", "failed"],
    output: list[dict[str, Any]],
    *,
    answer: AnswerBody | None = None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The `response` object; what the official client requires is always there."""
    prompt = answer.usage.prompt_tokens if answer else 0
    completion = answer.usage.completion_tokens if answer else 0
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
    ours = {"answer_id": answer.id, "abstained": answer.abstained, "confidence": answer.confidence} if answer else None
    if answer and ours:
        ours |= routed_fields(answer)
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": status,
        "error": error,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": body.model,
        "output": output,
        "parallel_tool_calls": False,
        "previous_response_id": body.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "store": body.store is not False,
        "temperature": body.temperature,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [tool.model_dump(exclude_none=True) for tool in body.tools],
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": usage if answer else None,
        "user": None,
        "attest": ours,
        "citations": [citation.model_dump(mode="json") for citation in answer.citations] if answer else [],
    }
