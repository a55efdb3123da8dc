"""The SQL part of `POST /v1/query/construct`: which source is meant, the statement, and its rows where wanted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.api.errors import invalid_field
from app.api.keys import Principal
from app.api.wire import json_ready
from app.errors import InvalidInput, NotFound, NotPermitted, Unavailable
from app.query.construction.by_model import construct_sql
from app.query.construction.given_schema import sql_schema
from app.query.construction.sql_engine import SqlEngine
from app.query.tables.asking import TableAnswer, ask_tables
from app.query.tables.loaded import LoadedTables
from app.query.tables.registry import TableSources
from app.telemetry import Trace
from app.types import Query, RetrievalOptions, StoredChunk

if TYPE_CHECKING:
    from app.bootstrap import Services

_SCHEMA = ("body", "schema")
_NEAR_CHUNKS = 200  # whose rows are looked at, of a table with too many to look at each


def construct_rows(
    question: str,
    given: dict[str, Any] | None,
    services: Services,
    caller: Principal,
    collections: tuple[str, ...],
    *,
    execute: bool,
    cancelled: Callable[[], bool],
) -> dict[str, Any]:
    """The fields of the answer: the statement, and with `execute` its rows, a sentence and the citations of it.

    Raises:
        InvalidFields: the schema names no source, or can't be read. NotPermitted: the key may not ask that source.
        Unavailable: the source can't be read. Cancelled: the caller went away.
    """
    today = datetime.now(UTC).date()
    if given is not None and not _names_source(given):
        if execute:
            raise invalid_field(
                ("body", "execute"),
                'a schema has no rows: name a {"source": …} or a {"collection": …}',
                "not_supported",
            )
        try:
            schema = sql_schema(given)
        except InvalidInput as error:
            raise invalid_field(_SCHEMA, error.message, "schema") from None
        built = construct_sql(question, schema, today=today, model=services.text_model, cancelled=cancelled)
        return _statement(built)
    engine = _engine(given, services, caller, collections)
    if not execute:
        schema = engine.schema()
        built = construct_sql(question, schema, today=today, model=services.text_model, cancelled=cancelled)
        notes = engine.notes() if isinstance(engine, LoadedTables) else ()
        return {**_statement(built), "notes": list(notes)}
    return _executed(
        ask_tables(
            question,
            engine,
            today=today,
            encoder=services.encoder,
            documents=services.catalog,
            model=services.text_model,
            cancelled=cancelled,
            chunks=lambda phrase: _nearest_chunks(services, engine.name, phrase),
        )
    )


def _nearest_chunks(services: Services, collection: str, phrase: str) -> list[StoredChunk]:
    """The chunks of a collection that are nearest to a phrase in meaning."""
    found = services.retriever.search(
        [Query(phrase)],
        collections=[collection],
        filters={},
        as_of=None,
        options=RetrievalOptions(lexical=False, top_k=_NEAR_CHUNKS),
        trace=Trace(),
    )
    return [hit.chunk for hit in found.hits]


def _executed(found: TableAnswer) -> dict[str, Any]:
    fields = {**_statement(found.statement), "notes": list(found.notes), "citations": list(found.citations)}
    if found.result is None or found.answer is None:
        return {**fields, "columns": [], "rows": [], "truncated": False, "answer": None}
    rows = found.result.rows
    return {
        **fields,
        "columns": list(rows.columns),
        "rows": [[json_ready(value) for value in row] for row in rows.rows],
        "truncated": rows.truncated,
        "similarities": list(found.result.similarities) or None,
        "ms": round(rows.ms, 3),
        "answer": found.answer.text,
    }


def _statement(built: Any) -> dict[str, Any]:
    return {
        "statement": built.text or None,
        "parameters": json_ready(built.parameters),
        "explanation": built.explanation,
        "confidence": built.confidence,
        "how": built.how,
    }


def _names_source(given: dict[str, Any]) -> bool:
    return set(given) in ({"source"}, {"collection"})


def _engine(
    given: dict[str, Any] | None, services: Services, caller: Principal, collections: tuple[str, ...]
) -> SqlEngine:
    """What is meant: the source or collection named; else the only source there is; else the first collection."""
    tables = services.tables
    if tables is None:
        raise Unavailable("SQL sources are not set up in this process")
    named = (given or {}).get("collection")
    if given is not None and "collection" in given:
        if not isinstance(named, str) or not named:
            raise invalid_field(_SCHEMA, 'collection must be a name, as in {"collection": "default"}', "schema")
        caller.need_collection(named)
        services.catalog.get_collection(named)
        return tables.of_collection(named)
    if given is None and (caller.collections is not None or len(tables.names) != 1):
        documents = _tables_of(tables, collections)
        if documents is not None:
            return documents
    if caller.collections is not None:
        raise NotPermitted(
            "this key is limited to some collections and SQL sources belong to none: ask the tables of a collection, "
            "give a schema, or use another key"
        )
    wanted = given["source"] if given is not None else next(iter(tables.names), None)
    if not isinstance(wanted, str) or wanted not in tables.names or (given is None and len(tables.names) != 1):
        known = ", ".join(tables.names) or "none: set ATTEST_SQL__SOURCES"
        message = (
            f'give {{"tables": …}}, {{"source": name}} of a configured one (there are {known}), or '
            '{"collection": name} of documents that are CSV, TSV or XLSX tables'
        )
        raise invalid_field(_SCHEMA, message, "schema")
    return tables.get(wanted)


def _tables_of(tables: TableSources, collections: tuple[str, ...]) -> SqlEngine | None:
    """The first of the collections that has tables; None where none has."""
    for name in collections:
        try:
            engine = tables.of_collection(name)
            engine.schema()
        except (NotFound, Unavailable):
            continue
        return engine
    return None
