"""The column of a table that a question for a list names, of all rows or of those that it names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.generation.styles.listing import listing_of
from app.generation.styles.orders import is_order
from app.generation.styles.topic import Topic, held, held_of
from app.generation.table_cells import Cell, table_rows
from app.index.analysis import analyze
from app.types import Passage, PassageSpan

_BAR_CELL = re.compile(r"[^|]+")
_NAMED_HEADER = 0.5
_ITSELF = frozenset(analyze("table spreadsheet sheet column row 表 表格 表里"))  # what a question may call any table


@dataclass(frozen=True, slots=True)
class Table:
    """A passage's rows; `title` are the terms of the headings over them."""

    passage: int
    rows: tuple[tuple[Cell, ...], ...]
    title: frozenset[str]


@dataclass(frozen=True, slots=True)
class Column:
    """`spans` are the asked cells of all passages with such a table; `terms` what header, title and named rows say."""

    spans: tuple[PassageSpan, ...]
    terms: frozenset[str]


def asked_columns(question: str, passages: Sequence[Passage], topic: Topic) -> list[Column]:
    """Return the values under the header that the question names, of the rows that it names, if it names any.

    Tables with the same headers are read as one, wherever they stand: a long one is cut into passages. Of several that
    differ in their titles, those whose titles hold most of the names in the question count. Where no header but the
    title names what is asked for ("which suppliers are on the list?"), it is the first column.
    """
    listing = listing_of(question)
    kind = listing.kind if listing is not None else frozenset[str]()
    found = []
    for tables in _alike(passages, topic):
        cells = [[frozenset(analyze(cell.value)) for cell in row] for table in tables for row in table.rows]
        rows = [(table.passage, row) for table in tables for row in table.rows]
        if len(rows) < 2:
            continue
        title = frozenset().union(*(table.title for table in tables))
        naming = {t for t in topic.terms if 0 < sum(any(held(t, c) for c in row) for row in cells) < len(rows)}
        kept = [i for i, row in enumerate(cells) if all(any(held(t, c) for c in row) for t in naming)]
        header = _header([row for _, row in rows], topic, kind, named=bool(held_of(topic.terms, title)) and not naming)
        if header is None:
            continue
        values: list[PassageSpan] = []
        for i in kept:
            number, row = rows[i]
            if not is_order(row[0].value):
                values += [PassageSpan(number, c.char_start, c.char_end) for c in row if c.header == header]
        if len({_value(passages, span) for span in values}) >= 2:
            found.append(Column(tuple(values), title | frozenset(analyze(header)) | naming | _ITSELF))
    return found


def tables_of(text: str) -> list[list[Cell]]:
    """Return the rows of a passage's table: `Header: value; …` lines, or lines of cells between bars under a first
    line with the headers."""
    rows = list(table_rows(text))
    if rows:
        return rows
    headers: list[str] = []
    at = 0
    for line in text.splitlines(keepends=True):
        cells = [match for match in _BAR_CELL.finditer(line.rstrip("\n")) if match.group().strip()]
        if "|" in line and len(cells) >= 2 and not set(line.strip()) <= set("|-: "):
            if not headers:
                headers = [match.group().strip() for match in cells]
            elif len(cells) == len(headers):
                rows.append([_cell(header, match, at) for header, match in zip(headers, cells, strict=True)])
        at += len(line)
    return rows


def _alike(passages: Sequence[Passage], topic: Topic) -> list[list[Table]]:
    """The tables of the passages by their headers, without those whose title names fewer of the asked names."""
    groups: dict[frozenset[str], list[Table]] = {}
    for number, passage in enumerate(passages):
        chunk = passage.hit.chunk
        title = frozenset(analyze(" ".join([chunk.title, *chunk.heading_path])))
        rows = tables_of(passage.text)
        if rows:
            headers = frozenset(cell.header for row in rows for cell in row)
            groups.setdefault(headers, []).append(Table(number, tuple(map(tuple, rows)), title))
    return [
        [table for table in tables if len(held_of(topic.names, table.title)) == most]
        for tables in groups.values()
        for most in [max(len(held_of(topic.names, table.title)) for table in tables)]
    ]


def _header(rows: Sequence[Sequence[Cell]], topic: Topic, kind: frozenset[str], *, named: bool) -> str | None:
    """The header that holds most of the question, the kind of thing asked for before others; the first one of a table
    that is `named` itself; None where the question names none."""
    headers = {cell.header: frozenset(analyze(cell.header)) for row in rows for cell in row}
    shares = {name: len(held_of(terms, topic.terms)) / len(terms) for name, terms in headers.items() if terms}
    best = max(shares.values(), default=0.0)
    if best < _NAMED_HEADER:
        return rows[0][0].header if named else None
    names = [name for name, share in shares.items() if share == best]
    of_kind = [name for name in names if held_of(kind, headers[name])]
    chosen = names if len(names) == 1 else of_kind
    return chosen[0] if len(chosen) == 1 else None


def _value(passages: Sequence[Passage], span: PassageSpan) -> str:
    return passages[span.passage].text[span.char_start : span.char_end].casefold()


def _cell(header: str, match: re.Match[str], line_start: int) -> Cell:
    value = match.group().strip()
    start = line_start + match.start() + match.group().index(value)
    return Cell(header, value, start, start + len(value))
