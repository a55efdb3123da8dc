"""Exceptions → RFC 9457 problem documents. Nothing internal (paths, stack traces, SQL) leaves the server here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.api.openai.error_shape import error_object, speaks_openai, status_for_clients
from app.errors import (
    AttestError,
    Cancelled,
    Conflict,
    IntegrityError,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Overloaded,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)

MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499  # nginx's number for a client that hung up; nobody is left to read it

# The first match along the exception's own ancestry wins.
_STATUS: Mapping[type[AttestError], int] = {
    UnsupportedMedia: 415,
    TooLarge: 413,
    InvalidInput: 422,
    NotFound: 404,
    Conflict: 409,
    NotAuthenticated: 401,
    NotPermitted: 403,
    Overloaded: 429,
    Unavailable: 503,
    IntegrityError: 500,
    Cancelled: CLIENT_CLOSED_REQUEST,
}
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media"}
_TITLES = {CLIENT_CLOSED_REQUEST: "Client Closed Request", 413: "Content Too Large", 422: "Unprocessable Content"}


class FieldProblem(BaseModel):
    """One thing wrong with the request: `loc` is the path to it, `["body", "generation", "top_p"]`."""

    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """An RFC 9457 problem document; `code` is stable and machine-readable."""

    type: str = Field(examples=["urn:attest:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no collection named 'contracts': create it with POST /v1/collections"])
    instance: str = Field(examples=["/v1/ask"])
    request_id: str = Field(examples=["0f9ad3f2c1b64c5f9a5f0c3b7b1d2e44"])
    code: str = Field(examples=["not_found"])
    errors: list[FieldProblem] | None = None


class InvalidFields(InvalidInput):
    """Several things are wrong with one request; each says where."""

    code = "invalid_input"

    def __init__(self, errors: Sequence[FieldProblem]) -> None:
        super().__init__(summary(errors))
        self.errors = list(errors)


def invalid_field(loc: Sequence[str | int], msg: str, type_: str = "value_error") -> InvalidFields:
    """An `InvalidFields` for a single field, for checks that depend on the settings."""
    return InvalidFields([FieldProblem(loc=list(loc), msg=msg, type=type_)])


def summary(errors: Sequence[FieldProblem]) -> str:
    """One sentence that names the first few fields and what is wrong with each."""
    if not errors:
        return "the request is not valid"
    told = "; ".join(f"{'.'.join(str(part) for part in error.loc)}: {error.msg}" for error in errors[:3])
    return told if len(errors) <= 3 else f"{told}; and {len(errors) - 3} more"


def printable(text: str, limit_chars: int = 500) -> str:
    """`text` cut to the limit, without lone surrogates, so that it always encodes as UTF-8."""
    return text[:limit_chars].encode("utf-8", "replace").decode("utf-8")


def field_problems(errors: Sequence[Any]) -> list[FieldProblem]:
    """Pydantic's errors without the input values, which may be secret, huge or unencodable."""
    return [
        FieldProblem(
            loc=[part if isinstance(part, int) else printable(str(part), 100) for part in error.get("loc", ())],
            msg=printable(str(error.get("msg", "")).removeprefix("Value error, ")),
            type=str(error.get("type", "value_error")),
        )
        for error in errors[:100]
    ]


def status_of(error: AttestError) -> int:
    """The HTTP status that a domain error is told as."""
    for ancestor in type(error).__mro__:
        if ancestor in _STATUS:
            return _STATUS[ancestor]
    return 500


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    instance: str = "",
    request_id: str = "",
    errors: Sequence[FieldProblem] | None = None,
) -> dict[str, Any]:
    """A problem document as a JSON-ready object; `errors` is left out when there are none."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    document = Problem(
        type=f"urn:attest:problem:{code}",
        title=title,
        status=status,
        detail=printable(detail, 2_000),
        instance=printable(instance),
        request_id=request_id,
        code=code,
        errors=list(errors) if errors else None,
    )
    return document.model_dump(exclude_none=True)


def problem_of(error: BaseException, *, instance: str = "", request_id: str = "") -> dict[str, Any]:
    """The problem document of any exception; what is not ours is a 500 that says nothing of the inside."""
    if isinstance(error, InvalidFields):
        return problem(422, error.code, error.message, instance=instance, request_id=request_id, errors=error.errors)
    if isinstance(error, AttestError):
        status = status_of(error)
        detail = error.message if status != 500 else "stored data failed its integrity check; see the server's log"
        return problem(status, error.code, detail, instance=instance, request_id=request_id)
    return problem(
        500,
        "internal",
        "the server failed to answer; its log has the reason under this request id",
        instance=instance,
        request_id=request_id,
    )


def headers_of(error: AttestError) -> dict[str, str]:
    """The headers that belong to a domain error: Retry-After, WWW-Authenticate."""
    if isinstance(error, Overloaded):
        return {"Retry-After": str(max(1, error.retry_after_s))}
    if isinstance(error, Unavailable):
        return {"Retry-After": "1"}
    if isinstance(error, NotAuthenticated):
        return {"WWW-Authenticate": 'Bearer realm="attest"'}
    return {}


def problem_response(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The response that carries a problem document, in OpenAI's shape where its clients are spoken to."""
    if speaks_openai(document.get("instance", "")):
        status = status_for_clients(document["status"])
        return JSONResponse(error_object(document), status, dict(headers or {}))
    return JSONResponse(dict(document), document["status"], dict(headers or {}), MEDIA_TYPE)


def request_id_of(scope: Mapping[str, Any]) -> str:
    """The id that the outermost middleware gave to this request."""
    state = scope.get("state") or {}
    return str(state.get("request_id", ""))


def _respond(request: Request, document: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    request.scope.setdefault("state", {})["error_code"] = document["code"]
    return problem_response(document, headers)


def _problem_for(
    request: Request, status: int, code: str, detail: str, errors: Sequence[FieldProblem] | None = None
) -> dict[str, Any]:
    request_id = request_id_of(request.scope)
    return problem(status, code, detail, instance=request.url.path, request_id=request_id, errors=errors)


async def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AttestError)
    if status_of(error) == 500:
        structlog.get_logger("api").error("integrity", error=error.message)
    return _respond(
        request,
        problem_of(error, instance=request.url.path, request_id=request_id_of(request.scope)),
        headers_of(error),
    )


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = field_problems(error.errors())
    code = "invalid_json" if any(item.type == "json_invalid" for item in errors) else "invalid_input"
    return _respond(request, _problem_for(request, 422, code, summary(errors), errors))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    cause = error.__cause__
    if isinstance(cause, AttestError):  # raised below FastAPI's body parser, which wraps whatever it meets
        return await _domain_error(request, cause)
    status, detail = error.status_code, str(error.detail)
    code = _CODES.get(status, "http_error")
    if status == 404:
        detail = f"nothing is served at {request.url.path}: see /docs for what is"
    elif status == 405:
        detail = f"{request.method} is not served at {request.url.path}"
    elif status == 400 and isinstance(cause, (ValueError, RecursionError)):
        # a body that is no JSON in a way that FastAPI has no error for: bad UTF-8, too deep, thousands of digits
        status, code = 422, "invalid_json"
        detail = "the body is not usable JSON: send UTF-8 encoded JSON of ordinary depth and number sizes"
    return _respond(request, _problem_for(request, status, code, detail), error.headers)


def install(app: FastAPI) -> None:
    """Every error of every route becomes a problem document."""
    app.add_exception_handler(AttestError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for these statuses, each a problem document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _TITLES.get(status) or HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }
