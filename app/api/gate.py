"""What every request passes before its route: host and origin, API key, rate limit, media type and body size.

All of it happens before the body is read, so that an unwanted request costs nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.keys import KeyRing, RateLimiter
from app.errors import AttestError, InvalidInput, NotAuthenticated, NotPermitted, TooLarge, UnsupportedMedia

JSON_BODY_BYTES = 2 * 2**20  # everything but documents and golden sets: a question with its history is far below
_FORM_OVERHEAD_BYTES = 2**20
_OPEN_PATHS = ("/health/live", "/health/ready")
_OPEN_PREFIX = "/assets/"  # the page's own code, which is public: a browser can send no key for a script
_PAGE = "/"


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only: localhost, 127.0.0.0/8, ::1."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(netloc: str) -> str:
    """The name in `name:port`, `[::1]:port` or `name`; empty when it cannot be read."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


class Gate:
    """Raises the domain error that fits; the boundary around it writes the problem document.

    Without keys, whoever can reach the port is let in, and a web page in the user's browser can reach it: hence the
    check of `Host` (against DNS rebinding) and of `Origin` (against cross-site requests).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyRing,
        limiter: RateLimiter,
        bound_host: str,
        cors_origins: Sequence[str],
        document_bytes: int,
        form_bytes: int,
        evaluation_bytes: int,
    ) -> None:
        self._app = app
        self._keys = keys
        self._limiter = limiter
        self._bound_host = bound_host
        self._cors_origins = frozenset(origin.rstrip("/").lower() for origin in cors_origins)
        self._document_bytes = document_bytes
        self._form_bytes = form_bytes
        self._evaluation_bytes = evaluation_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self._keys:
            self._same_site(headers)
        if scope["path"] == _PAGE and _opened_by_a_person(headers):
            # with keys they get the page as the 401 that it is, and the page asks for one
            scope.setdefault("state", {})["needs_key"] = bool(self._keys)
        elif scope["path"] not in _OPEN_PATHS and not scope["path"].startswith(_OPEN_PREFIX):
            self._identify(scope, headers)
        limit_bytes = self._limit_bytes(scope["path"], headers)
        _check_length(headers, limit_bytes)
        if scope["method"] in ("POST", "PUT", "PATCH"):
            _check_media_type(scope["path"], headers)
        await self._app(scope, _counted(receive, limit_bytes), send)

    def _same_site(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = host_name(host)
        if is_loopback(self._bound_host) and not (is_loopback(name) or name == self._bound_host.lower()):
            raise NotPermitted(
                f"the Host header {host[:100]!r} does not name this machine: without API keys the server answers to "
                "localhost only; set ATTEST_API_KEYS to serve under another name"
            )
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._cors_origins:
            netloc = origin.partition("://")[2]
            if netloc.lower() != host.lower():
                raise NotPermitted(
                    f"the page at {origin[:100]!r} may not call this server: add it to ATTEST_SERVER__CORS_ORIGINS"
                )
        elif (
            origin is None
            and headers.get("sec-fetch-site") == "cross-site"
            and headers.get("sec-fetch-mode") != "navigate"
        ):
            raise NotPermitted("a page of another site may not call this server: set ATTEST_SERVER__CORS_ORIGINS")

    def _identify(self, scope: Scope, headers: Headers) -> None:
        client = scope.get("client")
        address = str(client[0]) if client else "unknown"
        try:
            principal = self._keys.identify(headers)
        except NotAuthenticated:
            self._limiter.check(f"unknown:{address}")  # guessing keys is limited too
            raise
        line = principal.name if self._keys else address
        self._limiter.check(line)
        state = scope.setdefault("state", {})
        state["line"] = line
        state["principal"] = principal
        state["caller"] = principal.name

    def _limit_bytes(self, path: str, headers: Headers) -> int:
        if path == "/v1/evaluations":
            return self._evaluation_bytes
        if not _takes_files(path):
            return JSON_BODY_BYTES
        if headers.get("content-type", "").lower().startswith("multipart/"):
            return self._form_bytes + _FORM_OVERHEAD_BYTES  # each file has its own limit while it is read
        # JSON may write every character as six (`\u4e2d`); it is read into memory, hence one document's limit in all
        return self._document_bytes + _FORM_OVERHEAD_BYTES


def _opened_by_a_person(headers: Headers) -> bool:
    """Whether a page is wanted, as every browser says that opens an address, and no key came with the request."""
    return "text/html" in headers.get("accept", "").lower() and not (
        "authorization" in headers or "x-api-key" in headers
    )


def _takes_files(path: str) -> bool:
    return path in ("/v1/documents", "/v1/files") or path.startswith("/v1/documents/")


def _check_length(headers: Headers, limit_bytes: int) -> None:
    length = headers.get("content-length")
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise InvalidInput(f"the Content-Length header {length[:40]!r} must be a number of bytes")
    if len(length) > 18 or int(length) > limit_bytes:
        raise _too_large(limit_bytes)


def _too_large(limit_bytes: int) -> AttestError:
    return TooLarge(f"the body is larger than {limit_bytes} bytes, the limit here: send less at once")


def _check_media_type(path: str, headers: Headers) -> None:
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    if not has_body or given == "application/json" or (given.startswith("application/") and given.endswith("+json")):
        return
    if given == "multipart/form-data" and _takes_files(path):
        return
    raise UnsupportedMedia(
        f"the Content-Type {given[:100]!r} is not taken at this address: send application/json"
        + (" or multipart/form-data" if _takes_files(path) else "")
    )


def _counted(receive: Receive, limit_bytes: int) -> Receive:
    """`receive` that fails once more than the limit has come in, whatever Content-Length said."""
    seen_bytes = 0

    async def counted() -> Message:
        nonlocal seen_bytes
        message = await receive()
        if message["type"] == "http.request":
            seen_bytes += len(message.get("body", b""))
            if seen_bytes > limit_bytes:
                raise _too_large(limit_bytes)
        return message

    return counted
