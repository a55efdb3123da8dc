"""A question put to a source of tables: built, checked, run, said in words, cited where rows come from documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any, Protocol

from app.errors import InvalidInput, NotFound
from app.index.records import VersionRecord
from app.protocols import Encoder, TextModel
from app.query.construction.by_model import construct_sql
from app.query.construction.sql_build import build_sql
from app.query.construction.sql_check import check_statement
from app.query.construction.sql_engine import SqlEngine
from app.query.construction.sql_rows import rows_behind
from app.query.construction.sql_similar import Nearest, SemanticRows, execute_similar, has_similar
from app.query.construction.sql_statement import Statement
from app.query.tables.answers import Claim, Sentence, sentence
from app.query.tables.loaded import LoadedTables
from app.query.tables.table_file import RowPlaces
from app.types import Citation, StoredChunk

_MAX_CITATIONS = 20
_BEHIND = 3


class Documents(Protocol):
    """The catalog, as far as citations need it."""

    def get_version_records(self, version_ids: Sequence[int]) -> dict[int, VersionRecord]: ...
    def get_texts(self, version_ids: Sequence[int]) -> dict[int, str]: ...
    def get_document_chunks(self, document_id: str, version: int | None = None) -> list[StoredChunk]: ...


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """`answer` is None where no statement could be built; `statement.explanation` then says why.

    `notes`: in words, what of the source's files could not be taken as it stands.
    """

    statement: Statement
    result: SemanticRows | None
    answer: Sentence | None
    citations: tuple[Citation, ...]
    notes: tuple[str, ...]


def ask_tables(
    question: str,
    engine: SqlEngine,
    *,
    today: date,
    encoder: Encoder,
    documents: Documents | None = None,
    model: TextModel | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    chunks: Callable[[str], Sequence[StoredChunk]] | None = None,
) -> TableAnswer:
    """The answer of a source to a question.

    A model's statement that the source refuses gives way to the one by rules.

    Args:
        question: standalone.
        engine: the source.
        today: for "last year".
        encoder: for `similar(…)`.
        documents: where the texts of documents are; None: nothing is cited.
        model: writes the statement; None leaves the rules alone.
        cancelled: stops the model and the embedding.
        chunks: the chunks of the source's documents that are nearest to a phrase, best first; for large tables.

    Raises:
        Unavailable: the source can't be read, or took too long. Cancelled: `cancelled()` was true.
        InvalidInput: the source refuses the statement of the rules.
    """
    schema = engine.schema()
    statement = construct_sql(question, schema, today=today, model=model, cancelled=cancelled)
    notes = engine.notes() if isinstance(engine, LoadedTables) else ()
    if not statement.text:
        return TableAnswer(statement, None, None, (), notes)
    nearest = partial(_nearest, engine.places(), chunks) if chunks and isinstance(engine, LoadedTables) else None
    try:
        result = run(statement, engine, encoder, cancelled, nearest)
    except InvalidInput as error:
        if statement.how == "rules":
            raise
        built = build_sql(question, schema, today=today)
        told = f"{built.explanation} By rules, as the statement of {statement.how} was refused: {error.message[:200]}."
        statement = replace(built, explanation=told)
        if not statement.text:
            return TableAnswer(statement, None, None, (), notes)
        result = run(statement, engine, encoder, cancelled, nearest)
    if result.explanation:
        statement = replace(statement, explanation=f"{statement.explanation} Plan: {result.explanation}")
    said = sentence(question, statement.text, result.rows, result.behind)
    citations: tuple[Citation, ...] = ()
    if documents is not None and isinstance(engine, LoadedTables) and said.claims:
        said, citations = _cited(said, engine.places(), documents)
    return TableAnswer(statement, result, said, citations, notes)


def run(
    statement: Statement,
    engine: SqlEngine,
    encoder: Encoder,
    cancelled: Callable[[], bool] = lambda: False,
    nearest: Nearest | None = None,
) -> SemanticRows:
    """The rows of a statement, with the ids of the table rows behind them where the source's tables are documents'.

    Raises:
        InvalidInput, Unavailable, Cancelled: as `execute_similar`.
    """
    placed = isinstance(engine, LoadedTables)
    found = execute_similar(
        engine, encoder, statement.text, statement.parameters, row_ids=placed, cancelled=cancelled, nearest=nearest
    )
    if not placed or found.rows.row_ids or found.behind or has_similar(statement.text):
        return found
    text = rows_behind(check_statement(statement.text, engine.schema()), _BEHIND)
    if text is None:
        return found
    used = {name: value for name, value in statement.parameters.items() if f":{name}" in text}
    return replace(found, behind=engine.execute(text, used, limit=_BEHIND, row_ids=True).row_ids)


def _nearest(
    places: Mapping[str, RowPlaces], chunks: Callable[[str], Sequence[StoredChunk]], table: str, phrase: str
) -> list[int]:
    """The rows of a table in the chunks nearest to a phrase."""
    place = next((found for name, found in places.items() if name.casefold() == table.casefold()), None)
    if place is None:
        return []
    near = [chunk for chunk in chunks(phrase) if chunk.version_id == place.version_id]
    return place.within([(chunk.char_start, chunk.char_end) for chunk in near])


def _cited(
    said: Sentence, places: Mapping[str, RowPlaces], documents: Documents
) -> tuple[Sentence, tuple[Citation, ...]]:
    """The sentence with `[n]` after each part, and the citations; rows of no document are not cited."""
    wanted = [(claim, spans) for claim in said.claims if (spans := _spans(claim, places))]
    texts = documents.get_texts(sorted({version for _, spans in wanted for version, _, _ in spans}))
    chunks: dict[int, list[StoredChunk]] = {}
    numbers: dict[tuple[int, int, int], int] = {}
    citations: list[Citation] = []
    text, at = "", 0
    for claim, spans in wanted:
        start, end = len(text) + claim.char_start - at, len(text) + claim.char_end - at
        text += said.text[at : claim.char_end]
        at = claim.char_end
        for version, char_start, char_end in spans:
            chunk = _chunk(version, char_start, documents, chunks)
            quote = texts.get(version, "")[char_start:char_end]
            if chunk is None or not quote or len(citations) >= _MAX_CITATIONS:
                continue
            number = numbers.setdefault((version, char_start, char_end), len(numbers) + 1)
            text += f" [{number}]"
            citations.append(
                Citation(
                    index=number,
                    document_id=chunk.document_id,
                    version=chunk.version,
                    title=chunk.title,
                    source_url=chunk.source_url,
                    page=chunk.page,
                    char_start=char_start,
                    char_end=char_end,
                    quote=quote,
                    answer_start=start,
                    answer_end=end,
                    score=1.0,
                    chunk_id=chunk.chunk_id,
                )
            )
    return replace(said, text=text + said.text[at:]), tuple(citations)


def _spans(claim: Claim, places: Mapping[str, RowPlaces]) -> list[tuple[int, int, int]]:
    """(version, start, end) of the rows of a claim that stand in documents."""
    found: list[tuple[int, int, int]] = []
    for row in claim.rows:
        for table, row_id in row:
            place = places.get(table)
            span = place.get(row_id) if place else None
            if place is not None and span is not None:
                found.append((place.version_id, *span))
    return list(dict.fromkeys(found))


def _chunk(version_id: int, at: int, documents: Documents, known: dict[int, list[StoredChunk]]) -> StoredChunk | None:
    """The chunk that holds the character; None where the document is gone."""
    if version_id not in known:
        record: Any = documents.get_version_records([version_id]).get(version_id)
        try:
            known[version_id] = documents.get_document_chunks(record.document_id, record.version) if record else []
        except NotFound:
            known[version_id] = []
    inside = [chunk for chunk in known[version_id] if chunk.char_start <= at < chunk.char_end]
    return inside[0] if inside else None
