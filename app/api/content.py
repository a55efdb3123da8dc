"""`GET /v1/documents/{id}/content`: the bytes as they were uploaded, as a download and never as a page."""

from __future__ import annotations

import os

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from app.api.documents import Version, read_document
from app.api.errors import documented
from app.api.state import Reader, Ready, State
from app.errors import NotFound

router = APIRouter(tags=["documents"])

CONTENT_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""An uploaded HTML file opened from here runs nothing, loads nothing and has an origin of its own."""

# What a browser may be told; everything else could be run by one and goes out as plain bytes.
_INERT = frozenset({"application/pdf", "text/plain", "text/markdown", "text/csv", "image/png", "image/jpeg"})
_MAX_NAME_CHARS = 150
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/v1/documents/{document_id}/content",
    response_class=Response,
    responses={
        200: {"description": "The uploaded bytes", "content": _BYTES},
        206: {"description": "The part that the Range header names", "content": _BYTES},
        **documented(401, 403, 404, 422, 503),
    },
)
async def get_content(
    document_id: str, state: State, services: Ready, caller: Reader, version: Version = None
) -> Response:
    """The document's own bytes, exactly as uploaded; `Range` is honoured. Always an attachment, never a page."""
    record = await state.blocking(read_document, services, caller, document_id, version)
    path = services.blobs.path(record.sha256)
    try:
        found = await state.blocking(os.stat, path)
    except FileNotFoundError:
        raise NotFound(
            f"the bytes of document {document_id!r} version {record.version} are not kept any more: upload it again"
        ) from None
    return FileResponse(
        path,
        stat_result=found,
        media_type=record.media_type if record.media_type in _INERT else "application/octet-stream",
        filename=download_name(record.filename or record.title),
        headers={"Content-Security-Policy": CONTENT_POLICY, "ETag": f'"{record.sha256}"'},
    )


def download_name(name: str) -> str:
    """`name` as a file may be called anywhere: no folders, no control characters, none too long; never empty."""
    last = name.replace("\\", "/").rpartition("/")[2]
    plain = "".join(character if character.isprintable() and character not in '<>:"|?*' else "_" for character in last)
    plain = plain.strip(". ")
    if len(plain) > _MAX_NAME_CHARS:
        stem, dot, ending = plain.rpartition(".")
        keep = f"{dot}{ending}" if stem and len(ending) <= 10 else ""
        plain = plain[: _MAX_NAME_CHARS - len(keep)] + keep
    return plain or "document"
