"""What `/v1/rerankers` and `/v1/calibrations` share: a collection's versions, one of which serves, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import Field

from app.api.wire import CollectionName, Utc, WireRequest, WireResponse
from app.errors import Conflict
from app.index.promotions import SHIPPED, PromotionRecord, PromotionStore


class OfCollectionBody(WireRequest):
    collection: CollectionName = "default"


class PromotionBody(WireResponse):
    """A version. `status`: active, superseded (another took its place), rolled_back, or rejected (never served)."""

    id: str
    collection: str | None = Field(description="null for the shipped one, which serves wherever none is active")
    number: int
    status: str
    active: bool
    promoted: bool = Field(description="whether it serves or has served")
    reason: str
    figures: dict[str, Any]
    base: str | None = Field(description="the one that served when it was made")
    job_id: str | None
    created_at: Utc | None
    promoted_at: Utc | None

    @property
    def serves(self) -> bool:
        """Whether the shipped one is out of service because of it."""
        return self.active


Body = TypeVar("Body", bound=PromotionBody)


class PromotionListBody(WireResponse, Generic[Body]):
    data: list[Body]


class RolledBackBody(WireResponse, Generic[Body]):
    collection: str
    removed: Body
    active: Body


def fields_of(record: PromotionRecord) -> dict[str, Any]:
    """What every kind of version says of itself."""
    return {
        "id": record.id,
        "collection": record.collection,
        "number": record.number,
        "status": record.status,
        "active": record.status == "active",
        "promoted": record.promoted_at is not None,
        "reason": record.reason,
        "figures": dict(record.figures),
        "base": record.base or SHIPPED,
        "job_id": record.job_id,
        "created_at": record.created_at,
        "promoted_at": record.promoted_at,
    }


def shipped_fields(reason: str, *, active: bool = True) -> dict[str, Any]:
    """What every kind says of the shipped one."""
    nothing = dict.fromkeys(("collection", "base", "job_id", "created_at", "promoted_at"))
    said = {"number": 0, "status": SHIPPED, "active": active, "promoted": True, "reason": reason, "figures": {}}
    return {"id": SHIPPED, **said, **nothing}


@dataclass(frozen=True, slots=True)
class Versions(Generic[Body]):
    """One kind of version as requests and commands see it; each method is one transaction of the store."""

    store: PromotionStore
    body: Callable[[PromotionRecord], Body]
    shipped: Body

    def all(self, collection: str | None, may_touch: Callable[[str], bool] = lambda _: True) -> list[Body]:
        """Every version that may be seen, newest first, the shipped one last. Raises NotFound as the store does."""
        data = [self.body(record) for record in self.store.all(collection) if may_touch(record.collection)]
        replaced = collection is not None and any(each.serves for each in data)
        shipped = self.shipped.model_copy(update={"active": self.shipped.active and not replaced})
        return [*data, shipped]

    def roll_back(self, collection: str) -> RolledBackBody[Body]:
        """Raises NotFound and Conflict as the store does."""
        removed, active = self.store.rollback(collection)
        return RolledBackBody(
            collection=collection,
            removed=self.body(removed),
            active=self.shipped if active is None else self.body(active),
        )

    def activate(self, version_id: str, need_collection: Callable[[str], None] = lambda _: None) -> Body:
        """Raises NotFound and Conflict as the store does, and what `need_collection` raises of its collection."""
        noun = self.store.noun
        if version_id == SHIPPED:
            raise Conflict(f"the shipped {noun} serves where no other does: use POST /v1/{noun}s/rollback")
        need_collection(self.store.get(version_id).collection)
        return self.body(self.store.activate(version_id))
