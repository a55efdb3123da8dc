"""The page at `/` and its assets: built files from `app/web/dist`, under a policy that runs nothing but them.

With API keys, opening `/` is answered 401 like everything else; but the body of that answer is the page, which asks for
the key. A browser shows it, because it knows no dialog of its own for bearer keys.
"""

from __future__ import annotations

import functools
import gzip
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.errors import headers_of
from app.errors import NotAuthenticated, NotFound

router = APIRouter(include_in_schema=False)

DIST = Path(__file__).resolve().parents[1] / "web" / "dist"
PAGE_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "object-src 'none'",
        "frame-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify attest-worker",
    )
)
WORKER_POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"
"""Of pdf.js' worker, which has a policy of its own: it compiles the JPEG 2000 and JBIG2 decoders."""

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}
_FOREVER = "public, max-age=31536000, immutable"
_FIXED = ("pdfjs/",)  # pdf.js asks for these by name, so no hash stands in it


@dataclass(frozen=True, slots=True)
class Asset:
    """One built file; `packed` is its gzip form, None where that saves nothing."""

    plain: bytes
    packed: bytes | None
    media_type: str


@router.get("/")
@router.head("/")
async def page(request: Request) -> Response:
    """The page; 401 with the same page where there are keys, which it then asks for: it holds no data itself."""
    needs_key = request.scope.get("state", {}).get("needs_key", False)
    headers = (headers_of(NotAuthenticated("this server wants an API key")) if needs_key else {}) | {
        "Content-Security-Policy": PAGE_POLICY,
        "Cache-Control": "no-cache",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    }
    return _respond(request, "index.html", headers, status=401 if needs_key else 200)


@router.get("/assets/{name:path}")
@router.head("/assets/{name:path}")
async def asset(name: str, request: Request) -> Response:
    """A built file of the page."""
    fixed = name.startswith(_FIXED)
    headers = {"Cache-Control": "public, max-age=86400" if fixed else _FOREVER}
    if name.startswith("pdf.worker"):
        headers["Content-Security-Policy"] = WORKER_POLICY
    return _respond(request, f"assets/{name}", headers)


def _respond(request: Request, name: str, headers: dict[str, str], status: int = 200) -> Response:
    if name not in names():
        if name == "index.html":
            raise NotFound("the page is not built into this installation: run `make web`, or use the API (/docs)")
        raise NotFound(f"the page has no file {name[:100]!r}: reload the page")
    found = load(name)
    headers["Vary"] = "Accept-Encoding"
    if found.packed is not None and "gzip" in request.headers.get("accept-encoding", "").lower():
        packed = headers | {"Content-Encoding": "gzip"}
        return Response(found.packed, status, media_type=found.media_type, headers=packed)
    return Response(found.plain, status, media_type=found.media_type, headers=headers)


@functools.cache
def names() -> frozenset[str]:
    """The built files, `index.html` and `assets/…`: only what is listed here is ever opened."""
    return frozenset(path.relative_to(DIST).as_posix() for path in DIST.rglob("*") if path.is_file())


@functools.cache
def load(name: str) -> Asset:
    """The file in memory with its gzip form; there are few and they never change while the server runs."""
    plain = (DIST / name).read_bytes()
    packed = gzip.compress(plain, 6, mtime=0)
    media_type = _MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
    return Asset(plain, packed if len(packed) < 0.9 * len(plain) else None, media_type)
