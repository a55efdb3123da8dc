"""Errors as OpenAI's clients read them. Imported by `app.api.errors`, hence free of the rest of the surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PATHS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/models",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/files",
    "/v1/vector_stores",
)
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}
_CODES = {"not_authenticated": "invalid_api_key", "overloaded": "rate_limit_exceeded"}


def speaks_openai(path: str) -> bool:
    """Whether errors at this path have OpenAI's shape."""
    return any(path == known or path.startswith(f"{known}/") for known in _PATHS)


def error_object(document: Mapping[str, Any]) -> dict[str, Any]:
    """A problem document as OpenAI's `{"error": {message, type, param, code}}`; `request_id` is ours."""
    code = document["code"]
    fields = document.get("errors") or []
    where = [str(part) for part in fields[0]["loc"] if part != "body"] if fields else []
    param = "model" if code == "model_not_found" else (".".join(where) or None)
    return {
        "error": {
            "message": document["detail"],
            "type": _TYPES.get(document["status"], "invalid_request_error"),
            "param": param,
            "code": _CODES.get(code, code),
            "request_id": document["request_id"],
        }
    }


def status_for_clients(status: int) -> int:
    """The status that OpenAI's own clients expect: what is wrong with a request is a 400 there, not a 422."""
    return 400 if status == 422 else status


def documented_errors() -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` of the errors that these routes give."""
    text = {"type": "string"}
    fields = {"message": text, "type": text, "param": {"type": ["string", "null"]}, "code": text, "request_id": text}
    error = {"type": "object", "required": ["message", "type", "param", "code"], "properties": fields}
    schema = {"type": "object", "required": ["error"], "properties": {"error": error}}
    told = {400: "The request is not valid", 401: "No valid API key", 403: "The key may not", 404: "Not found",
            413: "Too large", 429: "Too many requests", 503: "Not ready"}  # fmt: skip
    return {
        status: {"description": words, "content": {"application/json": {"schema": schema}}}
        for status, words in told.items()
    }
