"""`/v1/files`: bytes uploaded once, to be attached to vector stores."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.api.errors import invalid_field
from app.api.keys import ANYONE, Principal
from app.api.multipart import Form
from app.api.openai.shapes import new_id, page_of
from app.api.openai.store_files import documents_of_file
from app.api.state import ApiState, Reader, Ready, State, Writer
from app.api.submissions import safe_filename
from app.api.submit import read_upload
from app.index.records import FileRecord

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["openai"])
MOST = 10_000
Limit = Annotated[int, Query(ge=1, le=MOST)]


def file_object(record: FileRecord) -> dict[str, Any]:
    """A file as OpenAI tells it."""
    return {
        "id": record.id,
        "object": "file",
        "bytes": record.bytes,
        "created_at": int(record.created_at.timestamp()),
        "filename": record.filename,
        "purpose": record.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


def owner_of(caller: Principal) -> str | None:
    """Whose files the caller sees: a key limited to some collections sees its own uploads only."""
    return None if caller.collections is None else caller.name


@router.post("/v1/files")
async def upload_file(request: Request, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Keeps one file (multipart `file`, `purpose`); it is searched once it is attached to a vector store."""
    form = await _form(request, state)
    try:
        record = await state.blocking(_keep, services, caller, form, state.settings.limits.upload_bytes)
    finally:
        form.close()
    return file_object(record)


@router.get("/v1/files")
async def list_files(
    state: State,
    services: Ready,
    caller: Reader,
    after: str | None = None,
    limit: Limit = MOST,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> dict[str, Any]:
    """The files that the key may see."""
    records = await state.blocking(
        services.catalog.list_files,
        owner_of(caller),
        after=after,
        limit=min(limit + 1, MOST),
        newest_first=order == "desc",
        purpose=purpose,
    )
    return page_of([file_object(record) for record in records], limit)


@router.get("/v1/files/{file_id}")
async def get_file(file_id: str, state: State, services: Ready, caller: Reader) -> dict[str, Any]:
    """One file."""
    return file_object(await state.blocking(services.catalog.get_file, file_id, owner_of(caller)))


@router.get("/v1/files/{file_id}/content")
async def get_content(file_id: str, state: State, services: Ready, caller: Reader) -> Response:
    """The bytes as they were uploaded, as a download and never as a page."""
    record = await state.blocking(services.catalog.get_file, file_id, owner_of(caller))
    content = await state.blocking(services.blobs.read, record.sha256)
    return Response(content, media_type="application/octet-stream", headers={"Content-Disposition": "attachment"})


@router.delete("/v1/files/{file_id}")
async def delete_file(file_id: str, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Deletes the file, and what was made of it in the vector stores that the key may touch."""
    await state.blocking(_delete, services, caller, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


async def _form(request: Request, state: ApiState) -> Form:
    form = await read_upload(request, state, max_files=1)
    if [file.field_name for file in form.files] != ["file"]:
        form.close()
        raise invalid_field(("body", "file"), "must be one file, with a filename", "missing")
    return form


def _keep(services: Services, caller: Principal, form: Form, limit_bytes: int) -> FileRecord:
    (file,) = form.files
    sha256, size_bytes = services.blobs.put(file.stream, limit_bytes)
    record = FileRecord(
        id=new_id("file"),
        sha256=sha256,
        bytes=size_bytes,
        filename=safe_filename(file.filename) or "file",
        media_type=file.media_type if file.media_type != "application/octet-stream" else None,
        purpose=(form.fields.get("purpose") or "assistants")[:64],
        owner=caller.name if caller is not ANYONE else "",
        created_at=datetime.now(UTC),
    )
    services.catalog.add_file(record, services.blobs.exists)
    return record


def _delete(services: Services, caller: Principal, file_id: str) -> None:
    from app.index.publishing import delete_document  # opens FAISS: not before the services do

    record = services.catalog.get_file(file_id, owner_of(caller))
    for document in documents_of_file(services, caller, record):
        delete_document(services.catalog, services.index, services.blobs, document)
    services.catalog.delete_file(file_id)
    services.catalog.release_blobs([record.sha256], services.blobs.delete)
