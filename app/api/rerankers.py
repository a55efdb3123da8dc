"""`/v1/rerankers`: trained on a collection's feedback, promoted when held-out questions say so, and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import Field

from app.api.errors import documented
from app.api.evaluation_bodies import MAX_QUESTIONS, GoldenBody, StartedBody, started_body
from app.api.evaluations import check_relevant
from app.api.jobs import job_body
from app.api.promotions import (
    OfCollectionBody,
    PromotionBody,
    PromotionListBody,
    RolledBackBody,
    Versions,
    fields_of,
    shipped_fields,
)
from app.api.reranker_bodies import RatedPassagesBody, rated_passages_body
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import CollectionName
from app.errors import Conflict
from app.index.catalog import Catalog
from app.index.evaluations import EvaluationStore
from app.index.records import JobRecord
from app.index.rerankers import KIND, RerankerStore

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["rerankers"])


class TrainBody(OfCollectionBody):
    golden: list[GoldenBody] | None = Field(
        None, max_length=MAX_QUESTIONS, description="beside the feedback; rows that name no relevant ids are not used"
    )


class RerankerBody(PromotionBody):
    """A reranker. `status`: active, superseded (another took its place), rolled_back, or rejected (never served)."""


class RerankerListBody(PromotionListBody[RerankerBody]):
    enabled: bool = Field(description="whether answers are reranked at all")
    obstacle: str | None = Field(description="why none can be trained and put to use here; null where one can")


def rerankers(catalog: Catalog, *, enabled: bool) -> Versions[RerankerBody]:
    """The rerankers of every collection; `enabled` says whether answers are reranked at all."""
    told = shipped_fields("trained on public collections; its card is in the package", active=enabled)
    return Versions(RerankerStore(catalog), lambda record: RerankerBody(**fields_of(record)), RerankerBody(**told))


def start_training(services: Services, wanted: TrainBody) -> JobRecord:
    """The queued job.

    Raises:
        NotFound: no such collection.
        InvalidFields: names the golden rows whose relevant ids are not there.
        Conflict: a promoted model could not serve here.
    """
    from app.rerank.promotion import serving_ranker  # here, so that the process can answer before models are imported

    golden = [row.model_dump(mode="json", exclude_none=True) for row in wanted.golden or ()]
    check_relevant(EvaluationStore(services.catalog), wanted.collection, golden)
    serving_ranker(services.ranker)
    return services.jobs.enqueue(KIND, {"golden": golden}, wanted.collection, unit="questions")


def _of(services: Services) -> Versions[RerankerBody]:
    return rerankers(services.catalog, enabled=services.ranker is not None)


def _obstacle(services: Services) -> str | None:
    from app.rerank.promotion import serving_ranker

    try:
        serving_ranker(services.ranker)
    except Conflict as conflict:
        return conflict.message
    return None


@router.post(
    "/v1/rerankers/train",
    status_code=202,
    response_model=StartedBody,
    responses=documented(401, 403, 404, 409, 413, 422, 503),
)
async def train_reranker(state: State, services: Ready, caller: Writer, body: TrainBody | None = None) -> StartedBody:
    """Queues a training on the collection's feedback; it is promoted only if held-out nDCG@10 rises."""
    wanted = body or TrainBody()
    caller.need_collection(wanted.collection)
    record = await state.blocking(start_training, services, wanted)
    state.wake_background()
    return started_body(job_body(record, []))


@router.get("/v1/rerankers", response_model=RerankerListBody, responses=documented(401, 403, 404, 422, 503))
async def list_rerankers(
    state: State, services: Ready, caller: Reader, collection: CollectionName | None = None
) -> RerankerListBody:
    """Every reranker with its figures, newest first, the shipped one last; which serves, and why others do not."""
    if collection is not None:
        caller.need_collection(collection)
    data = await state.blocking(_of(services).all, collection, caller.may_touch)
    obstacle = await state.blocking(_obstacle, services)
    return RerankerListBody(data=data, enabled=services.ranker is not None, obstacle=obstacle)


@router.get("/v1/rerankers/ratings", response_model=RatedPassagesBody, responses=documented(401, 403, 404, 422, 503))
async def rated_passages(
    state: State, services: Ready, caller: Reader, collection: CollectionName = "default"
) -> RatedPassagesBody:
    """What people's ratings say about the collection's passages, and how many more questions a training needs."""
    caller.need_collection(collection)
    return await state.blocking(rated_passages_body, services.catalog, collection)


@router.post(
    "/v1/rerankers/rollback",
    response_model=RolledBackBody[RerankerBody],
    responses=documented(401, 403, 404, 409, 422, 503),
)
async def roll_back_reranker(
    state: State, services: Ready, caller: Writer, body: OfCollectionBody | None = None
) -> RolledBackBody[RerankerBody]:
    """Takes the collection's reranker out of service: the one before it serves the next request, or the shipped one."""
    collection = (body or OfCollectionBody()).collection
    caller.need_collection(collection)
    return await state.blocking(_of(services).roll_back, collection)


@router.post(
    "/v1/rerankers/{reranker_id}/activate",
    response_model=RerankerBody,
    responses=documented(401, 403, 404, 409, 503),
)
async def activate_reranker(reranker_id: str, state: State, services: Ready, caller: Writer) -> RerankerBody:
    """Puts a reranker that served before back into service, from the next request on."""
    return await state.blocking(_of(services).activate, reranker_id, caller.need_collection)
