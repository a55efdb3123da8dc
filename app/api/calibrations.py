"""`/v1/calibrations`: a collection's own confidence, fitted to its feedback, promoted when held-out answers say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import Field

from app.api.calibration_bodies import RatingsBody, ratings_body
from app.api.errors import documented
from app.api.evaluation_bodies import StartedBody, started_body
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
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import CollectionName
from app.index.calibrations import KIND, CalibrationRecord, CalibrationStore
from app.index.catalog import Catalog
from app.index.records import JobRecord

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["calibrations"])


class CalibrationBody(PromotionBody):
    """A calibration. `status`: active, superseded (another took its place), rolled_back, or rejected (never served)."""

    outdated: bool = Field(
        description="it corrects a shipped calibration that is no longer in use, and changes nothing: train another"
    )
    figures: dict[str, Any] = Field(
        description="`correction`: its numbers; `held_out`: log loss before and after, and in `before` and `after` the "
        "confidences that they are made of, shaped as `figures` of GET /v1/calibrations/ratings (versions made before "
        "these existed lack them); `training`: what it stands on"
    )

    @property
    def serves(self) -> bool:
        return self.active and not self.outdated


def calibrations(catalog: Catalog, serving: str) -> Versions[CalibrationBody]:
    """The calibrations of every collection; `serving` is the id of the shipped one in use."""

    def body(record: CalibrationRecord) -> CalibrationBody:
        outdated = record.figures["correction"]["calibration"] != serving
        return CalibrationBody(**fields_of(record), outdated=outdated)

    told = shipped_fields("fitted on public collections; the reader's card has its figures")
    return Versions(CalibrationStore(catalog), body, CalibrationBody(**told, outdated=False))


def _of(services: Services) -> Versions[CalibrationBody]:
    return calibrations(services.catalog, services.pipeline.stages.own.calibration)


@router.post(
    "/v1/calibrations/train",
    status_code=202,
    response_model=StartedBody,
    responses=documented(401, 403, 404, 422, 503),
)
async def train_calibration(
    state: State, services: Ready, caller: Writer, body: OfCollectionBody | None = None
) -> StartedBody:
    """Queues a fit to the ratings of the collection's answers; promoted only if held-out log loss falls."""
    collection = (body or OfCollectionBody()).collection
    caller.need_collection(collection)

    def start() -> JobRecord:
        services.catalog.get_collection(collection)
        return services.jobs.enqueue(KIND, {}, collection, unit="answers")

    record = await state.blocking(start)
    state.wake_background()
    return started_body(job_body(record, []))


@router.get(
    "/v1/calibrations",
    response_model=PromotionListBody[CalibrationBody],
    responses=documented(401, 403, 404, 422, 503),
)
async def list_calibrations(
    state: State, services: Ready, caller: Reader, collection: CollectionName | None = None
) -> PromotionListBody[CalibrationBody]:
    """Every calibration with its figures, newest first, the shipped one last; which serves, and why others do not."""
    if collection is not None:
        caller.need_collection(collection)
    return PromotionListBody(data=await state.blocking(_of(services).all, collection, caller.may_touch))


@router.get("/v1/calibrations/ratings", response_model=RatingsBody, responses=documented(401, 403, 404, 422, 503))
async def rated_answers(
    state: State, services: Ready, caller: Reader, collection: CollectionName = "default"
) -> RatingsBody:
    """What people made of the collection's answers, what a fit still needs, and what shipped confidence is worth."""
    caller.need_collection(collection)
    return await state.blocking(ratings_body, services.catalog, collection, services.pipeline.stages.own.calibration)


@router.post(
    "/v1/calibrations/rollback",
    response_model=RolledBackBody[CalibrationBody],
    responses=documented(401, 403, 404, 409, 422, 503),
)
async def roll_back_calibration(
    state: State, services: Ready, caller: Writer, body: OfCollectionBody | None = None
) -> RolledBackBody[CalibrationBody]:
    """Takes the collection's calibration out of service: the one before it serves the next request, or the shipped."""
    collection = (body or OfCollectionBody()).collection
    caller.need_collection(collection)
    return await state.blocking(_of(services).roll_back, collection)


@router.post(
    "/v1/calibrations/{calibration_id}/activate",
    response_model=CalibrationBody,
    responses=documented(401, 403, 404, 409, 503),
)
async def activate_calibration(calibration_id: str, state: State, services: Ready, caller: Writer) -> CalibrationBody:
    """Puts a calibration that served before back into service, from the next request on."""
    return await state.blocking(_of(services).activate, calibration_id, caller.need_collection)
