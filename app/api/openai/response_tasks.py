"""A front-end's own prompt, answered through the Responses API: a message and no search."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette import ServerSentEvent

from app.api.openai.response_bodies import ResponsesBody, message_item, response_object, text_part
from app.api.openai.shapes import new_id
from app.api.streams import event

_NOTHING = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


def whole_task(body: ResponsesBody, text: str) -> dict[str, Any]:
    """The `response` object; it is not kept, whatever `store` says: nobody reads it twice."""
    message = message_item(new_id("msg"), "completed", [text_part(text, [])])
    whole = response_object(new_id("resp"), int(time.time()), body, "completed", [message])
    return whole | {"usage": _NOTHING, "store": False}


async def told_task(body: ResponsesBody, text: str) -> AsyncIterator[ServerSentEvent]:
    """The same as a stream."""
    whole = whole_task(body, text)
    (message,) = whole["output"]
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    pending = whole | {"status": "in_progress", "output": [], "usage": None}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": pending}),
        ("response.in_progress", {"response": pending}),
        ("response.output_item.added", {"output_index": 0, "item": message | {"status": "in_progress", "content": []}}),
        ("response.content_part.added", place | {"part": text_part("", [])}),
        ("response.output_text.delta", place | {"delta": text, "logprobs": []}),
        ("response.output_text.done", place | {"text": text, "logprobs": []}),
        ("response.content_part.done", place | {"part": text_part(text, [])}),
        ("response.output_item.done", {"output_index": 0, "item": message}),
        ("response.completed", {"response": whole}),
    ]
    for number, (kind, fields) in enumerate(steps):
        yield event(kind, {"type": kind, "sequence_number": number, **fields})
