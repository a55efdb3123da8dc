"""The Cypher part of `POST /v1/query/construct`: over a schema that is given, or the collections' own graphs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.api.errors import invalid_field
from app.api.wire import json_ready
from app.errors import InvalidInput, Unavailable
from app.query.construction.cypher_build import build_cypher
from app.query.construction.cypher_by_model import construct_cypher
from app.query.construction.cypher_given import cypher_schema
from app.query.construction.cypher_questions import CypherStatement, build_graph_question
from app.query.construction.cypher_source import GraphSource
from app.query.graph_target import GraphTarget

if TYPE_CHECKING:
    from app.bootstrap import Services


def construct_graph(
    question: str,
    given: dict[str, Any] | None,
    services: Services,
    collections: tuple[str, ...],
    *,
    execute: bool,
    cancelled: Callable[[], bool],
) -> dict[str, Any]:
    """The fields of the answer: the statement, and with `execute` its rows, the answer in words, and its citations.

    Raises:
        InvalidFields: the schema can't be read, or is to be executed. NotFound: an unknown collection.
        Unavailable: no collection has a graph, or (to execute) none has an answer. Cancelled: the caller went away.
    """
    model = services.text_model
    if given is not None:
        if execute:
            raise invalid_field(
                ("body", "execute"), "a schema has no rows: leave it out to ask a graph", "not_supported"
            )
        try:
            schema = cypher_schema(given)
        except InvalidInput as error:
            raise invalid_field(("body", "schema"), error.message, "schema") from None
        built = construct_cypher(
            question, schema, lambda: build_cypher(question, schema), model=model, cancelled=cancelled
        )
        return _statement(built)
    if services.graphs is None:
        raise Unavailable("this server has no graphs: start it with `attest serve`")
    sources = [services.graphs(name) for name in collections]
    if execute:
        found = GraphTarget(sources, services.catalog).ask(
            question, today=datetime.now(UTC).date(), model=model, cancelled=cancelled
        )
        return {
            "statement": found.statement,
            "parameters": json_ready(found.parameters),
            "explanation": found.explanation,
            "confidence": found.confidence,
            "how": found.how,
            "columns": list(found.columns),
            "rows": [json_ready(list(row)) for row in found.rows],
            "truncated": found.truncated,
            "answer": found.text,
            "citations": list(found.citations),
        }
    return _statement(_first(question, sources, services, cancelled))


def _first(
    question: str, sources: list[GraphSource], services: Services, cancelled: Callable[[], bool]
) -> CypherStatement:
    """The statement for the first graph that one could be built for; else the last graph's words why not."""
    built: CypherStatement | None = None
    missing: list[str] = []
    for source in sources:

        def by_rules(source: GraphSource = source) -> CypherStatement:
            return build_graph_question(question, source)

        try:
            built = construct_cypher(question, source.schema, by_rules, model=services.text_model, cancelled=cancelled)
        except Unavailable as error:
            missing.append(error.message)
            continue
        if built.text:
            break
    if built is None:
        raise Unavailable("; ".join(missing))
    return built


def _statement(built: CypherStatement) -> dict[str, Any]:
    return {
        "statement": built.text or None,
        "parameters": json_ready(built.parameters),
        "explanation": built.explanation,
        "confidence": built.confidence,
        "how": built.how,
    }
