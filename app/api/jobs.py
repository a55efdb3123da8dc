"""Jobs: what became of what was submitted. `GET …/events` follows one as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field
from sse_starlette import ServerSentEvent

from app.api.errors import documented, problem_of
from app.api.keys import Principal
from app.api.state import ApiState, Reader, Ready, State, Writer
from app.api.streams import event, stream
from app.api.wire import Utc, WireResponse
from app.errors import AttestError, NotPermitted
from app.index.records import JobItem, JobRecord
from app.types import JobStatus

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["jobs"])
POLL_S = 0.2
_ENDED = frozenset({"succeeded", "failed", "cancelled"})


class ProgressBody(WireResponse):
    done: int
    total: int
    unit: str


class JobItemBody(WireResponse):
    id: str
    version: int
    status: str
    duplicate: bool
    error: str | None


class JobBody(WireResponse):
    id: str
    kind: str
    status: JobStatus
    progress: ProgressBody
    stage: str | None
    attempts: int = Field(description="how many times a worker took it, killed workers included")
    error: str | None
    documents: list[JobItemBody]
    collection: str | None
    result: dict[str, Any] | None
    created_at: Utc
    started_at: Utc | None
    finished_at: Utc | None


class JobListBody(WireResponse):
    data: list[JobBody]
    next_cursor: str | None


def job_body(record: JobRecord, items: list[JobItem]) -> JobBody:
    """A job as it goes over the wire."""
    return JobBody(
        id=record.id,
        kind=record.kind,
        status=record.status,
        progress=ProgressBody(done=record.done, total=record.total, unit=record.unit),
        stage=record.stage,
        attempts=record.attempts,
        error=record.error,
        documents=[
            JobItemBody(
                id=item.document_id,
                version=item.version,
                status=item.status,
                duplicate=item.duplicate,
                error=item.error,
            )
            for item in items
        ],
        collection=record.collection,
        result=dict(record.result) if record.result is not None else None,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )


async def read_job(state: ApiState, services: Services, caller: Principal, job_id: str) -> JobBody:
    """The job with its documents.

    Raises:
        NotFound: no such job. NotPermitted: it works on a collection that the key may not touch.
    """
    record, items = await state.blocking(_read, services, job_id)
    _check(caller, record)
    return job_body(record, items)


def has_ended(job: JobBody) -> bool:
    """Whether nothing about the job will change any more."""
    return job.status in _ENDED


def _read(services: Services, job_id: str) -> tuple[JobRecord, list[JobItem]]:
    return services.jobs.get(job_id), services.jobs.items(job_id, include_duplicates=True)


def _check(caller: Principal, record: JobRecord) -> None:
    if caller.collections is None:
        return
    if record.collection is None:
        raise NotPermitted("this key is limited to some collections and the job is about none of them")
    caller.need_collection(record.collection)


@router.get("/v1/jobs", response_model=JobListBody, responses=documented(401, 403, 422, 503))
async def list_jobs(
    state: State,
    services: Ready,
    caller: Reader,
    status: JobStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> JobListBody:
    """Jobs, the newest first; those of collections that the key may not touch are left out of the page."""

    def page() -> tuple[list[JobBody], str | None]:
        records, following = services.jobs.list(status=status, limit=limit, cursor=cursor)
        allowed = [
            record
            for record in records
            if caller.collections is None or (record.collection and caller.may_touch(record.collection))
        ]
        return [
            job_body(record, services.jobs.items(record.id, include_duplicates=True)) for record in allowed
        ], following

    data, next_cursor = await state.blocking(page)
    return JobListBody(data=data, next_cursor=next_cursor)


@router.get("/v1/jobs/{job_id}", response_model=JobBody, responses=documented(401, 403, 404, 503))
async def get_job(job_id: str, state: State, services: Ready, caller: Reader) -> JobBody:
    """The job with the state of each of its documents."""
    return await read_job(state, services, caller, job_id)


@router.delete("/v1/jobs/{job_id}", response_model=JobBody, responses=documented(401, 403, 404, 409, 503))
async def cancel_job(job_id: str, state: State, services: Ready, caller: Writer) -> JobBody:
    """Cancels the job: what has been published stays, what has not is dropped. 409 when it has ended."""
    await read_job(state, services, caller, job_id)
    await state.blocking(services.jobs.cancel, job_id)
    return await read_job(state, services, caller, job_id)


@router.get(
    "/v1/jobs/{job_id}/events",
    responses={
        200: {
            "description": "`progress` whenever something changed, then `done` with the whole job",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **documented(401, 403, 404, 503),
    },
)
async def follow_job(job_id: str, state: State, services: Ready, caller: Reader) -> Response:
    """The job's progress as server-sent events, until it ends."""
    first = await read_job(state, services, caller, job_id)

    async def events() -> AsyncIterator[ServerSentEvent]:
        job, told = first, None
        while True:
            if job != told:
                yield event("progress", job)
                told = job
            if has_ended(job):
                yield event("done", job)
                return
            await asyncio.sleep(POLL_S)
            try:
                job = await read_job(state, services, caller, job_id)
            except AttestError as error:
                yield event("error", problem_of(error, instance=f"/v1/jobs/{job_id}/events"))
                return

    return stream(events())
