"""Rows of jobs and their items: what submission, the worker's steps, deletion and the queue share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, insert, select, update

from app.errors import NotFound
from app.index.identifiers import new_id
from app.index.metadata_values import check_json
from app.index.records import ItemStatus, JobItem, JobRecord
from app.index.tables import job_items, jobs

ENDED = ("succeeded", "failed", "cancelled")
MAX_ATTEMPTS = 5


def insert_job(
    connection: Connection,
    *,
    kind: str,
    payload: Mapping[str, Any],
    collection: str | None,
    now: datetime,
    items: Sequence[JobItem] = (),
    unit: str = "documents",
    max_attempts: int = MAX_ATTEMPTS,
) -> JobRecord:
    """The queued job, or the job already succeeded when every item is a duplicate."""
    check_json("payload", payload)
    done = sum(item.duplicate for item in items)
    ended = bool(items) and done == len(items)
    job_id = new_id("job")
    row = {
        "id": job_id,
        "kind": kind,
        "collection": collection,
        "status": "succeeded" if ended else "queued",
        "done": done,
        "total": len(items),
        "unit": unit,
        "attempts": 0,
        "fruitless": 0,
        "max_attempts": max_attempts,
        "payload": dict(payload),
        "run_after": now,
        "created_at": now,
        "finished_at": now if ended else None,
    }
    seq = connection.execute(insert(jobs).values(row).returning(jobs.c.seq)).scalar_one()
    if items:
        connection.execute(
            insert(job_items),
            [
                {
                    "job_seq": seq,
                    "position": position,
                    "version_id": item.version_id,
                    "document_id": item.document_id,
                    "version": item.version,
                    "duplicate": item.duplicate,
                    "status": item.status,
                    "crashes": 0,
                    "error": item.error,
                }
                for position, item in enumerate(items)
            ],
        )
    return get(connection, job_id)


def get(connection: Connection, job_id: str) -> JobRecord:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
    if row is None:
        raise NotFound(f"job {job_id[:200]!r} does not exist: see GET /v1/jobs for ids")
    return records(connection, [row])[0]


def records(connection: Connection, rows: Sequence[RowMapping]) -> list[JobRecord]:
    """The rows of `jobs` with the ids of their documents."""
    seqs = [row["seq"] for row in rows]
    statement = select(job_items.c.job_seq, job_items.c.document_id).where(job_items.c.job_seq.in_(seqs))
    document_ids: dict[int, dict[str, None]] = {}
    for seq, document_id in connection.execute(statement.order_by(job_items.c.job_seq, job_items.c.position)):
        document_ids.setdefault(seq, {})[document_id] = None
    return [_record(row, tuple(document_ids.get(row["seq"], ()))) for row in rows]


def items(connection: Connection, job_id: str, *, include_duplicates: bool) -> list[JobItem]:
    statement = (
        select(job_items)
        .join(jobs, jobs.c.seq == job_items.c.job_seq)
        .where(jobs.c.id == job_id)
        .order_by(job_items.c.position)
    )
    if not include_duplicates:
        statement = statement.where(job_items.c.duplicate.is_(False))
    return [
        JobItem(row["version_id"], row["document_id"], row["status"], row["error"], row["version"], row["duplicate"])
        for row in connection.execute(statement).mappings()
    ]


def end_items(
    connection: Connection, which: ColumnElement[bool], status: ItemStatus, error: str | None = None
) -> list[int]:
    """End the queued items among `which` and count them as done in their jobs; returns the versions ended."""
    queued = select(job_items.c.job_seq, job_items.c.version_id).where(which, job_items.c.status == "queued")
    found = connection.execute(queued).all()
    if not found:
        return []
    connection.execute(
        update(job_items).where(which, job_items.c.status == "queued").values(status=status, error=error)
    )
    recount(connection, {seq for seq, _ in found})
    return [version_id for _, version_id in found]


def end_published_items(connection: Connection, version_ids: Iterable[int]) -> None:
    """Items of versions that are now searchable are ready, whatever was said of them before."""
    which = (job_items.c.version_id.in_(list(version_ids)), job_items.c.duplicate.is_(False))
    seqs = set(connection.scalars(select(job_items.c.job_seq).where(*which, job_items.c.status != "ready")))
    if seqs:
        connection.execute(update(job_items).where(*which).values(status="ready", error=None))
        recount(connection, seqs)


def recount(connection: Connection, seqs: Iterable[int]) -> None:
    ended = (
        select(func.count())
        .where(job_items.c.job_seq == jobs.c.seq, job_items.c.status != "queued")
        .correlate(jobs)
        .scalar_subquery()
    )
    connection.execute(update(jobs).where(jobs.c.seq.in_(list(seqs))).values(done=ended, fruitless=0))


def _record(row: RowMapping, document_ids: tuple[str, ...]) -> JobRecord:
    return JobRecord(
        id=row["id"],
        kind=row["kind"],
        status=row["status"],
        stage=row["stage"],
        done=row["done"],
        total=row["total"],
        unit=row["unit"],
        attempts=row["attempts"],
        error=row["error"],
        document_ids=document_ids,
        payload=row["payload"],
        result=row["result"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        collection=row["collection"],
        run_after=row["run_after"],
        worker_id=row["lease_owner"],
    )
