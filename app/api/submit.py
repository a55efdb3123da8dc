"""From a checked submission to a queued job: bytes into the blob store, rows into the catalog, the wait for the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from app.api.document_bodies import SubmittedBody, SubmittedDocumentBody, SubmittedJobBody
from app.api.errors import InvalidFields, invalid_field
from app.api.jobs import has_ended, read_job
from app.api.keys import Principal
from app.api.multipart import Form, read_form
from app.api.state import ApiState
from app.api.submissions import (
    BatchBody,
    Item,
    Rejected,
    SingleBody,
    Submission,
    from_form,
    from_json,
    parse_json,
    problems_of,
)
from app.errors import AttestError, Conflict, NotFound, Unavailable
from app.index.identifiers import check_document_id
from app.index.metadata_values import check_metadata
from app.index.records import DocumentRecord, NewDocument, SubmittedDocument

if TYPE_CHECKING:
    from app.bootstrap import Services

_POLL_S = (0.02, 0.25)  # from, to: quick for small documents, gentle on the catalog for large ones

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "collection": {"type": "string"},
                    "title": {"type": "string"},
                    "source_url": {"type": "string"},
                    "metadata": {"type": "string", "description": "a JSON object"},
                },
            }
        },
        "application/json": {
            "schema": {"oneOf": [SingleBody.model_json_schema(), BatchBody.model_json_schema()]},
            "examples": {
                "one": {"value": {"text": "The notice period is 30 days.", "title": "Contract"}},
                "many": {"value": {"documents": [{"text": "First."}, {"text": "Second."}]}},
            },
        },
    },
}


@dataclass
class Received:
    """A submission whose files are still open; `close` removes their temporary copies."""

    submission: Submission
    form: Form | None = None

    def close(self) -> None:
        if self.form is not None:
            self.form.close()


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long an answer may be held; `is_over` ends it earlier, when the client has hung up."""

    seconds: float
    is_over: Callable[[], Awaitable[bool]]


async def receive(request: Request, state: ApiState, *, single: bool = False) -> Received:
    """Reads and checks the body, whichever of the three forms it has.

    Raises:
        InvalidInput: not a well-formed body. TooLarge: over a limit.
    """
    limits = state.settings.limits
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raw = await request.body()
        return Received(await asyncio.to_thread(lambda: from_json(parse_json(raw), limits, single=single)))
    form = await read_upload(request, state, max_files=limits.batch_documents)
    try:
        return Received(from_form(form, limits, single=single), form)
    except BaseException:
        form.close()
        raise


async def read_upload(request: Request, state: ApiState, *, max_files: int) -> Form:
    """The multipart form in the request's body under the server's limits; the caller closes it.

    Raises:
        InvalidInput: not a well-formed form, or too many parts. TooLarge: over a limit.
    """
    limits = state.settings.limits
    directory = state.settings.home / "tmp"
    directory.mkdir(parents=True, exist_ok=True)
    return await read_form(
        request,
        directory,
        file_bytes=limits.upload_bytes,
        form_bytes=limits.form_bytes,
        field_bytes=limits.metadata_bytes * 6,  # JSON may escape every character
        max_files=max_files,
    )


async def submit(
    state: ApiState,
    services: Services,
    caller: Principal,
    received: Received,
    *,
    wait: Waiting,
    replaces: DocumentRecord | None = None,
) -> SubmittedBody:
    """Stores and queues the documents; answers when the job has ended or the wait is over.

    Raises:
        NotFound: no such collection. Conflict: an id is taken. NotPermitted: the key may not touch the collection.
    """
    with _closing(received):
        submission = received.submission
        collection = submission.collection or (replaces.collection if replaces else "default")
        caller.need_collection(collection)
        if replaces is not None:
            _check_replacement(submission, collection, replaces)
        store = _Store(services, state.settings.limits.upload_bytes, collection, replaces)
        job_id, outcomes = await state.blocking(store.run, submission)
    deadline_s = time.monotonic() + wait.seconds
    pause_s = _POLL_S[0]
    job = await read_job(state, services, caller, job_id)
    while not has_ended(job) and (left_s := deadline_s - time.monotonic()) > 0 and not await wait.is_over():
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.5, _POLL_S[1])
        job = await read_job(state, services, caller, job_id)
    documents = await state.blocking(_bodies, services, outcomes)
    return SubmittedBody(job=SubmittedJobBody(id=job.id, status=job.status), documents=documents)


