"""Documents in and out: submit, replace, read, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from app.api.document_bodies import (
    ChunkBody,
    ChunkListBody,
    DeletedBody,
    DocumentBody,
    DocumentListBody,
    SubmittedBody,
    VersionBody,
    VersionListBody,
)
from app.api.errors import documented
from app.api.keys import Principal
from app.api.state import Reader, Ready, State, Writer
from app.api.submit import REQUEST_BODY, Waiting, receive, submit
from app.errors import NotFound
from app.index.records import DocumentRecord
from app.types import DocumentStatus

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["documents"])
Wait = Annotated[
    float, Query(ge=0, le=300, allow_inf_nan=False, description="seconds to hold the answer until the job ends")
]
Version = Annotated[int | None, Query(ge=1, description="a version's number; the serving one where left out")]


@router.post(
    "/v1/documents",
    status_code=202,
    response_model=SubmittedBody,
    responses={
        200: {"model": SubmittedBody, "description": "Every document was there already; nothing was stored twice"},
        **documented(401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def add_documents(request: Request, state: State, services: Ready, caller: Writer, wait: Wait = 0.0) -> Response:
    """Takes files (multipart) or text (JSON, one or many) and queues them; 200 when all were there already."""
    received = await receive(request, state)
    body = await submit(state, services, caller, received, wait=Waiting(wait, request.is_disconnected))
    return _answer(body)


@router.put(
    "/v1/documents/{document_id}",
    status_code=202,
    response_model=SubmittedBody,
    responses={
        200: {"model": SubmittedBody, "description": "The document has these bytes already"},
        **documented(401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def replace_document(
    document_id: str, request: Request, state: State, services: Ready, caller: Writer, wait: Wait = 0.0
) -> Response:
    """A new version of the document; the old one serves until the new one is published."""
    current = await state.blocking(read_document, services, caller, document_id, None)
    received = await receive(request, state, single=True)
    waiting = Waiting(wait, request.is_disconnected)
    body = await submit(state, services, caller, received, wait=waiting, replaces=current)
    return _answer(body)


@router.get("/v1/documents", response_model=DocumentListBody, responses=documented(401, 403, 404, 422, 503))
async def list_documents(
    state: State,
    services: Ready,
    caller: Reader,
    collection: str | None = None,
    status: DocumentStatus | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> DocumentListBody:
    """Documents a page at a time; a key limited to some collections sees those only, so a page may be short."""
    if collection is not None:
        caller.need_collection(collection)
        await state.blocking(services.catalog.get_collection, collection)
    elif caller.collections is not None and len(caller.collections) == 1:
        collection = next(iter(caller.collections))
    records, next_cursor = await state.blocking(
        services.catalog.list_documents, collection=collection, status=status, cursor=cursor, limit=limit
    )
    data = [DocumentBody.of(record) for record in records if caller.may_touch(record.collection)]
    return DocumentListBody(data=data, next_cursor=next_cursor)


@router.get("/v1/documents/{document_id}", response_model=DocumentBody, responses=documented(401, 403, 404, 422, 503))
async def get_document(
    document_id: str, state: State, services: Ready, caller: Reader, version: Version = None
) -> DocumentBody:
    """The document as it is served, or one of its versions."""
    return DocumentBody.of(await state.blocking(read_document, services, caller, document_id, version))


@router.get(
    "/v1/documents/{document_id}/text",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "The extracted text", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **documented(401, 403, 404, 422, 503),
    },
)
async def get_text(
    document_id: str, state: State, services: Ready, caller: Reader, version: Version = None
) -> Response:
    """The extracted text, exactly: every offset in citations and chunks counts its code points."""
    record = await state.blocking(read_document, services, caller, document_id, version)
    text = await state.blocking(services.catalog.get_text, document_id, record.version)
    return Response(text.encode("utf-8"), media_type="text/plain; charset=utf-8")


@router.get(
    "/v1/documents/{document_id}/chunks", response_model=ChunkListBody, responses=documented(401, 403, 404, 422, 503)
)
async def get_chunks(
    document_id: str,
    state: State,
    services: Ready,
    caller: Reader,
    version: Version = None,
    cursor: Annotated[int, Query(ge=-1, description="next_cursor of the page before")] = -1,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> ChunkListBody:
    """The chunks in order; `text` equals the document's text at `[char_start, char_end)`."""
    record = await state.blocking(read_document, services, caller, document_id, version)
    chunks = await state.blocking(services.catalog.get_document_chunks, document_id, record.version)
    page = [chunk for chunk in chunks if chunk.ordinal > cursor]
    following = str(page[limit - 1].ordinal) if len(page) > limit else None
    return ChunkListBody(data=[ChunkBody.of(chunk) for chunk in page[:limit]], next_cursor=following)


@router.get(
    "/v1/documents/{document_id}/versions", response_model=VersionListBody, responses=documented(401, 403, 404, 503)
)
async def get_versions(document_id: str, state: State, services: Ready, caller: Reader) -> VersionListBody:
    """Every version that was submitted, with the time in which searches dated `as_of` find it."""
    await state.blocking(read_document, services, caller, document_id, None)
    versions = await state.blocking(services.catalog.get_versions, document_id)
    return VersionListBody(data=[VersionBody.of(version) for version in versions])


@router.delete("/v1/documents/{document_id}", response_model=DeletedBody, responses=documented(401, 403, 404, 409, 503))
async def delete_document(document_id: str, state: State, services: Ready, caller: Writer) -> DeletedBody:
    """Deletes every version everywhere; `residual` is counted afterwards and is all zeros when nothing is left."""
    from app.index.publishing import delete_document as delete  # opens FAISS: not before the services do

    await state.blocking(read_document, services, caller, document_id, None)
    residual = await state.blocking(delete, services.catalog, services.index, services.blobs, document_id)
    if services.tables is not None:
        await state.blocking(services.tables.sweep)
    return DeletedBody(id=document_id, deleted=True, residual=dict(residual))


def read_document(services: Services, caller: Principal, document_id: str, version: int | None) -> DocumentRecord:
    """The record, once the caller may see it; a deleted document is not there any more."""
    record: DocumentRecord = services.catalog.get_document(document_id, version)
    caller.need_collection(record.collection)
    if record.status == "deleted":
        raise NotFound(f"document {document_id!r} was deleted")
    return record


def _answer(body: SubmittedBody) -> Response:
    already_there = all(document.duplicate for document in body.documents)
    return JSONResponse(body.model_dump(mode="json"), 200 if already_there else 202)
