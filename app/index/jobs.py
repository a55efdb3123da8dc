"""Durable jobs in the catalog: leases, heartbeats, retries with back-off, dead letters, cancellation.

A worker claims the oldest job that is due, renews its lease while it works, and ends the job. A worker that is killed
stops renewing; once the lease has run out, the next claim puts the job back. Every method is one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, get_args

from sqlalchemy import Connection, RowMapping, and_, case, delete, func, literal, or_, select, update

from app.errors import Conflict, InvalidInput
from app.index import collections as collection_rows
from app.index import dialect, job_rows, steps
from app.index.catalog import Catalog
from app.index.identifiers import check_limit, decode_cursor, encode_cursor
from app.index.metadata_values import check_json
from app.index.records import ItemStatus, JobItem, JobRecord, WorkerRecord
from app.index.tables import calibrations, evaluations, job_items, jobs, rerankers, versions, workers
from app.types import JobStatus

ITEM_CRASHES = 3  # workers that may die over one document before it, not the job, is given up
_PRUNED_AT_ONCE = 200  # in one transaction: what is submitted meanwhile waits for it
_IN_HAND = ("loading", "chunking", "embedding", "indexing")
_FREE = {"lease_owner": None, "lease_until": None}
_Items: TypeAlias = list[JobItem]  # inside the class `list` is a method
_Workers: TypeAlias = list[WorkerRecord]
_Page: TypeAlias = tuple[list[JobRecord], str | None]


class JobQueue:
    """The queue over a catalog's engine; `max_attempts` limits claims in a row that finish no item."""

    def __init__(self, catalog: Catalog, *, max_attempts: int = job_rows.MAX_ATTEMPTS) -> None:
        self._catalog = catalog
        self._max_attempts = max_attempts

    def enqueue(
        self,
        kind: str,
        payload: Mapping[str, Any],
        collection: str | None = None,
        *,
        unit: str = "steps",
        unless_pending: bool = False,
    ) -> JobRecord:
        """The queued job; with `unless_pending`, the job of this kind and collection that already waits, if any.

        Raises NotFound for an unknown collection, InvalidInput for a payload that is not JSON.
        """
        with self._catalog.writing() as connection:
            if collection is not None:
                collection_rows.get(connection, collection)
            if unless_pending:
                pending = select(jobs.c.id).where(
                    jobs.c.kind == kind, jobs.c.status == "queued", jobs.c.collection.is_not_distinct_from(collection)
                )
                if (job_id := connection.scalar(pending.limit(1))) is not None:
                    return job_rows.get(connection, job_id)
            return job_rows.insert_job(
                connection,
                kind=kind,
                payload=payload,
                collection=collection,
                now=self._catalog.clock(),
                unit=unit,
                max_attempts=self._max_attempts,
            )

    def claim(self, worker_id: str, kinds: Sequence[str], lease_s: float = 30.0) -> JobRecord | None:
        """The oldest due job of one of `kinds`, now this worker's for `lease_s` seconds; None when nothing is due."""
        now = self._catalog.clock()
        due = and_(jobs.c.kind.in_(list(kinds)), jobs.c.status == "queued", jobs.c.run_after <= now)
        abandoned = and_(jobs.c.status == "running", jobs.c.lease_until <= now)
        with self._catalog.reading() as connection:  # an idle worker polls: it must not take the write lock for that
            if connection.scalar(select(jobs.c.seq).where(or_(due, abandoned)).limit(1)) is None:
                return None
        with self._catalog.writing() as connection:
            for row in connection.execute(select(jobs).where(abandoned).order_by(jobs.c.seq)).mappings().all():
                self._take_back(connection, row, now)
            oldest = select(jobs.c.seq).where(due).order_by(jobs.c.seq).limit(1).scalar_subquery()
            claimed = connection.execute(
                update(jobs)
                .where(jobs.c.seq == oldest)
                .values(
                    status="running",
                    lease_owner=worker_id,
                    lease_until=now + timedelta(seconds=lease_s),
                    attempts=jobs.c.attempts + 1,
                    fruitless=jobs.c.fruitless + 1,
                    started_at=func.coalesce(jobs.c.started_at, literal(now, jobs.c.started_at.type)),
                    finished_at=None,
                )
                .returning(jobs)
            ).mappings()
            rows = claimed.all()
            return job_rows.records(connection, rows)[0] if rows else None

    def heartbeat(self, job_id: str, worker_id: str, lease_s: float = 30.0) -> bool:
        """Renew the lease. False when it is lost or the job was cancelled: stop working on it."""
        until = self._catalog.clock() + timedelta(seconds=lease_s)
        with self._catalog.writing() as connection:
            renewed = update(jobs).where(*_held(job_id, worker_id)).values(lease_until=until)
            return connection.execute(renewed).rowcount == 1

    def release(self, job_id: str, worker_id: str) -> bool:
        """Put a running job back untouched, for a worker that is told to stop; False when the job is not its own."""
        with self._catalog.writing() as connection:
            back = case((jobs.c.fruitless > 0, jobs.c.fruitless - 1), else_=0)
            freed = update(jobs).where(*_held(job_id, worker_id)).values(status="queued", fruitless=back, **_FREE)
            return connection.execute(freed).rowcount == 1

    def progress(
        self,
        job_id: str,
        *,
        stage: str | None = None,
        done: int | None = None,
        total: int | None = None,
        unit: str | None = None,
    ) -> None:
        """Show where a running job is; what is None stays. Jobs with items count `done` by themselves."""
        values = {"stage": stage, "done": done, "total": total, "unit": unit}
        given = {name: value for name, value in values.items() if value is not None}
        if not given:
            return
        with self._catalog.writing() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id, jobs.c.status == "running").values(**given))

    def items(self, job_id: str, *, include_duplicates: bool = False) -> _Items:
        """The document versions of an ingest job in the order submitted; duplicates need no work."""
        with self._catalog.reading() as connection:
            return job_rows.items(connection, job_id, include_duplicates=include_duplicates)

    def finish_item(self, job_id: str, version_id: int, status: ItemStatus, error: str | None = None) -> None:
        """End a queued item; an item that has ended stays as it is."""
        if status == "queued" or status not in get_args(ItemStatus):
            raise InvalidInput(f"status {status!r} does not end an item: use ready, failed or cancelled")
        with self._catalog.writing() as connection:
            seq = select(jobs.c.seq).where(jobs.c.id == job_id).scalar_subquery()
            which = and_(job_items.c.job_seq == seq, job_items.c.version_id == version_id)
            job_rows.end_items(connection, which, status, error)

    def succeed(self, job_id: str, worker_id: str, result: Mapping[str, Any] | None = None) -> bool:
        """End the job; False when it is no longer this worker's.

        A job whose documents all failed is failed, one whose documents were all taken away is cancelled; one with some
        failed documents has succeeded and its error counts them.

        Raises Conflict while an item is still queued: nothing may be forgotten.
        """
        check_json("result", result)
        with self._catalog.writing() as connection:
            row = connection.execute(select(jobs).where(*_held(job_id, worker_id))).mappings().first()
            if row is None:
                return False
            status, error = _outcome(job_rows.items(connection, job_id, include_duplicates=True))
            if status is None:
                raise Conflict(f"job {job_id!r} has documents that have not ended: finish_item them first")
            values: dict[str, Any] = {"status": status, "error": error, "stage": None, **_FREE}
            if not row["total"]:
                values |= {"done": 1, "total": 1}
            elif status == "succeeded":
                values["done"] = row["total"]
            ended = update(jobs).where(jobs.c.seq == row["seq"])
            now = self._catalog.clock()
            connection.execute(ended.values(result=None if result is None else dict(result), finished_at=now, **values))
            return True

    def fail(self, job_id: str, worker_id: str, error: str, retry_in_s: float | None) -> bool:
        """Give the job back to be tried again in `retry_in_s` seconds; False when it is no longer this worker's.

        With None, or after `max_attempts` claims in a row that finished no item, it is failed for good with its reason,
        and so are its documents that have not ended.
        """
        now = self._catalog.clock()
        with self._catalog.writing() as connection:
            row = connection.execute(select(jobs).where(*_held(job_id, worker_id))).mappings().first()
            if row is None:
                return False
            if retry_in_s is None:
                _end(connection, row["seq"], "failed", error, "job_failed", now)
            elif row["fruitless"] >= row["max_attempts"]:
                reason = f"given up after {row['fruitless']} attempts without progress; the last: {error}"
                _end(connection, row["seq"], "failed", reason, "job_failed", now)
            else:
                due = now + timedelta(seconds=retry_in_s)
                waiting = update(jobs).where(jobs.c.seq == row["seq"])
                connection.execute(waiting.values(status="queued", error=error, run_after=due, **_FREE))
            return True

    def cancel(self, job_id: str) -> JobRecord:
        """The cancelled job; its documents that have not ended are failed with code "cancelled".

        Raises NotFound, Conflict when it already ended.
        """
        with self._catalog.writing() as connection:
            job = job_rows.get(connection, job_id)
            if job.status in job_rows.ENDED:
                raise Conflict(
                    f"job {job_id!r} has ended ({job.status}): only a queued or running job can be cancelled"
                )
            seq = connection.execute(select(jobs.c.seq).where(jobs.c.id == job_id)).scalar_one()
            _end(connection, seq, "cancelled", "the job was cancelled", "cancelled", self._catalog.clock())
            return job_rows.get(connection, job_id)

    def get(self, job_id: str) -> JobRecord:
        """Raises NotFound."""
        with self._catalog.reading() as connection:
            return job_rows.get(connection, job_id)

    def list(
        self,
        status: JobStatus | None = None,
        limit: int = 50,
        cursor: str | None = None,
        *,
        kind: str | None = None,
        collection: str | None = None,
    ) -> _Page:
        """A page of jobs, newest first, and the cursor of the next page."""
        check_limit(limit)
        statement = select(jobs).order_by(jobs.c.seq.desc()).limit(limit + 1)
        if status is not None:
            if status not in get_args(JobStatus):
                raise InvalidInput(f"status {status!r} is unknown: use one of {', '.join(get_args(JobStatus))}")
            statement = statement.where(jobs.c.status == status)
        if kind is not None:
            statement = statement.where(jobs.c.kind == kind)
        if collection is not None:
            statement = statement.where(jobs.c.collection == collection)
        if cursor is not None:
            statement = statement.where(jobs.c.seq < decode_cursor(cursor))
        with self._catalog.reading() as connection:
            rows = connection.execute(statement).mappings().all()
            following = encode_cursor(rows[limit - 1]["seq"]) if len(rows) > limit else None
            return job_rows.records(connection, rows[:limit]), following

    def prune(self, older_than: timedelta, keep: int) -> int:
        """Forgets ended jobs that are both older and beyond the newest `keep`; how many. Call again while it is not 0.

        A job that an evaluation, a reranker or a calibration came from stays, for they tell its state. Documents and
        their versions are no part of a job: only the list of those that it worked on goes with it.
        """
        ended = jobs.c.status.in_(job_rows.ENDED)
        newest = select(jobs.c.seq).where(ended).order_by(jobs.c.seq.desc()).limit(keep)
        told = [select(evaluations.c.id), select(rerankers.c.job_id), select(calibrations.c.job_id)]
        old = select(jobs.c.seq).where(
            ended,
            jobs.c.finished_at < self._catalog.clock() - older_than,
            jobs.c.seq.not_in(newest),
            *(jobs.c.id.not_in(ids) for ids in told),
        )
        with self._catalog.writing() as connection:
            found = [row.seq for row in connection.execute(old.order_by(jobs.c.seq).limit(_PRUNED_AT_ONCE))]
            connection.execute(delete(jobs).where(jobs.c.seq.in_(found)))
            return len(found)

    def depth(self) -> dict[str, int]:
        """Jobs that are queued, running and (dead letters) failed."""
        counted = dict.fromkeys(("queued", "running", "failed"), 0)
        statement = select(jobs.c.status, func.count()).where(jobs.c.status.in_(list(counted))).group_by(jobs.c.status)
        with self._catalog.reading() as connection:
            counted.update((row[0], row[1]) for row in connection.execute(statement))
        return counted

    def worker_seen(self, worker_id: str) -> None:
        """Note that the worker lives; workers not seen for a day are forgotten."""
        now = self._catalog.clock()
        with self._catalog.writing() as connection:
            connection.execute(delete(workers).where(workers.c.seen_at < now - timedelta(days=1)))
            row = {"id": worker_id, "started_at": now, "seen_at": now}
            dialect.insert_or_update(connection, workers, row, ("seen_at",))

    def live_workers(self, within_s: float = 30.0) -> _Workers:
        """Workers seen in the last `within_s` seconds, by id."""
        since = self._catalog.clock() - timedelta(seconds=within_s)
        statement = select(workers).where(workers.c.seen_at >= since).order_by(workers.c.id)
        with self._catalog.reading() as connection:
            return [WorkerRecord(**row) for row in connection.execute(statement).mappings()]

    def _take_back(self, connection: Connection, row: RowMapping, now: datetime) -> None:
        """A job whose worker died: put it back, give up the document that killed it too often, or the whole job."""
        if self._blame(connection, row["seq"], now):
            fruitless = 0
        else:
            fruitless = row["fruitless"]
        if fruitless >= row["max_attempts"]:
            reason = f"the worker died or hung {fruitless} times in a row over this job: see its log, and free memory"
            _end(connection, row["seq"], "failed", reason, "worker_died", now)
        else:
            connection.execute(update(jobs).where(jobs.c.seq == row["seq"]).values(status="queued", **_FREE))

    def _blame(self, connection: Connection, seq: int, now: datetime) -> bool:
        """Count the crash against the document touched last; True when that document was given up for it."""
        suspect = connection.execute(
            select(job_items.c.version_id, job_items.c.crashes)
            .join(versions, versions.c.id == job_items.c.version_id)
            .where(job_items.c.job_seq == seq, job_items.c.status == "queued", versions.c.status.in_(_IN_HAND))
            .order_by(versions.c.updated_at.desc(), job_items.c.position.desc())
            .limit(1)
        ).first()
        if suspect is None:
            return False
        which = and_(job_items.c.job_seq == seq, job_items.c.version_id == suspect.version_id)
        connection.execute(update(job_items).where(which).values(crashes=suspect.crashes + 1))
        if suspect.crashes + 1 < ITEM_CRASHES:
            return False
        reason = f"the worker died {ITEM_CRASHES} times over this document: it may be too large, or crash its loader"
        steps.fail(connection, [suspect.version_id], reason, "worker_died", now)
        job_rows.end_items(connection, which, "failed", reason)
        return True


