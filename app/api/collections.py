"""Collections: what is searched together. `default` always exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import Field

from app.api.errors import documented
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import CollectionName, Metadata, Text, Utc, WireRequest, WireResponse, json_ready

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["collections"])


class NewCollectionBody(WireRequest):
    name: CollectionName = Field(examples=["contracts"])
    description: Text = Field("", max_length=4_000)
    settings: Metadata | None = Field(None, max_length=100)


class CollectionBody(WireResponse):
    name: str
    description: str
    settings: dict[str, Any]
    created_at: Utc
    generation: int = Field(description="number of the index generation that is served; it grows with every change")
    documents: int
    chunks: int
    bytes: int
    chars: int
    by_status: dict[str, int] = Field(examples=[{"ready": 20, "failed": 1}])


class CollectionListBody(WireResponse):
    data: list[CollectionBody]


class DeletedCollectionBody(WireResponse):
    name: str
    deleted: bool


def _body(services: Services, record: Any) -> CollectionBody:
    counts = services.catalog.collection_counts(record.name)
    return CollectionBody(
        name=record.name,
        description=record.description,
        settings=json_ready(record.settings),
        created_at=record.created_at,
        generation=services.index.collection(record.id).generation,
        documents=counts["documents"],
        chunks=counts["chunks"],
        bytes=counts["bytes"],
        chars=counts["chars"],
        by_status=dict(counts["by_status"]),
    )


@router.post(
    "/v1/collections",
    status_code=201,
    response_model=CollectionBody,
    responses=documented(401, 403, 409, 422, 503),
)
async def create_collection(body: NewCollectionBody, state: State, services: Ready, caller: Writer) -> CollectionBody:
    """Creates an empty collection; 409 when the name is taken."""
    caller.need_collection(body.name)

    def create() -> CollectionBody:
        return _body(services, services.catalog.create_collection(body.name, body.description, body.settings or {}))

    return await state.blocking(create)


@router.get("/v1/collections", response_model=CollectionListBody, responses=documented(401, 403, 503))
async def list_collections(state: State, services: Ready, caller: Reader) -> CollectionListBody:
    """The collections that the key may touch, with their counts, sizes and generation."""

    def read() -> list[CollectionBody]:
        records = services.catalog.list_collections()
        return [_body(services, record) for record in records if caller.may_touch(record.name)]

    return CollectionListBody(data=await state.blocking(read))


@router.get("/v1/collections/{name}", response_model=CollectionBody, responses=documented(401, 403, 404, 503))
async def get_collection(name: str, state: State, services: Ready, caller: Reader) -> CollectionBody:
    """One collection with its counts, sizes and generation."""
    caller.need_collection(name)
    return await state.blocking(lambda: _body(services, services.catalog.get_collection(name)))


@router.delete(
    "/v1/collections/{name}",
    response_model=DeletedCollectionBody,
    responses=documented(401, 403, 404, 422, 503),
)
async def delete_collection(name: str, state: State, services: Ready, caller: Writer) -> DeletedCollectionBody:
    """Deletes the collection with its documents and its index. `default` stays."""
    from app.index.publishing import delete_collection as delete  # opens FAISS: not before the services do

    caller.need_collection(name)
    await state.blocking(delete, services.catalog, services.index, services.blobs, name)
    if services.tables is not None:
        await state.blocking(services.tables.sweep)
    return DeletedCollectionBody(name=name, deleted=True)
