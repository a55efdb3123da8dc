"""`GET /v1/models`: every collection is a model, letting the routes choose is one, and the embedder is one too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from app.api.openai.shapes import ModelNotFound
from app.api.routing import AUTO_NAME, routes_choose
from app.api.state import Reader, Ready, State
from app.errors import NotFound

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["openai"])


def embedding_model_name(services: Services) -> str:
    """The embedder's name without the fingerprint of its weights."""
    return services.encoder.name.rpartition("-")[0] or services.encoder.name


def _model(name: str, created: int, **more: Any) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "attest", **more}


def _of_collection(record: Any) -> dict[str, Any]:
    more = {"description": record.description} if record.description else {}
    return _model(record.name, int(record.created_at.timestamp()), **more)


def _choosing() -> dict[str, Any]:
    return _model(AUTO_NAME, 0, description="Asks where the declared routes send the question")


@router.get("/v1/models")
async def list_models(state: State, services: Ready, caller: Reader) -> dict[str, Any]:
    """The collections that the key may touch, `attest-auto` where routes are declared, then the embedding model."""
    records = await state.blocking(services.catalog.list_collections)
    models = [_of_collection(record) for record in records if caller.may_touch(record.name)]
    if await state.blocking(routes_choose, services, caller):
        models.append(_choosing())
    return {"object": "list", "data": [*models, _model(embedding_model_name(services), 0)]}


@router.get("/v1/models/{name:path}")
async def get_model(name: str, state: State, services: Ready, caller: Reader) -> dict[str, Any]:
    """One model; 404 when nothing has the name."""
    if name in (embedding_model_name(services), services.encoder.name):
        return _model(name, 0)
    collection = name.partition(":")[0]
    if collection == AUTO_NAME and await state.blocking(routes_choose, services, caller):
        return _choosing() | {"id": name}
    try:
        caller.need_collection(collection)
        record = await state.blocking(services.catalog.get_collection, collection)
    except NotFound:
        raise ModelNotFound(f"there is no model {name[:200]!r}; GET /v1/models lists them") from None
    return _of_collection(record) | {"id": name}
