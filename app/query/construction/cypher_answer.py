"""Rows of a collection's graph → words, each answer with the stretch of text that its edge was read from.

A citation leaves here only where the stored text has the edge's span: graph and text come from one version, and the
quote is cut from the text of that version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import IntegrityError, NotFound
from app.index.graph_engine import GraphRows
from app.index.languages import detect_language
from app.index.sentences import sentence_spans
from app.query.construction.cypher_by_model import SPAN_COLUMNS
from app.query.construction.cypher_questions import CypherStatement
from app.types import Citation, StoredChunk

MAX_ANSWERS = 10
MAX_QUOTE_CHARS = 600
_AROUND = 1_000  # characters in which the sentence around a name is looked for


class Texts(Protocol):
    """The catalog, as far as citations need it."""

    def get_text(self, document_id: str, version: int | None = None) -> str: ...
    def get_document_chunks(self, document_id: str, version: int | None = None) -> list[StoredChunk]: ...


@dataclass(frozen=True, slots=True)
class GraphAnswer:
    """`text` is `short` with `[n]` after each part that has a citation; both are empty for no rows."""

    text: str
    short: str
    citations: tuple[Citation, ...]


def answer_of(question: str, statement: CypherStatement, found: GraphRows, texts: Texts) -> GraphAnswer:
    """What the rows say, the first `MAX_ANSWERS` different answers named.

    Args:
        question: whose language separates the answers.
        statement: that returned the rows; its `answer` names the column that answers.
        found: the rows; those with the columns `SPAN_COLUMNS` can be cited.
        texts: of the documents, against which spans are checked.

    Raises:
        IntegrityError: an edge's span is not in the text of its version.
    """
    column = found.columns.index(statement.answer) if statement.answer in found.columns else 0
    places = [found.columns.index(name) for name in SPAN_COLUMNS] if set(SPAN_COLUMNS) <= set(found.columns) else []
    groups: dict[str, list[Sequence[Any]]] = {}
    for row in found.rows:
        said = _said(found.columns, row, column)
        if said:
            groups.setdefault(said, []).append(row)
    comma = "、" if detect_language(question) == "zh" else ", "
    text, short = "", ""
    citations: list[Citation] = []
    numbers: dict[tuple[Any, ...], int] = {}
    for said, rows in list(groups.items())[:MAX_ANSWERS]:
        if short:
            text, short = text + comma, short + comma
        start = len(text)
        text, short = text + said, short + said
        end = len(text)
        spans = [tuple(row[place] for place in places) for row in rows] if places else []
        for span in list(dict.fromkeys(spans))[:1]:
            citation = _cited(span, texts, len(numbers) + 1, (start, end))
            if citation is None:
                continue  # deleted since the rows were read
            key = (citation.document_id, citation.char_start, citation.char_end)
            number = numbers.setdefault(key, len(numbers) + 1)
            text += f" [{number}]"
            if number == citation.index:
                citations.append(citation)
    left = len(groups) - MAX_ANSWERS
    if left > 0:
        more = f" (+{left}{'…' if found.truncated else ''})"
        text, short = text + more, short + more
    return GraphAnswer(text, short, tuple(citations))


def _said(columns: Sequence[str], row: Sequence[Any], column: int) -> str:
    """The row's answer in words; a relation with both its ends."""
    named = dict(zip(columns, row, strict=True))
    if {"subject", "relation", "object"} <= named.keys():
        return f"{named['subject']} – {named['relation']} – {named['object']}"
    value = row[column]
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("name", "title", "id") if value.get(key)), None)
    return "" if value is None else " ".join(str(value).split())


def _cited(span: Sequence[Any], texts: Texts, number: int, claim: tuple[int, int]) -> Citation | None:
    document_id, version, start, end = span
    try:
        text = texts.get_text(str(document_id), int(version))
        chunks = texts.get_document_chunks(str(document_id), int(version))
    except NotFound:
        return None
    if not 0 <= start < end <= len(text):
        raise IntegrityError(
            f"the graph names [{start}, {end}) of document {document_id}, whose text has {len(text)} characters; "
            "remove the collection's graph folder, the worker builds it anew"
        )
    start, end = _sentence(text, start, end)
    chunk = next((each for each in chunks if each.char_start <= start < each.char_end), chunks[0] if chunks else None)
    if chunk is None:
        return None
    return Citation(
        index=number,
        document_id=chunk.document_id,
        version=chunk.version,
        title=chunk.title,
        source_url=chunk.source_url,
        page=chunk.page,
        char_start=start,
        char_end=end,
        quote=text[start:end],
        answer_start=claim[0],
        answer_end=claim[1],
        score=1.0,
        chunk_id=chunk.chunk_id,
    )


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentence around the span, where it is not too long to quote."""
    low = max(0, start - _AROUND)
    around = [
        (low + first, low + last)
        for first, last in sentence_spans(text[low : end + _AROUND])
        if low + first < end and start < low + last
    ]
    whole = (min([start, *(first for first, _ in around)]), max([end, *(last for _, last in around)]))
    if whole[1] - whole[0] <= MAX_QUOTE_CHARS:
        return whole
    return (start, end) if end - start <= MAX_QUOTE_CHARS else (start, start + MAX_QUOTE_CHARS)
