"""What the OpenAI-shaped routes share: lenient request models, ids, and which model is which collection."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, model_validator

from app.api.keys import Principal
from app.api.routing import AUTO_NAME, Scope, scope_of_name
from app.api.state import ApiState
from app.errors import InvalidInput, NotFound
from app.types import Hit

if TYPE_CHECKING:
    from app.bootstrap import Services


class LenientRequest(BaseModel):
    """A request body of a front-end: parameters that we do not know are ignored, as the contract promises.

    A field that is null was not set: many clients write out all that they know.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class ModelNotFound(NotFound):
    """No collection, or no model of ours, has the name."""

    code = "model_not_found"


def new_id(prefix: str) -> str:
    """A fresh id with OpenAI's kind of prefix."""
    return f"{prefix}-{secrets.token_hex(12)}" if prefix == "chatcmpl" else f"{prefix}_{secrets.token_hex(12)}"


async def resolve_model(state: ApiState, services: Services, caller: Principal, name: str) -> tuple[Scope, str | None]:
    """`(where it is asked, generator)` of a model name: a collection or `attest-auto`, with `:generator` or without.

    Raises:
        ModelNotFound: no such collection or generator. NotPermitted: the key may not touch it.
    """
    collection, _, generator = name.partition(":")
    try:
        scope = await state.blocking(scope_of_name, services, caller, collection)
    except NotFound as error:
        if collection == AUTO_NAME:
            raise ModelNotFound(error.message) from None
        raise ModelNotFound(
            f"there is no model {name[:200]!r}: a model is a collection's name, or collection:generator; "
            "GET /v1/models lists them"
        ) from None
    try:
        services.pipeline.generator_of(generator or None)
    except InvalidInput as error:
        raise ModelNotFound(error.message) from None
    return scope, generator or None


def page_of(objects: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A list as OpenAI tells it; `objects` holds one more than the limit where there is a next page."""
    data = objects[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(objects) > limit,
    }


def relevance_of(hit: Hit) -> float:
    """The cosine with the question in [0, 1], the only score that means the same from one search to the next."""
    return round(min(1.0, max(0.0, hit.scores.get("cosine", 0.0))), 6)
