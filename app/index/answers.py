"""Saved answers and what people thought of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from app.errors import InvalidInput, NotFound
from app.index.documents import batches
from app.index.identifiers import check_limit, decode_cursor, encode_cursor
from app.index.metadata_values import check_json
from app.index.records import FeedbackRecord
from app.index.tables import answer_documents, answers, documents, feedback


def save(connection: Connection, answer_id: str, question: str, body: Mapping[str, Any], now: datetime) -> bool:
    """See `Catalog.save_answer`. Saving the same id again replaces it."""
    check_json("question", question)
    check_json("body", body)
    document_ids = sorted(set(_document_ids(body)))
    alive: set[str] = set()
    for batch in batches(document_ids):
        statement = select(documents.c.id).where(documents.c.id.in_(batch), documents.c.status != "deleted")
        alive.update(connection.scalars(statement))
    if len(alive) < len(document_ids):
        return False
    connection.execute(delete(answers).where(answers.c.id == answer_id))
    connection.execute(insert(answers).values(id=answer_id, question=question, body=dict(body), created_at=now))
    if document_ids:
        rows = [{"answer_id": answer_id, "document_id": document_id} for document_id in document_ids]
        connection.execute(insert(answer_documents), rows)
    return True


def get(connection: Connection, answer_id: str) -> dict[str, Any]:
    body = connection.scalar(select(answers.c.body).where(answers.c.id == answer_id))
    if body is None:
        raise _no_answer(answer_id)
    return dict(body)


def remove(connection: Connection, answer_id: str) -> None:
    if not connection.execute(delete(answers).where(answers.c.id == answer_id)).rowcount:
        raise _no_answer(answer_id)


def add_feedback(
    connection: Connection, answer_id: str, rating: int, chunk_id: str | None, comment: str | None, now: datetime
) -> int:
    if rating not in (-1, 1) or isinstance(rating, bool):
        raise InvalidInput(f"rating {rating!r} is neither -1 nor 1: use 1 for helpful, -1 for not")
    check_json("comment", comment)
    check_json("chunk_id", chunk_id)
    if connection.scalar(select(answers.c.id).where(answers.c.id == answer_id)) is None:
        raise _no_answer(answer_id)
    row = {"answer_id": answer_id, "rating": rating, "chunk_id": chunk_id, "comment": comment, "created_at": now}
    return int(connection.execute(insert(feedback).values(row).returning(feedback.c.id)).scalar_one())


def list_feedback(
    connection: Connection, answer_id: str | None, cursor: str | None, limit: int
) -> tuple[list[FeedbackRecord], str | None]:
    check_limit(limit)
    statement = select(feedback).order_by(feedback.c.id).limit(limit + 1)
    if answer_id is not None:
        statement = statement.where(feedback.c.answer_id == answer_id)
    if cursor is not None:
        statement = statement.where(feedback.c.id > decode_cursor(cursor))
    rows = [FeedbackRecord(**row) for row in connection.execute(statement).mappings()]
    return rows[:limit], encode_cursor(rows[limit - 1].id) if len(rows) > limit else None


def _document_ids(value: object) -> Iterator[str]:
    """Every `document_id` anywhere in an answer's body: citations, passages, hits, trace."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name == "document_id" and isinstance(part, str):
                yield part
            else:
                yield from _document_ids(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _document_ids(part)


def _no_answer(answer_id: str) -> NotFound:
    return NotFound(
        f"answer {answer_id[:200]!r} does not exist: it is not an id of ours, or a document that it quoted was deleted"
    )
