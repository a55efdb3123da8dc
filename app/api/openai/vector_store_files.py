"""`/v1/vector_stores/{id}/files` and `/file_batches`: attaching files, and watching them become searchable."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.errors import invalid_field
from app.api.jobs import read_job
from app.api.keys import Principal
from app.api.openai.files import owner_of
from app.api.openai.shapes import LenientRequest, page_of
from app.api.openai.store_files import document_id_in, file_id_of, find_in_store, store_file
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import Metadata, Text
from app.errors import Conflict, NotFound
from app.index.metadata_values import check_metadata
from app.index.records import NewDocument
from app.types import DocumentStatus

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["openai"])
Limit = Annotated[int, Query(ge=1, le=100)]
Order = Literal["asc", "desc"]
Shown = Literal["in_progress", "completed", "failed", "cancelled"]
_STATES: dict[str, DocumentStatus] = {"completed": "ready", "failed": "failed"}


class AttachBody(LenientRequest):
    file_id: Text
    attributes: Metadata | None = None


class BatchBody(LenientRequest):
    file_ids: list[Text] | None = Field(None, max_length=500)
    files: list[AttachBody] | None = Field(None, max_length=500)
    attributes: Metadata | None = None

    def items(self) -> list[AttachBody]:
        """The files with their attributes. Raises `InvalidFields` for none."""
        items = list(self.files or ())
        items += [AttachBody(file_id=file_id, attributes=self.attributes) for file_id in self.file_ids or ()]
        if not items:
            raise invalid_field(("body", "file_ids"), "must hold 1 to 500 files", "too_short")
        return items


def attach(services: Services, caller: Principal, store_id: str, file_id: str, attributes: Metadata) -> str:
    """Queues the file as a document of the collection; the id of the job.

    Raises:
        NotFound: no such store or file. NotPermitted: the key may not touch the store.
    """
    return attach_many(services, caller, store_id, [(file_id, attributes)])


def attach_many(services: Services, caller: Principal, store_id: str, wanted: list[tuple[str, Metadata]]) -> str:
    """Queues the files in one job; its id."""
    caller.need_collection(store_id)
    owner = owner_of(caller)
    documents = []
    for file_id, attributes in dict(wanted).items():
        check_metadata(attributes)
        file = services.catalog.get_file(file_id, owner)
        documents.append(
            NewDocument(
                sha256=file.sha256,
                bytes=file.bytes,
                media_type=file.media_type,
                filename=file.filename,
                title=None,
                source_url=None,
                metadata=attributes,
                document_id=document_id_in(services, file_id, store_id),
            )
        )
    job, _ = services.catalog.submit(store_id, documents, blob_exists=services.blobs.exists)
    return job.id


@router.post("/v1/vector_stores/{store_id}/files")
async def attach_file(store_id: str, body: AttachBody, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Attaches an uploaded file; poll it until its status is no longer `in_progress`."""
    await state.blocking(attach, services, caller, store_id, body.file_id, body.attributes or {})
    return await state.blocking(_shown, services, store_id, body.file_id)


@router.get("/v1/vector_stores/{store_id}/files")
async def list_store_files(
    store_id: str,
    state: State,
    services: Ready,
    caller: Reader,
    after: str | None = None,
    limit: Limit = 20,
    order: Order = "desc",
    filter: Shown | None = None,
) -> dict[str, Any]:
    """The documents of the collection as files, newest first unless asked otherwise."""
    caller.need_collection(store_id)
    shown = await state.blocking(_all_files, services, store_id, filter)
    if order == "asc":
        shown.reverse()
    ids = [file["id"] for file in shown]
    if after is not None and after not in ids:
        raise NotFound(f"file {after[:200]!r} is not in this list: pass the last id of the page before")
    start = ids.index(after) + 1 if after is not None else 0
    return page_of(shown[start : start + limit + 1], limit)


@router.get("/v1/vector_stores/{store_id}/files/{file_id}")
async def get_store_file(store_id: str, file_id: str, state: State, services: Ready, caller: Reader) -> dict[str, Any]:
    """One file of the store with its status and, where it failed, the reason."""
    caller.need_collection(store_id)
    return await state.blocking(_shown, services, store_id, file_id)