@contextmanager
def _closing(received: Received) -> Iterator[None]:
    try:
        yield
    finally:
        received.close()


def _check_replacement(submission: Submission, collection: str, replaces: DocumentRecord) -> None:
    if collection != replaces.collection:
        raise invalid_field(
            ("body", "collection"),
            f"the document is in {replaces.collection!r} and stays there: leave the field out, or add a new document",
        )
    item = submission.items[0]
    given = item.document_id if isinstance(item, Item) else None
    if given not in (None, replaces.id):
        raise invalid_field(("body", "id"), f"must be the id in the address, {replaces.id!r}, or be left out")


@dataclass(frozen=True)
class _Store:
    """Runs on a catalog thread: blobs first (a crash leaves an unnamed blob, never a row without bytes), then rows."""

    services: Services
    limit_bytes: int
    collection: str
    replaces: DocumentRecord | None

    def run(self, submission: Submission) -> tuple[str, list[SubmittedDocument | Rejected]]:
        self.services.catalog.get_collection(self.collection)
        try:
            return self._store(submission)
        except Unavailable:  # a deletion took bytes that were there a moment ago: now they are stored anew
            return self._store(submission)

    def _store(self, submission: Submission) -> tuple[str, list[SubmittedDocument | Rejected]]:
        outcomes: list[SubmittedDocument | Rejected | None] = []
        documents: list[NewDocument] = []
        ids: set[str] = set()
        for item in submission.items:
            taken = item if isinstance(item, Rejected) else self._take(item, submission.batch, ids)
            if isinstance(taken, Rejected):
                outcomes.append(taken)
            else:
                outcomes.append(None)
                documents.append(taken)
        if not documents:
            raise InvalidFields(
                [problem for item in outcomes if isinstance(item, Rejected) for problem in problems_of(item.error)]
            )
        job, submitted = self.services.catalog.submit(
            self.collection, documents, blob_exists=self.services.blobs.exists
        )
        following = iter(submitted)
        return job.id, [outcome if outcome is not None else next(following) for outcome in outcomes]

    def _take(self, item: Item, batch: bool, ids: set[str]) -> NewDocument | Rejected:
        try:
            check_metadata(item.metadata)
            if item.document_id is not None and self.replaces is None:
                self._check_id(item.document_id, ids)
            if not isinstance(item.content, bytes):
                item.content.seek(0)
            sha256, size_bytes = self.services.blobs.put(item.content, self.limit_bytes)
        except AttestError as error:
            if not batch:
                raise
            return Rejected(item.document_id, error)
        return NewDocument(
            sha256=sha256,
            bytes=size_bytes,
            media_type=item.media_type,
            filename=item.filename,
            title=item.title,
            source_url=item.source_url,
            metadata=item.metadata,
            document_id=self.replaces.id if self.replaces is not None else item.document_id,
            replace=self.replaces is not None,
        )

    def _check_id(self, document_id: str, ids: set[str]) -> None:
        """One transaction takes the whole batch: an id that it would refuse must be found before."""
        check_document_id(document_id)
        if document_id in ids:
            raise Conflict(f"id {document_id!r} stands twice in this batch: send its versions one after the other")
        ids.add(document_id)
        try:
            record = self.services.catalog.get_document(document_id)
        except NotFound:
            return
        if record.collection != self.collection and record.status != "deleted":
            raise Conflict(f"id {document_id!r} is taken in another collection: use another id")


def _bodies(services: Services, outcomes: list[SubmittedDocument | Rejected]) -> list[SubmittedDocumentBody]:
    return [_body(services, outcome) for outcome in outcomes]


def _body(services: Services, outcome: SubmittedDocument | Rejected) -> SubmittedDocumentBody:
    if isinstance(outcome, Rejected):
        return SubmittedDocumentBody(
            id=outcome.document_id, version=0, status="failed", duplicate=False, error=outcome.error.message
        )
    try:
        record = services.catalog.get_document(outcome.id, outcome.version)
    except NotFound:  # deleted in the meantime
        return SubmittedDocumentBody(
            id=outcome.id, version=outcome.version, status="deleted", duplicate=outcome.duplicate
        )
    return SubmittedDocumentBody(
        id=outcome.id,
        version=outcome.version,
        status=record.status,
        duplicate=outcome.duplicate,
        error=record.error,
    )
