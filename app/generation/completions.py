"""The wire format of OpenAI's chat completions: the request's body, and what one event of the answer says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import Unavailable
from app.generation.chat import Delta
from app.types import GenerationOptions, Message

DONE = "[DONE]"
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
# what some servers refuse, and what to send instead (None: nothing)
_REPLACED: Mapping[str, str | None] = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": None,
    "top_p": None,
    "top_k": None,
    "seed": None,
    "logprobs": None,
    "stream_options": None,
    "response_format": None,
}


def request_body(
    model: str, messages: Sequence[Message], options: GenerationOptions, *, logprobs: bool = False
) -> dict[str, Any]:
    """The JSON of `POST /chat/completions`, streaming; options at their neutral value are left out."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": options.max_tokens,
        "temperature": options.temperature,
    }
    if options.top_p < 1.0:
        body["top_p"] = options.top_p
    if options.top_k > 0:
        body["top_k"] = options.top_k
    if options.seed is not None:
        body["seed"] = options.seed
    if logprobs:
        body["logprobs"] = True
    if options.json_schema is not None:
        wanted = {"name": "answer", "schema": json.loads(options.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return body


def adapted(body: Mapping[str, Any], refused: str) -> dict[str, Any] | None:
    """The body without a parameter that the server refused, or with its other name; None where that can not help."""
    if refused not in _REPLACED or refused not in body:
        return None
    other = _REPLACED[refused]
    changed = {name: value for name, value in body.items() if name != refused}
    if other is not None:
        changed[other] = body[refused]
    return changed


def refused_parameter(text: str) -> str | None:
    """The parameter that an error body names in `error.param`, or in the first words of its message."""
    error = _error_of(text)
    param = error.get("param")
    if isinstance(param, str) and param in _REPLACED:
        return param
    message = str(error.get("message", ""))[:400]
    return next((name for name in _REPLACED if re.search(rf"\b{name}\b", message)), None)


def error_code(text: str) -> str:
    """The `code` or `type` of an error body, when it is a plain word; messages may quote keys and prompts."""
    error = _error_of(text)
    for name in ("code", "type"):
        value = error.get(name)
        if isinstance(value, str) and _PLAIN.fullmatch(value):
            return value
    return ""


def delta_of(data: str) -> Delta:
    """What one event says.

    Raises:
        Unavailable: it is no JSON object, or it is an error.
    """
    try:
        chunk = json.loads(data)
    except ValueError:
        raise Unavailable("the model server sent an event that is no JSON: is it an OpenAI-compatible one?") from None
    if not isinstance(chunk, dict):
        raise Unavailable("the model server sent an event that is no JSON object: is it an OpenAI-compatible one?")
    if chunk.get("error"):
        code = error_code(data)
        raise Unavailable(f"the model server broke off with an error{f' ({code})' if code else ''}")
    usage = _mapping(chunk.get("usage"))
    choices = chunk.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    said = _mapping(choice.get("delta")) or _mapping(choice.get("message"))  # a server that does not stream sends one
    content = said.get("content")
    scores = [
        float(each["logprob"])
        for each in _mapping(choice.get("logprobs")).get("content") or ()
        if isinstance(each, dict) and isinstance(each.get("logprob"), int | float)
    ]
    finish = choice.get("finish_reason")
    return Delta(
        text=content if isinstance(content, str) else "",
        logprob=sum(scores) if scores else None,
        tokens=len(scores) or 1,
        finish_reason=finish if isinstance(finish, str) else None,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _error_of(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return _mapping(_mapping(body).get("error")) or _mapping(body)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
