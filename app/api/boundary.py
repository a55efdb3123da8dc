"""The outermost middleware: request id, security headers, one log line, request metrics, and the last `except`."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import CLIENT_CLOSED_REQUEST, headers_of, problem_of, problem_response
from app.errors import AttestError

if TYPE_CHECKING:
    from app.telemetry import Metrics

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


class Boundary:
    """Nothing passes this without a request id, and no exception leaves it: an unknown one becomes a bare 500."""

    def __init__(self, app: ASGIApp, metrics: Callable[[], Metrics | None]) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        presented = Headers(scope=scope).get("x-request-id", "")
        request_id = presented if _SANE_ID.fullmatch(presented) else uuid.uuid4().hex
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        started_s = time.perf_counter()
        status = CLIENT_CLOSED_REQUEST  # until a response starts

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_headers)
            except ClientDisconnect:
                return  # it hung up while it was sending: nobody is left to answer
            except Exception as error:  # noqa: BLE001 - the request's boundary
                if not isinstance(error, AttestError):
                    structlog.get_logger("api").exception("unhandled", path=scope["path"])
                if status != CLIENT_CLOSED_REQUEST:
                    return  # the response had begun: cutting it off is all that is left
                document = problem_of(error, instance=scope["path"], request_id=request_id)
                state["error_code"] = document["code"]
                headers = headers_of(error) if isinstance(error, AttestError) else None
                await problem_response(document, headers)(scope, receive, send_with_headers)
            finally:
                self._record(scope, state, status, time.perf_counter() - started_s)

    def _record(self, scope: Scope, state: dict[str, Any], status: int, elapsed_s: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "unmatched")  # the template: bounded in number
        if metrics := self._metrics():
            metrics.request_seconds.labels(method=method, route=route, status=str(status)).observe(elapsed_s)
            if status >= 400:
                metrics.errors.labels(code=state.get("error_code", "http_error")).inc()
        log = structlog.get_logger("api")
        polled = route.startswith("/health/") or route == "/metrics"  # every few seconds, by machines
        (log.debug if polled else log.info)(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(elapsed_s * 1000, 1),
            caller=state.get("caller", ""),
        )