@router.get("/v1/vector_stores/{store_id}/files/{file_id}/content")
async def get_store_file_content(
    store_id: str, file_id: str, state: State, services: Ready, caller: Reader
) -> dict[str, Any]:
    """The text that was extracted from the file."""
    caller.need_collection(store_id)

    def read() -> list[dict[str, Any]]:
        record = find_in_store(services, store_id, file_id)
        return [{"type": "text", "text": services.catalog.get_text(record.id, record.version)}]

    data = await state.blocking(read)
    return {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}


@router.delete("/v1/vector_stores/{store_id}/files/{file_id}")
async def detach_file(store_id: str, file_id: str, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Deletes what was made of the file in this store, everywhere; the uploaded file stays."""
    from app.index.publishing import delete_document  # opens FAISS: not before the services do

    caller.need_collection(store_id)

    def remove() -> None:
        record = find_in_store(services, store_id, file_id)
        delete_document(services.catalog, services.index, services.blobs, record.id)

    await state.blocking(remove)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.post("/v1/vector_stores/{store_id}/file_batches")
async def create_batch(store_id: str, body: BatchBody, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Attaches many files in one job; the batch is that job."""
    wanted = [(item.file_id, item.attributes or {}) for item in body.items()]
    job_id = await state.blocking(attach_many, services, caller, store_id, wanted)
    return _batch(await read_job(state, services, caller, job_id), store_id)


@router.get("/v1/vector_stores/{store_id}/file_batches/{batch_id}")
async def get_batch(store_id: str, batch_id: str, state: State, services: Ready, caller: Reader) -> dict[str, Any]:
    """How far the batch is."""
    caller.need_collection(store_id)
    return _batch(await read_job(state, services, caller, batch_id), store_id)


@router.post("/v1/vector_stores/{store_id}/file_batches/{batch_id}/cancel")
async def cancel_batch(store_id: str, batch_id: str, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Stops the batch; files that are through stay."""
    caller.need_collection(store_id)
    await read_job(state, services, caller, batch_id)
    with contextlib.suppress(Conflict):  # it had ended already
        await state.blocking(services.jobs.cancel, batch_id)
    return _batch(await read_job(state, services, caller, batch_id), store_id)


@router.get("/v1/vector_stores/{store_id}/file_batches/{batch_id}/files")
async def list_batch_files(
    store_id: str,
    batch_id: str,
    state: State,
    services: Ready,
    caller: Reader,
    limit: Limit = 20,
    filter: Shown | None = None,
) -> dict[str, Any]:
    """The files of the batch."""
    caller.need_collection(store_id)
    job = await read_job(state, services, caller, batch_id)
    ids = {document.id for document in job.documents}
    shown = await state.blocking(_all_files, services, store_id, filter)
    return page_of([file for file in shown if file["id"] in {file_id_of(document_id) for document_id in ids}], limit)


def _shown(services: Services, store_id: str, file_id: str) -> dict[str, Any]:
    return store_file(find_in_store(services, store_id, file_id), file_id)


def _all_files(services: Services, store_id: str, shown: Shown | None) -> list[dict[str, Any]]:
    """Every file of the store, newest first."""
    services.catalog.get_collection(store_id)
    status = _STATES.get(shown or "")
    files: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        records, cursor = services.catalog.list_documents(collection=store_id, status=status, cursor=cursor, limit=500)
        files += [store_file(record) for record in records if record.status != "deleted"]
        if cursor is None:
            return [file for file in files if shown is None or file["status"] == shown]


def _batch(job: Any, store_id: str) -> dict[str, Any]:
    states = [document.status for document in job.documents]
    cancelled = job.status == "cancelled"
    waiting = [status for status in states if status not in ("ready", "failed", "cancelled", "deleted")]
    counts = {
        "in_progress": 0 if cancelled else len(waiting),
        "completed": states.count("ready"),
        "failed": states.count("failed"),
        "cancelled": states.count("cancelled") + (len(waiting) if cancelled else 0),
        "total": len(states),
    }
    return {
        "id": job.id,
        "object": "vector_store.files_batch",
        "created_at": int(job.created_at.timestamp()),
        "vector_store_id": store_id,
        "status": "cancelled" if cancelled else "in_progress" if waiting else "completed",
        "file_counts": counts,
    }
