"""`/v1/calibrations`: a collection's own confidence, fitted to its feedback, promoted when held-out answers say so."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from app.api.errors import documented
from app.api.evaluation_bodies import StartedBody, started_body
from app.api.jobs import job_body
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import CollectionName, Utc, WireRequest, WireResponse
from app.errors import Conflict
from app.index.calibrations import KIND, SHIPPED, CalibrationRecord, CalibrationStore
from app.index.records import JobRecord

router = APIRouter(tags=["calibrations"])


class OfCollectionBody(WireRequest):
    collection: CollectionName = "default"


class CalibrationBody(WireResponse):
    """A calibration. `status`: active, superseded (another took its place), rolled_back, or rejected (never served)."""

    id: str
    collection: str | None = Field(description="null for the shipped one, which serves wherever none is active")
    number: int
    status: str
    active: bool
    promoted: bool = Field(description="whether it serves or has served")
    outdated: bool = Field(
        description="it corrects a shipped calibration that is no longer in use, and changes nothing: train another"
    )
    reason: str
    figures: dict[str, Any] = Field(description="correction: its numbers; held_out, training: what it stands on")
    base: str | None = Field(description="the one that served before it")
    job_id: str | None
    created_at: Utc | None
    promoted_at: Utc | None


class CalibrationListBody(WireResponse):
    data: list[CalibrationBody]


class RolledBackBody(WireResponse):
    collection: str
    removed: CalibrationBody
    active: CalibrationBody


_SHIPPED = CalibrationBody(
    id=SHIPPED,
    collection=None,
    number=0,
    status="shipped",
    active=True,
    promoted=True,
    outdated=False,
    reason="fitted on public collections; the reader's card has its figures",
    figures={},
    base=None,
    job_id=None,
    created_at=None,
    promoted_at=None,
)


def calibration_body(record: CalibrationRecord, serving: str) -> CalibrationBody:
    """A calibration as it goes over the wire; `serving` is the id of the shipped one in use."""
    return CalibrationBody(
        id=record.id,
        collection=record.collection,
        number=record.number,
        status=record.status,
        active=record.status == "active",
        promoted=record.promoted_at is not None,
        outdated=record.figures["correction"]["calibration"] != serving,
        reason=record.reason,
        figures=dict(record.figures),
        base=record.base or SHIPPED,
        job_id=record.job_id,
        created_at=record.created_at,
        promoted_at=record.promoted_at,
    )


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


@router.get("/v1/calibrations", response_model=CalibrationListBody, responses=documented(401, 403, 404, 422, 503))
async def list_calibrations(
    state: State, services: Ready, caller: Reader, collection: CollectionName | None = None
) -> CalibrationListBody:
    """Every calibration with its figures, newest first, the shipped one last; which serves, and why others do not."""
    if collection is not None:
        caller.need_collection(collection)
    found = await state.blocking(CalibrationStore(services.catalog).all, collection)
    serving = services.pipeline.stages.own.calibration
    data = [calibration_body(record, serving) for record in found if caller.may_touch(record.collection)]
    replaced = collection is not None and any(each.active and not each.outdated for each in data)
    return CalibrationListBody(data=[*data, _SHIPPED.model_copy(update={"active": not replaced})])


@router.post(
    "/v1/calibrations/rollback", response_model=RolledBackBody, responses=documented(401, 403, 404, 409, 422, 503)
)
async def roll_back(
    state: State, services: Ready, caller: Writer, body: OfCollectionBody | None = None
) -> RolledBackBody:
    """Takes the collection's calibration out of service: the one before it serves the next request, or the shipped."""
    collection = (body or OfCollectionBody()).collection
    caller.need_collection(collection)
    removed, active = await state.blocking(CalibrationStore(services.catalog).rollback, collection)
    serving = services.pipeline.stages.own.calibration
    return RolledBackBody(
        collection=collection,
        removed=calibration_body(removed, serving),
        active=calibration_body(active, serving) if active is not None else _SHIPPED,
    )


@router.post(
    "/v1/calibrations/{calibration_id}/activate",
    response_model=CalibrationBody,
    responses=documented(401, 403, 404, 409, 503),
)
async def activate_calibration(calibration_id: str, state: State, services: Ready, caller: Writer) -> CalibrationBody:
    """Puts a calibration that served before back into service, from the next request on."""
    store = CalibrationStore(services.catalog)
    if calibration_id == SHIPPED:
        raise Conflict("the shipped calibration serves where no other does: use POST /v1/calibrations/rollback")
    record = await state.blocking(store.get, calibration_id)
    caller.need_collection(record.collection)
    again = await state.blocking(store.activate, calibration_id)
    return calibration_body(again, services.pipeline.stages.own.calibration)