def _held(job_id: str, worker_id: str) -> tuple[Any, ...]:
    return jobs.c.id == job_id, jobs.c.status == "running", jobs.c.lease_owner == worker_id


def _outcome(items: _Items) -> tuple[JobStatus | None, str | None]:
    """Status and error of a job with these items; no status while one is queued."""
    if any(item.status == "queued" for item in items):
        return None, None
    failed = [item for item in items if item.status == "failed"]
    if not failed:
        if items and all(item.status == "cancelled" for item in items):
            return "cancelled", "every document was deleted before it was indexed"
        return "succeeded", None
    error = failed[0].error or "unknown error"
    if len(items) > 1:
        error = f"{len(failed)} of {len(items)} documents failed; the first, {failed[0].document_id}: {error}"
    return ("succeeded" if any(item.status == "ready" for item in items) else "failed"), error


def _end(connection: Connection, seq: int, status: JobStatus, error: str, code: str, now: datetime) -> None:
    """End a job that will not go on, and with it every document of it that has not ended."""
    which = job_items.c.job_seq == seq
    item_status: ItemStatus = "cancelled" if status == "cancelled" else "failed"
    steps.fail(connection, job_rows.end_items(connection, which, item_status, error), error, code, now)
    ended = update(jobs).where(jobs.c.seq == seq)
    connection.execute(ended.values(status=status, error=error, finished_at=now, **_FREE))
