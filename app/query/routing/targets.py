"""Targets that answer by a statement instead of passages: sources of tables, and the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Protocol

from app.errors import AttestError, Cancelled, Unavailable
from app.protocols import Encoder, TextModel
from app.query.construction.sql_engine import SqlEngine
from app.query.routing.unheard import unheard
from app.query.tables.asking import Documents, TableAnswer, ask_tables
from app.routing_types import Route, RouteKind, StructuredResult

MIN_CONFIDENCE = 0.4
"""Of a statement; below it the question is searched as text."""


class StructuredTarget(Protocol):
    """Builds a statement for a question, runs it where it can only read, and says what came back."""

    def ask(
        self, question: str, *, today: date, model: TextModel | None, cancelled: Callable[[], bool]
    ) -> StructuredResult:
        """What the target holds about the question.

        Raises:
            AttestError: no statement could be built or run, or it found nothing; the message says why, and the question
                is searched as text.
        """


OpenTarget = Callable[[Route], StructuredTarget]
"""The target of a route that names what it asks; raises AttestError where there is none such."""

Targets = Mapping[RouteKind, OpenTarget]
"""What can be asked: the kinds "sql" and "graph", where they are set up."""


class TablesTarget:
    """Implements `StructuredTarget` over sources of tables, asked in order until one has an answer.

    Args:
        engines: at least one.
        encoder: of semantic conditions.
        documents: where the rows of uploaded tables stand, so that they can be cited.
    """

    def __init__(self, engines: Sequence[SqlEngine], encoder: Encoder, documents: Documents | None) -> None:
        self._engines = engines
        self._encoder = encoder
        self._documents = documents

    def ask(
        self, question: str, *, today: date, model: TextModel | None, cancelled: Callable[[], bool]
    ) -> StructuredResult:
        """The first source's answer, in a sentence, with the statement and the rows.

        Raises:
            Unavailable: no source had one; the message tells of each why. Cancelled: `cancelled()` is true.
        """
        reasons = []
        for engine in self._engines:
            try:
                found = ask_tables(
                    question,
                    engine,
                    today=today,
                    encoder=self._encoder,
                    documents=self._documents,
                    model=model,
                    cancelled=cancelled,
                )
                return _result(question, engine.name, found)
            except Cancelled:
                raise
            except AttestError as error:
                reasons.append(error.message.rstrip("."))
        raise Unavailable("; ".join(reasons))


def _result(question: str, name: str, found: TableAnswer) -> StructuredResult:
    statement = found.statement
    if found.answer is None or found.result is None:
        raise Unavailable(f"no statement for {name!r} could be built: {statement.explanation}")
    if statement.confidence < MIN_CONFIDENCE:
        raise Unavailable(
            f"the statement for {name!r} is too unsure ({statement.confidence:.2f}, at least {MIN_CONFIDENCE}): "
            f"{statement.explanation}"
        )
    if statement.how == "rules" and (left := unheard(question, statement)):
        raise Unavailable(
            f"the statement for {name!r} leaves out {', '.join(map(repr, left))}, so it would answer another question: "
            f"{statement.explanation}"
        )
    if not found.answer.short:
        raise Unavailable(f"no row of {name!r} fits: {statement.explanation}")
    rows = found.result.rows
    return StructuredResult(
        text=found.answer.text,
        short_answer=found.answer.short,
        statement=statement.text,
        parameters=statement.parameters,
        columns=rows.columns,
        rows=rows.rows,
        truncated=rows.truncated,
        explanation=statement.explanation,
        confidence=statement.confidence,
        how=statement.how,
        citations=found.citations,
    )
