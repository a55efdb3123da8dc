"""`/v1/evaluations`: how well a collection's questions are answered, under one setting or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query

from app.api.errors import FieldProblem, InvalidFields, documented
from app.api.evaluation_bodies import (
    EvaluateBody,
    EvaluationBody,
    EvaluationListBody,
    StartedBody,
    evaluation_body,
    started_body,
)
from app.api.jobs import job_body
from app.api.keys import Principal
from app.api.state import Reader, Ready, State, Writer
from app.api.wire import CollectionName, WireResponse
from app.errors import Conflict
from app.index.evaluations import EvaluationRecord, EvaluationStore

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["evaluations"])
_NAMED_ROWS = 20  # problems told at once


class RemovedBody(WireResponse):
    id: str
    deleted: bool


@router.post(
    "/v1/evaluations",
    status_code=202,
    response_model=StartedBody,
    responses=documented(401, 403, 404, 413, 422, 503),
)
async def start_evaluation(body: EvaluateBody, state: State, services: Ready, caller: Writer) -> StartedBody:
    """Queues a job that asks every golden question under every setting; the evaluation has the job's id."""
    caller.need_collection(body.collection)
    golden, settings = body.checked(state.settings)
    store = EvaluationStore(services.catalog)

    def start() -> EvaluationRecord:
        check_relevant(store, body.collection, golden)
        return store.start(body.collection, golden, settings)

    record = await state.blocking(start)
    state.wake_background()
    return started_body(job_body(record.job, []))


def check_relevant(store: EvaluationStore, collection: str, golden: Sequence[dict[str, Any]]) -> None:
    """Returns when every relevant id is there to be found.

    Raises:
        InvalidFields: names the rows and ids that are not.
        NotFound: no such collection.
    """
    problems: list[FieldProblem] = []
    for field, unknown_of, remedy in (
        ("relevant_document_ids", store.unknown_documents, "see GET /v1/documents for ids"),
        (
            "relevant_chunk_ids",
            store.unknown_chunks,
            "see GET /v1/documents/{id}/chunks; a new version of a document has new chunks",
        ),
    ):
        wanted = sorted({each for row in golden for each in row.get(field) or ()})
        unknown = unknown_of(collection, wanted)
        for number, row in enumerate(golden):
            for each in row.get(field) or ():
                if each in unknown:
                    told = f"{each[:100]!r} is not in the collection {collection!r}: {remedy}"
                    problems.append(FieldProblem(loc=["body", "golden", number, field], msg=told, type="unknown_id"))
    if problems:
        raise InvalidFields(problems[:_NAMED_ROWS])


@router.get("/v1/evaluations", response_model=EvaluationListBody, responses=documented(401, 403, 422, 503))
async def list_evaluations(
    state: State,
    services: Ready,
    caller: Reader,
    collection: CollectionName | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> EvaluationListBody:
    """Evaluations, newest first, without their figures; those of collections that the key may not touch are omitted."""
    if collection is not None:
        caller.need_collection(collection)
    found, following = await state.blocking(EvaluationStore(services.catalog).page, collection, limit, cursor)
    allowed = [evaluation_body(record) for record in found if caller.may_touch(record.collection)]
    return EvaluationListBody(data=allowed, next_cursor=following)


@router.get(
    "/v1/evaluations/{evaluation_id}",
    response_model=EvaluationBody,
    response_model_exclude_none=False,
    responses=documented(401, 403, 404, 422, 503),
)
async def get_evaluation(
    evaluation_id: str, state: State, services: Ready, caller: Reader, details: bool = False
) -> EvaluationBody:
    """The evaluation with its figures for each setting, once its job has succeeded."""
    store = EvaluationStore(services.catalog)
    record = await _allowed(evaluation_id, state, services, caller)
    observed = await state.blocking(store.observed, evaluation_id) if details else None
    return evaluation_body(record, observed)


@router.delete(
    "/v1/evaluations/{evaluation_id}", response_model=RemovedBody, responses=documented(401, 403, 404, 409, 503)
)
async def delete_evaluation(evaluation_id: str, state: State, services: Ready, caller: Writer) -> RemovedBody:
    """Removes an evaluation that has ended, with its questions; cancel a running one first (`DELETE /v1/jobs/{id}`)."""
    record = await _allowed(evaluation_id, state, services, caller)
    if record.job.status in ("queued", "running"):
        raise Conflict(f"evaluation {evaluation_id!r} is {record.job.status}: cancel its job first")
    await state.blocking(EvaluationStore(services.catalog).delete, evaluation_id)
    return RemovedBody(id=evaluation_id, deleted=True)


async def _allowed(evaluation_id: str, state: State, services: Services, caller: Principal) -> EvaluationRecord:
    record = await state.blocking(EvaluationStore(services.catalog).get, evaluation_id)
    caller.need_collection(record.collection)
    return record
