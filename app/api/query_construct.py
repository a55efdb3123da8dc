"""`POST /v1/query/construct`: the metadata filter or the SQL statement that a question asks for; nothing is run."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from app.api.errors import documented, invalid_field
from app.api.executor import until_disconnect
from app.api.keys import Principal, allowed_collections
from app.api.options import check_question
from app.api.state import Reader, Ready, State
from app.api.wire import CollectionName, Text, WireRequest, WireResponse, json_ready
from app.errors import InvalidInput, NotPermitted
from app.query.construction.fields import FieldSchema
from app.query.construction.given_schema import field_schema, sql_schema
from app.query.construction.metadata import build_filter
from app.query.construction.sql_build import build_sql
from app.query.construction.sql_source import SqlSource
from app.settings import Settings

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
        'sql: {"tables": [{"name", "columns", "foreign_keys"?}]}, or {"source": name} of a configured one',
    )
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
    if body.target == "cypher":
        raise invalid_field(
            ("body", "target"), "cypher is not built in this version: use metadata or sql", "not_supported"
        )
    collections = allowed_collections(caller, body.collections or ["default"])
    if (values := _values_in(body.schema_)) > MAX_GIVEN_VALUES:
        raise invalid_field(
            ("body", "schema"),
            f"must list at most {MAX_GIVEN_VALUES} values in all, lists {values}: give the commonest of each field",
            "too_long",
        )
    build = _metadata if body.target == "metadata" else _sql
    # linking a question to a large schema is seconds of computing: not work for the few threads of the catalog
    future = state.models.submit(lambda: build(body, services, caller, state.settings, collections))
    return await until_disconnect(request, future, lambda: None)


def _metadata(
    body: ConstructBody, services: Services, caller: Principal, settings: Settings, collections: tuple[str, ...]
) -> ConstructedBody:
    del caller, settings
    if body.schema_ is not None:
        schema = _given(lambda: field_schema(body.schema_ or {}))
    else:
        statistics = [field for name in collections for field in services.catalog.metadata_fields(name)]
        schema = FieldSchema.merged(statistics)
    built = build_filter(body.question, schema, today=datetime.now(UTC).date())
    return ConstructedBody(
        target="metadata",
        filter=json_ready(built.filter),
        parameters={},
        explanation=built.explanation,
        text=built.text_left,
        confidence=built.confidence,
        how=built.how,
    )


def _sql(
    body: ConstructBody, services: Services, caller: Principal, settings: Settings, collections: tuple[str, ...]
) -> ConstructedBody:
    del services, collections
    given = body.schema_
    if given is None or set(given) == {"source"}:
        schema = _source_of(given, caller, settings).schema()
    else:
        schema = _given(lambda: sql_schema(given))
    built = build_sql(body.question, schema, today=datetime.now(UTC).date())
    return ConstructedBody(
        target="sql",
        statement=built.text or None,
        parameters=json_ready(built.parameters),
        explanation=built.explanation,
        confidence=built.confidence,
        how=built.how,
    )


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


def _source_of(given: dict[str, Any] | None, caller: Principal, settings: Settings) -> SqlSource:
    """The configured source that is meant; its values show in what is built, so the key must not be limited."""
    if caller.collections is not None:
        raise NotPermitted(
            "this key is limited to some collections and SQL sources belong to none: give a schema, or use another key"
        )
    sources = settings.sql.sources
    wanted = (given or {}).get("source") if given else next(iter(sources), None) if len(sources) == 1 else None
    if not isinstance(wanted, str) or wanted not in sources:
        known = ", ".join(sorted(sources)) or "none: set ATTEST_SQL__SOURCES"
        message = f'give {{"tables": …}}, or {{"source": name}} of a configured one (there are {known})'
        raise invalid_field(("body", "schema"), message, "schema")
    return _source(wanted, sources[wanted], settings.sql.time_limit_ms, settings.sql.row_limit)


@lru_cache(maxsize=64)
def _source(name: str, path: Path, time_limit_ms: float, row_limit: int) -> SqlSource:
    """One object a file, so that its schema is read once and again only when the file has changed."""
    return SqlSource(name, path, time_limit_ms=time_limit_ms, row_limit=row_limit)
