"""`/v1/vector_stores`: collections as OpenAI's vector stores, with their files, batches and search."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from app.api.errors import request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.keys import Principal
from app.api.openai.comparison_filters import to_filters
from app.api.openai.files import owner_of
from app.api.openai.shapes import LenientRequest, page_of, relevance_of
from app.api.openai.store_files import attributes_of, file_id_of, file_names
from app.api.openai.vector_store_files import attach_many
from app.api.options import check_question
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import Metadata, Text
from app.errors import Conflict, InvalidInput
from app.index.identifiers import check_collection_name
from app.index.records import CollectionRecord
from app.telemetry import Trace

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["openai"])
NAME, METADATA = "display_name", "openai_metadata"
_IN_HAND = ("queued", "loading", "chunking", "embedding", "indexing")
Limit = Annotated[int, Query(ge=1, le=100)]


class NewStoreBody(LenientRequest):
    name: Text | None = Field(None, max_length=256)
    description: Text | None = Field(None, max_length=4_000)
    file_ids: list[Text] = Field(default_factory=list, max_length=500)
    metadata: Metadata | None = None


class ChangedStoreBody(LenientRequest):
    name: Text | None = Field(None, max_length=256)
    metadata: Metadata | None = None


class RankingOptions(LenientRequest):
    score_threshold: float = Field(0.0, ge=0, le=1)


class StoreSearchBody(LenientRequest):
    query: Text | list[Text]
    max_num_results: int = Field(10, ge=1, le=50)
    filters: dict[str, Any] | None = None
    ranking_options: RankingOptions = Field(default_factory=RankingOptions)

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else list(self.query)


def store_object(services: Services, record: CollectionRecord) -> dict[str, Any]:
    """A collection as a vector store; its id is the collection's name."""
    counts = services.catalog.collection_counts(record.name)
    by_status = counts["by_status"]
    pending = sum(by_status.get(status, 0) for status in _IN_HAND)
    return {
        "id": record.name,
        "object": "vector_store",
        "created_at": int(record.created_at.timestamp()),
        "name": record.settings.get(NAME, record.name),
        "usage_bytes": counts["bytes"],
        "file_counts": {
            "in_progress": pending,
            "completed": by_status.get("ready", 0),
            "failed": by_status.get("failed", 0),
            "cancelled": 0,
            "total": counts["documents"],
        },
        "status": "in_progress" if pending else "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": int(record.created_at.timestamp()),
        "metadata": record.settings.get(METADATA, {}),
    }


@router.post("/v1/vector_stores")
async def create_store(body: NewStoreBody, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """An empty collection named after the store, with the given files attached."""

    def create() -> CollectionRecord:
        for file_id in body.file_ids:  # before there is a collection: a file that is missing leaves nothing behind
            services.catalog.get_file(file_id, owner_of(caller))
        settings = {NAME: body.name or "", METADATA: body.metadata or {}}
        name = _free_name(caller, body.name)
        try:
            return services.catalog.create_collection(name, body.description or "", settings)
        except Conflict:  # OpenAI's names need not be unique; ours are
            other = f"{name[:57]}-{secrets.token_hex(3)}"
            caller.need_collection(other)
            return services.catalog.create_collection(other, body.description or "", settings)

    record = await state.blocking(create)
    if body.file_ids:
        wanted: list[tuple[str, Metadata]] = [(file_id, {}) for file_id in body.file_ids]
        await state.blocking(attach_many, services, caller, record.name, wanted)
    return await state.blocking(store_object, services, record)


@router.get("/v1/vector_stores")
async def list_stores(
    state: State,
    services: Ready,
    caller: Reader,
    after: str | None = None,
    before: str | None = None,
    limit: Limit = 20,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """The collections that the key may touch, by their time of creation."""

    def read() -> dict[str, Any]:
        records = [record for record in services.catalog.list_collections() if caller.may_touch(record.name)]
        records.sort(key=lambda record: (record.created_at, record.id), reverse=order == "desc")
        names = [record.name for record in records]
        start = names.index(after) + 1 if after in names else 0
        stop = names.index(before) if before in names else len(names)
        return page_of([store_object(services, record) for record in records[start:stop][: limit + 1]], limit)

    return await state.blocking(read)


@router.get("/v1/vector_stores/{store_id}")
async def get_store(store_id: str, state: State, services: Ready, caller: Reader) -> dict[str, Any]:
    """One vector store with its counts."""
    caller.need_collection(store_id)
    return await state.blocking(lambda: store_object(services, services.catalog.get_collection(store_id)))


@router.post("/v1/vector_stores/{store_id}")
async def change_store(
    store_id: str, body: ChangedStoreBody, state: State, services: Ready, caller: Writer
) -> dict[str, Any]:
    """Changes the shown name and the metadata; the id stays."""
    caller.need_collection(store_id)
    given = {NAME: body.name, METADATA: body.metadata}
    settings = {name: value for name, value in given.items() if value is not None}
    record = await state.blocking(services.catalog.update_collection, store_id, settings)
    return await state.blocking(store_object, services, record)


@router.delete("/v1/vector_stores/{store_id}")
async def delete_store(store_id: str, state: State, services: Ready, caller: Writer) -> dict[str, Any]:
    """Deletes the collection with its documents and its index; uploaded files stay."""
    from app.index.publishing import delete_collection as delete  # opens FAISS: not before the services do

    caller.need_collection(store_id)
    await state.blocking(delete, services.catalog, services.index, services.blobs, store_id)
    return {"id": store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/v1/vector_stores/{store_id}/search")
async def search_store(
    store_id: str, body: StoreSearchBody, request: Request, state: State, services: Ready, caller: Reader
) -> dict[str, Any]:
    """The chunks that match best; `score` is the cosine with the query, in [0, 1]."""
    from app.pipeline import SearchRequest  # here, so that the process can answer /health before models are imported

    for query in body.queries or [""]:
        check_question(("body", "query"), query, state.settings.limits)
    caller.need_collection(store_id)
    await state.blocking(services.catalog.get_collection, store_id)
    wanted = SearchRequest(
        query=" ".join(body.queries),
        collections=(store_id,),
        filters=to_filters(body.filters, ("body", "filters")) if body.filters else {},
        top_k=body.max_num_results,
    )
    trace = Trace(request_id_of(request.scope), metrics=services.metrics)
    future = state.models.submit(lambda: services.pipeline.search(wanted, trace), line_of(request.scope))
    result = await until_disconnect(request, future, trace.cancel)
    names = await state.blocking(file_names, services, [hit.chunk.document_id for hit in result.hits])
    found = [
        {
            "file_id": file_id_of(hit.chunk.document_id),
            "filename": names.get(hit.chunk.document_id, hit.chunk.title),
            "score": relevance_of(hit),
            "attributes": attributes_of(hit.chunk.metadata),
            "content": [{"type": "text", "text": hit.chunk.text}],
            "char_start": hit.chunk.char_start,
            "char_end": hit.chunk.char_end,
            "page": hit.chunk.page,
        }
        for hit in result.hits
        if relevance_of(hit) >= body.ranking_options.score_threshold
    ]
    return {
        "object": "vector_store.search_results.page",
        "search_query": body.queries,
        "data": found,
        "has_more": False,
        "next_page": None,
    }


def _free_name(caller: Principal, wanted: str | None) -> str:
    """A collection name made of the store's name, one that the caller may touch."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted or "").strip("-._")[:57]
    name = slug or f"vs_{secrets.token_hex(8)}"
    try:
        check_collection_name(name)
    except InvalidInput:
        name = f"vs_{secrets.token_hex(8)}"
    caller.need_collection(name)
    return name
