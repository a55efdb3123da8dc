"""`/v1/rerankers`: trained on a collection's feedback, promoted when held-out questions say so, and taken back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from app.api.errors import documented
from app.api.evaluation_bodies import MAX_QUESTIONS, GoldenBody, StartedBody, started_body
from app.api.evaluations import check_relevant
from app.api.jobs import job_body
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import CollectionName, Utc, WireRequest, WireResponse
from app.errors import Conflict
from app.index.evaluations import EvaluationStore
from app.index.records import JobRecord
from app.index.rerankers import KIND, SHIPPED, RerankerRecord, RerankerStore

router = APIRouter(tags=["rerankers"])


class TrainBody(WireRequest):
    collection: CollectionName = "default"
    golden: list[GoldenBody] | None = Field(
        None, max_length=MAX_QUESTIONS, description="beside the feedback; rows that name no relevant ids are not used"
    )


class OfCollectionBody(WireRequest):
    collection: CollectionName = "default"


class RerankerBody(WireResponse):
    """A reranker. `status`: active, superseded (another took its place), rolled_back, or rejected (never served)."""

    id: str
    collection: str | None = Field(description="null for the shipped one, which serves wherever none is active")
    number: int
    status: str
    active: bool
    promoted: bool = Field(description="whether it serves or has served")
    reason: str
    figures: dict[str, Any]
    base: str | None = Field(description="the one that it was trained from")
    job_id: str | None
    created_at: Utc | None
    promoted_at: Utc | None


class RerankerListBody(WireResponse):
    data: list[RerankerBody]
    enabled: bool = Field(description="whether answers are reranked at all")


class RolledBackBody(WireResponse):
    collection: str
    removed: RerankerBody
    active: RerankerBody


_SHIPPED = RerankerBody(
    id=SHIPPED,
    collection=None,
    number=0,
    status="shipped",
    active=True,
    promoted=True,
    reason="trained on public collections; its card is in the package",
    figures={},
    base=None,
    job_id=None,
    created_at=None,
    promoted_at=None,
)


def reranker_body(record: RerankerRecord) -> RerankerBody:
    """A reranker as it goes over the wire."""
    return RerankerBody(
        id=record.id,
        collection=record.collection,
        number=record.number,
        status=record.status,
        active=record.status == "active",
        promoted=record.promoted_at is not None,
        reason=record.reason,
        figures=dict(record.figures),
        base=record.base or SHIPPED,
        job_id=record.job_id,
        created_at=record.created_at,
        promoted_at=record.promoted_at,
    )


@router.post(
    "/v1/rerankers/train",
    status_code=202,
    response_model=StartedBody,
    responses=documented(401, 403, 404, 409, 413, 422, 503),
)
async def train_reranker(state: State, services: Ready, caller: Writer, body: TrainBody | None = None) -> StartedBody:
    """Queues a training on the collection's feedback; it is promoted only if held-out nDCG@10 rises."""
    from app.rerank.promotion import serving_ranker  # here, so that the process can answer before models are imported

    wanted = body or TrainBody()
    caller.need_collection(wanted.collection)
    golden = [row.model_dump(mode="json", exclude_none=True) for row in wanted.golden or ()]

    def start() -> JobRecord:
        check_relevant(EvaluationStore(services.catalog), wanted.collection, golden)
        serving_ranker(services.ranker)
        return services.jobs.enqueue(KIND, {"golden": golden}, wanted.collection, unit="questions")

    record = await state.blocking(start)
    state.wake_background()
    return started_body(job_body(record, []))


@router.get("/v1/rerankers", response_model=RerankerListBody, responses=documented(401, 403, 404, 422, 503))
async def list_rerankers(
    state: State, services: Ready, caller: Reader, collection: CollectionName | None = None
) -> RerankerListBody:
    """Every reranker with its figures, newest first, the shipped one last; which serves, and why others do not."""
    if collection is not None:
        caller.need_collection(collection)
    found = await state.blocking(RerankerStore(services.catalog).all, collection)
    data = [reranker_body(record) for record in found if caller.may_touch(record.collection)]
    replaced = collection is not None and any(each.active for each in data)
    shipped = _SHIPPED.model_copy(update={"active": services.ranker is not None and not replaced})
    return RerankerListBody(data=[*data, shipped], enabled=services.ranker is not None)


@router.post(
    "/v1/rerankers/rollback", response_model=RolledBackBody, responses=documented(401, 403, 404, 409, 422, 503)
)
async def roll_back(
    state: State, services: Ready, caller: Writer, body: OfCollectionBody | None = None
) -> RolledBackBody:
    """Takes the collection's reranker out of service: the one before it serves the next request, or the shipped one."""
    collection = (body or OfCollectionBody()).collection
    caller.need_collection(collection)
    removed, active = await state.blocking(RerankerStore(services.catalog).rollback, collection)
    return RolledBackBody(
        collection=collection,
        removed=reranker_body(removed),
        active=reranker_body(active) if active is not None else _SHIPPED,
    )


@router.post(
    "/v1/rerankers/{reranker_id}/activate",
    response_model=RerankerBody,
    responses=documented(401, 403, 404, 409, 503),
)
async def activate_reranker(reranker_id: str, state: State, services: Ready, caller: Writer) -> RerankerBody:
    """Puts a reranker that served before back into service, from the next request on."""
    store = RerankerStore(services.catalog)
    if reranker_id == SHIPPED:
        raise Conflict("the shipped reranker serves where no other does: use POST /v1/rerankers/rollback")
    record = await state.blocking(store.get, reranker_id)
    caller.need_collection(record.collection)
    return reranker_body(await state.blocking(store.activate, reranker_id))
