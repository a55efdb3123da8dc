"""The knowledge graphs of collections as what a route can be sent to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from app.errors import AttestError, Cancelled, InvalidInput, Unavailable
from app.protocols import TextModel
from app.query.construction.cypher_answer import Texts, answer_of
from app.query.construction.cypher_by_model import construct_cypher
from app.query.construction.cypher_questions import CypherStatement, build_graph_question
from app.query.construction.cypher_source import GraphSource
from app.query.routing.targets import MIN_CONFIDENCE
from app.routing_types import StructuredResult


class GraphTarget:
    """Implements `StructuredTarget` over collections' graphs, asked in order until one has an answer.

    Args:
        sources: at least one.
        texts: of the documents, which the answers cite.
    """

    def __init__(self, sources: Sequence[GraphSource], texts: Texts) -> None:
        self._sources = sources
        self._texts = texts

    def ask(
        self, question: str, *, today: date, model: TextModel | None, cancelled: Callable[[], bool]
    ) -> StructuredResult:
        """The first graph's answer with the statement, its rows, and a citation for each part that has a span.

        Raises:
            Unavailable: no graph had one; the message tells of each why. Cancelled: `cancelled()` is true.
        """
        del today
        reasons = []
        for source in self._sources:
            try:
                return self._asked(question, source, model, cancelled)
            except Cancelled:
                raise
            except AttestError as error:
                reasons.append(error.message.rstrip("."))
        raise Unavailable("; ".join(reasons) or "the route names no collection whose graph could be asked")

    def _asked(
        self, question: str, source: GraphSource, model: TextModel | None, cancelled: Callable[[], bool]
    ) -> StructuredResult:
        def by_rules() -> CypherStatement:
            return build_graph_question(question, source)

        statement = construct_cypher(question, source.schema, by_rules, model=model, cancelled=cancelled)
        if not statement.text:
            raise Unavailable(f"no statement for the graph of {source.name!r} could be built: {statement.explanation}")
        if statement.confidence < MIN_CONFIDENCE:
            raise Unavailable(
                f"the statement for the graph of {source.name!r} is too unsure ({statement.confidence:.2f}, at least "
                f"{MIN_CONFIDENCE}): {statement.explanation}"
            )
        try:
            found = source.execute(statement.text, statement.parameters)
        except InvalidInput:
            if statement.how == "rules":
                raise
            statement = by_rules()  # the model's passed the check, and the engine refuses it all the same
            if not statement.text or statement.confidence < MIN_CONFIDENCE:
                raise
            found = source.execute(statement.text, statement.parameters)
        answer = answer_of(question, statement, found, self._texts)
        if not answer.short:
            raise Unavailable(f"the graph of {source.name!r} holds no such thing: {statement.explanation}")
        return StructuredResult(
            text=answer.text,
            short_answer=answer.short,
            statement=statement.text,
            parameters=statement.parameters,
            columns=found.columns,
            rows=found.rows,
            truncated=found.truncated,
            explanation=statement.explanation,
            confidence=statement.confidence,
            how=statement.how,
            citations=answer.citations,
        )
