"""Evaluations in the catalog: the questions and settings of each, and what has been observed so far.

Every observation is committed by itself, together with the job's progress, so that a run that was interrupted goes on
where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from app.errors import NotFound
from app.index import collections as collection_rows
from app.index import dialect, job_rows
from app.index.catalog import Catalog
from app.index.documents import batches
from app.index.identifiers import check_limit, decode_cursor, encode_cursor
from app.index.records import JobRecord
from app.index.tables import chunks, collections, documents, evaluation_scores, evaluations, jobs, versions

KIND = "evaluate"


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """An evaluation with its job; `report` is there once the job has succeeded. `questions` counts the golden rows.

    Lists leave `golden` and `report` out.
    """

    job: JobRecord
    collection: str
    questions: int
    golden: Sequence[Mapping[str, Any]]
    settings: Sequence[Mapping[str, Any]]
    report: Mapping[str, Any] | None
    created_at: datetime

    @property
    def id(self) -> str:
        return self.job.id


class EvaluationStore:
    """Evaluations over a catalog's engine; each method is one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def start(
        self, collection: str, golden: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]
    ) -> EvaluationRecord:
        """The evaluation with its queued job. Raises NotFound for an unknown collection."""
        now = self._catalog.clock()
        with self._catalog.writing() as connection:
            record = collection_rows.get(connection, collection)
            job = job_rows.insert_job(
                connection, kind=KIND, payload={}, collection=collection, now=now, unit="questions"
            )
            row = {
                "id": job.id,
                "collection_id": record.id,
                "golden": list(golden),
                "settings": list(settings),
                "report": None,
                "created_at": now,
            }
            connection.execute(insert(evaluations).values(row))
            total = update(jobs).where(jobs.c.id == job.id).values(total=len(golden) * len(settings))
            connection.execute(total)
            return _get(connection, job.id)

    def get(self, evaluation_id: str) -> EvaluationRecord:
        """Raises NotFound."""
        with self._catalog.reading() as connection:
            return _get(connection, evaluation_id)

    def page(
        self, collection: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[EvaluationRecord], str | None]:
        """A page of evaluations without questions and reports, newest first, and the next page's cursor."""
        check_limit(limit)
        statement = (
            select(
                evaluations.c.seq,
                evaluations.c.id,
                evaluations.c.settings,
                evaluations.c.created_at,
                collections.c.name,
                func.json_array_length(evaluations.c.golden).label("questions"),
            )
            .join(collections, collections.c.id == evaluations.c.collection_id)
            .order_by(evaluations.c.seq.desc())
            .limit(limit + 1)
        )
        if collection is not None:
            statement = statement.where(collections.c.name == collection)
        if cursor is not None:
            statement = statement.where(evaluations.c.seq < decode_cursor(cursor))
        with self._catalog.reading() as connection:
            rows = connection.execute(statement).mappings().all()
            found = [
                EvaluationRecord(
                    job=job_rows.get(connection, row["id"]),
                    collection=row["name"],
                    questions=row["questions"],
                    golden=(),
                    settings=row["settings"],
                    report=None,
                    created_at=row["created_at"],
                )
                for row in rows[:limit]
            ]
        return found, encode_cursor(rows[limit - 1]["seq"]) if len(rows) > limit else None

    def delete(self, evaluation_id: str) -> None:
        """Removes the evaluation with what it observed; its job stays. Raises NotFound."""
        with self._catalog.writing() as connection:
            if not connection.execute(delete(evaluations).where(evaluations.c.id == evaluation_id)).rowcount:
                raise _missing(evaluation_id)
            dialect.note_deletion(connection)

    def observed(self, evaluation_id: str) -> dict[tuple[int, int], dict[str, Any]]:
        """What has been observed, by (question, setting)."""
        statement = (
            select(evaluation_scores)
            .join(evaluations, evaluations.c.seq == evaluation_scores.c.evaluation_seq)
            .where(evaluations.c.id == evaluation_id)
        )
        with self._catalog.reading() as connection:
            rows = connection.execute(statement).mappings().all()
        return {(row["question"], row["setting"]): row["observed"] for row in rows}

    def observe(self, job: JobRecord, question: int, setting: int, observed: Mapping[str, Any], done: int) -> bool:
        """Keeps one observation and the job's progress; False, and nothing kept, when the job is no longer its own."""
        with self._catalog.writing() as connection:
            held = (jobs.c.id == job.id, jobs.c.status == "running", jobs.c.lease_owner == job.worker_id)
            # an evaluation that gets on is not given up for its worker's deaths
            if not connection.execute(update(jobs).where(*held).values(done=done, fruitless=0)).rowcount:
                return False
            seq = connection.scalar(select(evaluations.c.seq).where(evaluations.c.id == job.id))
            if seq is None:
                return False
            row = {"evaluation_seq": seq, "question": question, "setting": setting, "observed": dict(observed)}
            dialect.insert_or_update(connection, evaluation_scores, row, ("observed",))
            return True

    def finish(self, evaluation_id: str, report: Mapping[str, Any]) -> None:
        """Keeps the report of a run that is complete."""
        with self._catalog.writing() as connection:
            done = update(evaluations).where(evaluations.c.id == evaluation_id).values(report=dict(report))
            connection.execute(done)

    def unknown_documents(self, collection: str, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are no document of the collection, or a deleted one."""
        with self._catalog.reading() as connection:
            collection_id = collection_rows.get(connection, collection).id
            known: set[str] = set()
            for batch in batches(ids):
                statement = select(documents.c.id).where(
                    documents.c.id.in_(batch),
                    documents.c.collection_id == collection_id,
                    documents.c.status != "deleted",
                )
                known.update(connection.scalars(statement))
        return set(ids) - known

    def unknown_chunks(self, collection: str, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are no chunk of a version that serves in the collection."""
        keys = {chunk_id: key for chunk_id in ids if (key := chunk_key(chunk_id)) is not None}
        with self._catalog.reading() as connection:
            collection_id = collection_rows.get(connection, collection).id
            serving: set[int] = set()
            present: set[tuple[int, int]] = set()
            for batch in batches(sorted({version for version, _ in keys.values()})):
                statement = (
                    select(versions.c.id)
                    .join(documents, documents.c.serving_version_id == versions.c.id)
                    .where(versions.c.id.in_(batch), versions.c.collection_id == collection_id)
                )
                serving.update(connection.scalars(statement))
            for batch in batches(sorted(serving)):
                found = select(chunks.c.version_id, chunks.c.ordinal).where(chunks.c.version_id.in_(batch))
                present.update((version, ordinal) for version, ordinal in connection.execute(found))
        return {chunk_id for chunk_id in ids if keys.get(chunk_id) not in present}


def chunk_key(chunk_id: str) -> tuple[int, int] | None:
    """(version id, ordinal) of a chunk id; None for a text that is none."""
    version, _, ordinal = chunk_id.partition("-")
    if not (version.isascii() and version.isdigit() and ordinal.isascii() and ordinal.isdigit()):
        return None
    return (int(version), int(ordinal)) if len(version) < 18 and len(ordinal) < 18 else None


def _get(connection: Connection, evaluation_id: str) -> EvaluationRecord:
    statement = (
        select(evaluations, collections.c.name.label("collection"))
        .join(collections, collections.c.id == evaluations.c.collection_id)
        .where(evaluations.c.id == evaluation_id)
    )
    row: RowMapping | None = connection.execute(statement).mappings().first()
    if row is None:
        raise _missing(evaluation_id)
    return EvaluationRecord(
        job=job_rows.get(connection, evaluation_id),
        collection=row["collection"],
        questions=len(row["golden"]),
        golden=row["golden"],
        settings=row["settings"],
        report=row["report"],
        created_at=row["created_at"],
    )


def _missing(evaluation_id: str) -> NotFound:
    return NotFound(f"evaluation {evaluation_id[:200]!r} does not exist: see GET /v1/evaluations for ids")
