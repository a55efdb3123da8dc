"""`POST /v1/query/construct`: the metadata filter or the SQL statement that a question asks for; run where wanted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StrictBool

from app.api.answers import CitationBody, citation_body
from app.api.errors import documented, invalid_field
from app.api.executor import line_of, until_disconnect
from app.api.keys import Principal, allowed_collections
from app.api.options import check_question
from app.api.query_cypher import construct_graph
from app.api.query_sql import construct_rows
from app.api.state import Reader, Ready, State
from app.api.wire import CollectionName, Text, WireRequest, WireResponse, json_ready
from app.errors import InvalidInput
from app.query.construction.by_model import construct_filter
from app.query.construction.fields import FieldSchema
from app.query.construction.given_schema import field_schema

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["query"])
MAX_GIVEN_VALUES = 4_000


class ConstructBody(WireRequest):
    question: Text = Field(examples=["Acme's audited reports since 2023"])
    target: Literal["metadata", "sql", "cypher"]
    schema_: dict[str, Any] | None = Field(
        None,
        alias="schema",
        description='metadata: {"fields": [{"name", "type", "values"?}]}, left out: learned from the collections; '
        'sql: {"tables": [{"name", "columns", "foreign_keys"?}]}, {"source": name} of a configured one, or '
        '{"collection": name} of documents that are tables; cypher: {"nodes": [{"label", "properties"}], '
        '"relationships": [{"type", "start", "end", "properties"?}]}, left out: the collections\' own graphs',
    )
    execute: StrictBool = Field(False, description="sql, cypher: run the statement and answer from its rows")
    collections: list[CollectionName] | None = Field(
        None, min_length=1, max_length=100, description="whose metadata is read; default: the default collection"
    )


class ConstructedBody(WireResponse):
    target: str
    filter: dict[str, Any] | None = Field(None, description="metadata: for `filters` of ask and search; {} for none")
    statement: str | None = Field(None, description="sql: one SELECT with named parameters; null where none was built")
    parameters: dict[str, Any] = Field(description="sql: what is bound to the statement's names")
    explanation: str
    text: str | None = Field(None, description="metadata: what is left of the question to search for")
    confidence: float
    how: str = Field(description="rules, or the model that wrote it")
    columns: list[str] | None = Field(None, description="sql with execute: of the rows")
    rows: list[list[Any]] | None = None
    truncated: bool | None = Field(None, description="the row limit was reached: there may be more")
    similarities: list[float] | None = Field(None, description="of each row, where the statement asks for a meaning")
    ms: float | None = Field(None, description="of the statement")
    answer: str | None = Field(None, description="the rows in words; [n] is the citation with that index")
    citations: list[CitationBody] | None = Field(None, description="rows of documents, as their text has them")
    notes: list[str] | None = Field(None, description="what of the source's files could not be taken as it stands")


@router.post(
    "/v1/query/construct",
    response_model=ConstructedBody,
    response_model_exclude_unset=True,
    responses=documented(401, 403, 404, 422, 429, 503),
)
async def construct(
    body: ConstructBody, request: Request, state: State, services: Ready, caller: Reader
) -> ConstructedBody:
    """A filter or a statement, with the words that it was read from. What can't be built is said, not guessed."""
    check_question(("body", "question"), body.question, state.settings.limits)
    collections = allowed_collections(caller, body.collections or ["default"])
    if (values := _values_in(body.schema_)) > MAX_GIVEN_VALUES:
        raise invalid_field(
            ("body", "schema"),
            f"must list at most {MAX_GIVEN_VALUES} values in all, lists {values}: give the commonest of each field",
            "too_long",
        )
    build = _metadata if body.target == "metadata" else _statement
    stop = Event()
    # linking, a model, a database: not work for the few threads of the catalog
    future = state.models.submit(
        lambda: build(body, services, caller, collections, stop.is_set), line_of(request.scope)
    )
    return await until_disconnect(request, future, stop.set)


def _metadata(
    body: ConstructBody,
    services: Services,
    caller: Principal,
    collections: tuple[str, ...],
    cancelled: Callable[[], bool],
) -> ConstructedBody:
    del caller
    if body.schema_ is not None:
        schema = _given(lambda: field_schema(body.schema_ or {}))
    else:
        statistics = [field for name in collections for field in services.catalog.metadata_fields(name)]
        schema = FieldSchema.merged(statistics)
    built = construct_filter(
        body.question, schema, today=datetime.now(UTC).date(), model=services.text_model, cancelled=cancelled
    )
    return ConstructedBody(
        target="metadata",
        filter=json_ready(built.filter),
        parameters={},
        explanation=built.explanation,
        text=built.text_left,
        confidence=built.confidence,
        how=built.how,
    )


def _statement(
    body: ConstructBody,
    services: Services,
    caller: Principal,
    collections: tuple[str, ...],
    cancelled: Callable[[], bool],
) -> ConstructedBody:
    """SQL or Cypher, with the rows and their citations where they were asked for."""
    fields: dict[str, Any]
    asked: dict[str, Any] = {"execute": body.execute, "cancelled": cancelled}
    if body.target == "sql":
        fields = construct_rows(body.question, body.schema_, services, caller, collections, **asked)
    else:
        fields = construct_graph(body.question, body.schema_, services, collections, **asked)
    if "citations" in fields:
        fields["citations"] = [citation_body(citation) for citation in fields["citations"]]
    return ConstructedBody(target=body.target, **fields)


def _values_in(given: Any) -> int:
    """How many values a schema lists, wherever they stand in it."""
    if isinstance(given, dict):
        return sum(_values_in(item) for item in given.values())
    if isinstance(given, list):
        return sum(_values_in(item) if isinstance(item, dict | list) else 1 for item in given)
    return 0


def _given(read: Any) -> Any:
    """A schema of the request. Raises `InvalidFields` where it does not hold."""
    try:
        return read()
    except InvalidInput as error:
        raise invalid_field(("body", "schema"), error.message, "schema") from None
